"""The audit trail, as those see it who have something to tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, Self

import structlog

from audit.codes import EventType
from audit.events import Author, Instances, Peer, Person
from audit.messages import Message, Participant, Source

_log = structlog.get_logger(__name__)
_SYNC_SECONDS = 1.0
_REPEAT_SECONDS = 60.0
_REPEATERS = 1024


class Sink(Protocol):
    """Where messages go. Each method may raise ``OSError``."""

    def write(self, message: str, at: datetime) -> None:
        """Take one message, on one line; soon, whatever the network does."""
        ...

    def sync(self) -> None:
        """Put on the disk what was taken."""
        ...

    def close(self) -> None:
        """Put all on the disk and end."""
        ...


class Trail:
    """Writes what happens to every sink.

    No method raises: a node whose audit trail cannot be written goes on receiving, and says in its
    log, event ``audit.not_written``, what is missing from the trail.

    Parameters
    ----------
    author
        Who writes.
    launcher
        Who started this process.
    sinks
        Where to; none for a trail that is not kept.
    now
        The time.
    """

    def __init__(
        self,
        author: Author,
        launcher: Person,
        sinks: Sequence[Sink],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._author = author
        self._launcher = launcher
        self._sinks = list(sinks)
        self._now = now
        self._repeats = _Repeats()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def kept(self) -> bool:
        """Whether there is a trail at all."""
        return bool(self._sinks)

    def started(self) -> None:
        """Say that this process does its work from now on."""
        self._write(self._author.started(self._now(), self._launcher))

    def stopped(self) -> None:
        """Say that this process ends, as it was told to."""
        self._write(self._author.stopped(self._now(), self._launcher))

    def association_rejected(self, peer: Peer, reason: str, *, for_good: bool = True) -> None:
        """An association was rejected; ``for_good`` unless the peer may try again.

        An address that knocks again and again for the same reason is told of once a minute, with
        a count, so that it cannot fill the trail.
        """
        told = self._repeats.told(peer.address, reason)
        if told is not None:
            self._write(self._author.rejected(self._now(), peer, told, for_good=for_good))

    def connection_refused(self, address: str, reason: str) -> None:
        """A connection was closed before it said who it is; told of once a minute, too."""
        told = self._repeats.told(address, reason)
        if told is not None:
            self._write(self._author.refused_connection(self._now(), address, told))

    def instance_restricted(self, peer: Peer, reason: str) -> None:
        """A peer that was let in sent what it may not send; told of once a minute, too."""
        told = self._repeats.told(peer.address, reason)
        if told is not None:
            self._write(self._author.restricted(self._now(), peer, told))

    def instances_received(
        self, source: Peer, instances: Instances, *, at: datetime, new: bool
    ) -> None:
        """Instances of a study are stored; the last came at ``at``; ``new`` if none was known."""
        self._write(self._author.received(at, source, instances, new=new))

    def instances_refused(
        self, source: Peer, instances: Instances, reason: str, *, at: datetime
    ) -> None:
        """Instances of a study came, the last at ``at``, and were not stored."""
        self._write(self._author.refused(at, source, instances, reason))

    def sending(self, destination: Peer, instances: Instances) -> None:
        """Instances of a study are about to be sent."""
        self._write(self._author.begin(self._now(), destination, instances))

    def results_sent(self, destination: Peer, instances: Instances) -> None:
        """Results for a study have reached a destination."""
        self._write(self._author.sent(self._now(), destination, instances))

    def results_given_up(self, destination: Peer, instances: Instances, reason: str) -> None:
        """Results for a study will not reach a destination."""
        self._write(self._author.not_sent(self._now(), destination, instances, reason))

    def study_deleted(self, instances: Instances, *, by_hand: bool) -> None:
        """Instances of a study are removed: by the launcher, or by the node's own rules."""
        person = self._launcher if by_hand else None
        self._write(self._author.deleted(self._now(), instances, person))

    def admin_action(
        self, action: str, resource: str, study_uid: str = "", by: Person | None = None
    ) -> None:
        """Somebody, else the launcher, did by hand what the node would have done otherwise."""
        person = by or self._launcher
        self._write(self._author.admin_action(self._now(), person, action, resource, study_uid))

    def logged_in(self, person: Person, failure: str = "") -> None:
        """Somebody logged in, or tried to: then ``failure`` says why they may not.

        Who fails again and again for the same reason is told of once a minute, with a count.
        """
        told = self._repeats.told(person.address, failure) if failure else ""
        if told is not None:
            self._write(self._author.authenticated(self._now(), person, EventType.LOGIN, told))

    def logged_out(self, person: Person) -> None:
        """Somebody logged out."""
        self._write(self._author.authenticated(self._now(), person, EventType.LOGOUT, ""))

    def studies_seen(self, person: Person, study_uids: Sequence[str]) -> None:
        """Somebody was shown whose studies these are, or their images and results."""
        self._write(self._author.accessed(self._now(), person, study_uids))

    def start(self) -> None:
        """Put what is written on the disk once a second."""
        self._thread = threading.Thread(target=self._keep, name="audit-sync", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Put all on the disk and end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for sink in self._sinks:
            _attempt(sink.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep(self) -> None:
        while not self._stop.wait(_SYNC_SECONDS):
            for sink in self._sinks:
                _attempt(sink.sync)

    def _write(self, message: Message) -> None:
        if not self._sinks:
            return
        line = message.xml()
        for sink in self._sinks:
            try:
                sink.write(line, message.event.at)
            except OSError as error:
                kind = message.event.type or message.event.id
                _log.error("audit.not_written", event_type=kind.name, error=str(error))


class _Repeats:
    """Tells of the same thing once a minute, and how often it happened in between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def told(self, address: str, reason: str) -> str | None:
        """What to say of it this time; None for nothing."""
        key, moment = (address, reason), time.monotonic()
        with self._lock:
            told_at, untold = self._seen.get(key, (moment - _REPEAT_SECONDS, 0))
            if moment - told_at < _REPEAT_SECONDS:
                self._seen[key] = (told_at, untold + 1)
                return None
            if len(self._seen) >= _REPEATERS:
                self._forget(moment)
            self._seen[key] = (moment, 0)
        if not untold:
            return reason
        return f"{reason}; {untold} more from this address since the last message"

    def _forget(self, moment: float) -> None:
        """Keep the memory small: what was told long ago, or else all, is forgotten."""
        self._seen = {
            key: value
            for key, value in self._seen.items()
            if moment - value[0] < _REPEAT_SECONDS or value[1]
        }
        if len(self._seen) >= _REPEATERS:
            self._seen.clear()


def _attempt(action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        _log.error("audit.not_on_disk", error=str(error))


NO_TRAIL = Trail(
    Author(source=Source(source_id="none"), process=Participant(user_id="none")),
    Person(user_id="none"),
    [],
)
"""Writes nothing."""
