"""Claims from the outbox, sends, and records what became of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import Connection

from db import outage, outbox
from db.engine import Database
from db.errors import LeaseLost
from db.outbox import Parcel
from db.retry import RetryPolicy
from db.schema import DeliveryState
from db.wake import Topic, Waiter
from delivery import turns
from delivery.destination import Away, Destination, Held, Line, Outcome, Refused, Sent
from delivery.observer import Observer, Recorded, Unobserved, tell

_log = structlog.get_logger(__name__)
_POLL_SECONDS = 0.5  # for what comes with time alone: the end of a backoff, a lease, an outage


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
        Parcels that a line claims at once.
    retry
        What happens after a failure.
    """

    owner: str
    lease_seconds: float
    batch: int
    retry: RetryPolicy


class Courier:
    """Serves each line of each destination from a thread of its own.

    So a slow destination delays no other.

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
        work = {
            f"courier-{each.name}-{number}": partial(self.deliver_once, each.name, line, stop)
            for each in self._destinations
            for number, line in enumerate(each.lines, 1)
        }
        with Waiter(self._database, Topic.DELIVERIES) as waiter:
            turns.run(work, stop, _POLL_SECONDS, waiter)
        for each in self._destinations:
            for line in each.lines:
                line.close()

    def deliver_once(self, name: str, line: Line, stop: threading.Event) -> bool:
        """Deliver one batch to a destination over a line of its own; False if there was none."""
        with self._database.read() as connection:
            away = outage.find(connection, name)
            found = (away is None or away.due) and outbox.claimable(connection, name)
        parcels = self._claim(name, probing=away is not None) if found else []
        if parcels:
            self._deliver(name, line, parcels, stop, probing=away is not None)
        line.rest()
        return bool(parcels)

    def _claim(self, name: str, *, probing: bool) -> list[Parcel]:
        """Take a batch; a single parcel to find out whether the destination is back."""
        settings = self._settings
        with self._database.write() as connection:
            if probing and not outage.take_probe(connection, name):
                return []
            limit = 1 if probing else settings.batch
            return outbox.claim(
                connection, name, settings.owner, settings.lease_seconds, limit, settings.retry
            )

    def _deliver(
        self,
        name: str,
        line: Line,
        parcels: Sequence[Parcel],
        stop: threading.Event,
        *,
        probing: bool,
    ) -> None:
        try:
            line.open(parcels)
        except Away as error:
            self._put_off(name, parcels, str(error))
            return
        recorded = list[Recorded]()
        tell(lambda: self._observer.begun(name, parcels))
        try:
            self._send(name, line, parcels, recorded, stop, probing=probing)
        finally:
            tell(lambda: self._observer.ended(name, recorded))

    def _send(
        self,
        name: str,
        line: Line,
        parcels: Sequence[Parcel],
        recorded: list[Recorded],
        stop: threading.Event,
        *,
        probing: bool,
    ) -> None:
        """Send parcels, and add to ``recorded`` what became of them."""
        for number, parcel in enumerate(parcels):
            if stop.is_set():
                with self._database.write() as connection:
                    _give_back(connection, parcels[number:])
                return
            try:
                outcome = line.deliver(parcel)
            except Away as error:
                self._put_off(name, parcels[number:], str(error))
                return
            if probing:  # a single parcel; over HTTP nothing but sending it shows who is there
                self._note_return(name)
            state = self._record(parcel, outcome, parcels[number + 1 :])
            if state is not None:
                recorded.append(Recorded(parcel, outcome, state))

    def _record(
        self, parcel: Parcel, outcome: Outcome, waiting: Sequence[Parcel]
    ) -> DeliveryState | None:
        """Record what became of a parcel, and hold those that wait for their turn.

        Returns
        -------
        DeliveryState or None
            Where it stands now; None if it is somebody else's.
        """
        state: DeliveryState | None = None
        with self._database.write() as connection:
            with suppress(LeaseLost):
                state = self._move(connection, parcel, outcome)
            outbox.renew(connection, waiting, self._settings.lease_seconds)
        if state is None:
            _log.warning(
                "delivery.discarded",
                delivery_id=parcel.delivery_id,
                job_id=parcel.job_id,
                study_uid=parcel.study_uid,
                destination=parcel.destination,
            )
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

    def _move(self, connection: Connection, parcel: Parcel, outcome: Outcome) -> DeliveryState:
        if isinstance(outcome, Sent):
            outbox.sent(connection, parcel, outcome.result_id, commit=outcome.commit)
            return DeliveryState.SENT
        if isinstance(outcome, Refused):
            outbox.refused(connection, parcel, outcome.reason)
            return DeliveryState.REFUSED
        if isinstance(outcome, Held):
            outbox.hold(connection, parcel, outcome.reason, self._settings.retry)
            return DeliveryState.HELD
        return outbox.fail(connection, parcel, outcome.reason, self._settings.retry)

    def _put_off(self, name: str, parcels: Sequence[Parcel], reason: str) -> None:
        """The destination is away: nothing is wrong with the parcels, and they wait."""
        with self._database.write() as connection:
            _give_back(connection, parcels, reason)
            news = outage.begin(connection, name, reason)
        if news:
            _log.warning("destination.away", destination=name, reason=reason)

    def _note_return(self, name: str) -> None:
        with self._database.write() as connection:
            seconds = outage.end(connection, name)
        if seconds is not None:
            _log.info("destination.back", destination=name, away_seconds=round(seconds, 1))


def _give_back(
    connection: Connection, parcels: Sequence[Parcel], reason: str | None = None
) -> None:
    for parcel in parcels:
        with suppress(LeaseLost):
            outbox.give_back(connection, parcel, reason)
