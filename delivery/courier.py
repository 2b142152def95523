"""Claims from the outbox, sends, and records what became of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from db import outbox
from db.engine import Database
from db.errors import LeaseLost, where
from db.outbox import Parcel
from db.retry import RetryPolicy
from delivery.destination import Destination, Outcome, Refused, Sent

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
    """Serves each destination from a thread of its own, so that a slow one delays no other."""

    def __init__(
        self, settings: CourierSettings, database: Database, destinations: Sequence[Destination]
    ) -> None:
        self._settings = settings
        self._database = database
        self._destinations = destinations

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
        done = 0
        for parcel, outcome in destination.deliver(parcels):
            self._record(parcel, outcome)
            done += 1
            with self._database.write() as connection:
                outbox.renew(connection, parcels[done:], settings.lease_seconds)
            if stop.is_set():
                break
        for parcel in parcels[done:]:
            with self._database.write() as connection:
                outbox.give_back(connection, parcel)
        return len(parcels)

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

    def _record(self, parcel: Parcel, outcome: Outcome) -> None:
        try:
            with self._database.write() as connection:
                if isinstance(outcome, Sent):
                    outbox.sent(connection, parcel, outcome.result_id)
                    state = "sent"
                elif isinstance(outcome, Refused):
                    outbox.refused(connection, parcel, outcome.reason)
                    state = "refused"
                else:
                    retry = self._settings.retry
                    state = outbox.fail(connection, parcel, outcome.reason, retry).value
        except LeaseLost:
            _log.warning("delivery.discarded", delivery_id=parcel.delivery_id)
            return
        _log.log(
            20 if state == "sent" else 30,
            f"delivery.{state}",
            delivery_id=parcel.delivery_id,
            job_id=parcel.job_id,
            study_uid=parcel.study_uid,
            kind=parcel.kind,
            destination=parcel.destination,
            attempt=parcel.attempt,
            **({} if isinstance(outcome, Sent) else {"reason": outcome.reason}),
        )
