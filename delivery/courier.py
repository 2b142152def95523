"""Claims from the outbox, sends, and records what became of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from db import outbox
from db.engine import Database
from db.errors import LeaseLost, where
from db.outbox import Parcel
from db.retry import RetryPolicy
from db.schema import DeliveryState
from delivery.destination import Destination, Outcome, Refused, Sent
from delivery.observer import Observer, Recorded, Unobserved

_log = structlog.get_logger(__name__)
_POLL_SECONDS = 0.02
_TROUBLE_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class CourierSettings:
    """Settings of one courier.

    Attributes
    ----------
    owner
        Name under which leases are held, different for every courier.
    lease_seconds
        A courier that is silent for this long has lost its parcels.
    batch
        Parcels per association.
    retry
        What happens after a failure.
    """

    owner: str
    lease_seconds: float
    batch: int
    retry: RetryPolicy


class Courier:
    """Serves each destination from a thread of its own, so that a slow one delays no other.

    Parameters
    ----------
    settings
        See ``CourierSettings``.
    database
        Where the outbox is.
    destinations
        Who gets something.
    observer
        Is told of what is sent.
    """

    def __init__(
        self,
        settings: CourierSettings,
        database: Database,
        destinations: Sequence[Destination],
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._destinations = destinations
        self._observer = observer or Unobserved()

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set; the object at hand is finished first."""
        threads = [
            threading.Thread(target=self._serve, args=(each, stop), name=f"courier-{each.name}")
            for each in self._destinations
        ]
        for thread in threads:
            thread.start()
        stop.wait()
        for thread in threads:
            thread.join()

    def deliver_once(self, destination: Destination, stop: threading.Event) -> int:
        """Deliver one batch to a destination; return how many parcels were claimed."""
        settings = self._settings
        with self._database.read() as connection:
            if not outbox.claimable(connection, destination.name):
                return 0
        with self._database.write() as connection:
            parcels = outbox.claim(
                connection,
                destination.name,
                settings.owner,
                settings.lease_seconds,
                settings.batch,
                settings.retry,
            )
        if not parcels:
            return 0
        name, recorded = destination.name, list[Recorded]()
        self._tell(lambda: self._observer.begun(name, parcels))
        try:
            self._deliver(destination, parcels, recorded, stop)
        finally:
            self._tell(lambda: self._observer.ended(name, recorded))
        return len(parcels)

    def _deliver(
        self,
        destination: Destination,
        parcels: Sequence[Parcel],
        recorded: list[Recorded],
        stop: threading.Event,
    ) -> None:
        """Send parcels, and add to ``recorded`` what became of them."""
        done = 0
        for parcel, outcome in destination.deliver(parcels):
            state = self._record(parcel, outcome)
            if state is not None:
                recorded.append(Recorded(parcel, outcome, state))
            done += 1
            with self._database.write() as connection:
                outbox.renew(connection, parcels[done:], self._settings.lease_seconds)
            if stop.is_set():
                break
        for parcel in parcels[done:]:
            with self._database.write() as connection:
                outbox.give_back(connection, parcel)

    def _serve(self, destination: Destination, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                busy = self.deliver_once(destination, stop)
            except Exception as error:  # noqa: BLE001 - the supervised loop: the database may be away
                _log.error("courier.trouble", error=where(error))
                stop.wait(_TROUBLE_SECONDS)
                continue
            if not busy:
                stop.wait(_POLL_SECONDS)

    @staticmethod
    def _tell(event: Callable[[], None]) -> None:
        try:
            event()
        except Exception as error:  # noqa: BLE001 - an observer must not cost a delivery
            _log.error("observer.trouble", error=where(error))

    def _record(self, parcel: Parcel, outcome: Outcome) -> DeliveryState | None:
        """Record what became of a parcel; its state now, None if it is somebody else's."""
        try:
            with self._database.write() as connection:
                if isinstance(outcome, Sent):
                    outbox.sent(connection, parcel, outcome.result_id)
                    state = DeliveryState.SENT
                elif isinstance(outcome, Refused):
                    outbox.refused(connection, parcel, outcome.reason)
                    state = DeliveryState.REFUSED
                else:
                    retry = self._settings.retry
                    state = outbox.fail(connection, parcel, outcome.reason, retry)
        except LeaseLost:
            _log.warning("delivery.discarded", delivery_id=parcel.delivery_id)
            return None
        _log.log(
            20 if state is DeliveryState.SENT else 30,
            f"delivery.{state.value}",
            delivery_id=parcel.delivery_id,
            job_id=parcel.job_id,
            study_uid=parcel.study_uid,
            kind=parcel.kind,
            destination=parcel.destination,
            attempt=parcel.attempt,
            **({} if isinstance(outcome, Sent) else {"reason": outcome.reason}),
        )
        return state
