"""Each role says every few seconds that it runs, and what there is to know of it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db import figures, metering, meters, overview, processes
from db.engine import Database, now
from db.meters import Increments
from db.processes import Running
from wetread import log
from wetread.version import VERSION

TOTALS = "totals"
"""The figure that ``db.overview.totals`` counts."""

_COUNT_SECONDS = 60.0
_LEAVE_SECONDS = 1.0
_AGAIN_SECONDS = 0.5  # at a node's first start its tables are made meanwhile
_BUSY = ("receive",)  # a console waits for it; somebody else counts

_log = structlog.get_logger(__name__)


class Presence:
    """What a role tells of itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._details: dict[str, Any] = {}
        self._looks: dict[str, Callable[[], Any]] = {}

    def say(self, **details: Any) -> None:
        """Tell more, or something new under the same name; JSON values, no patient data."""
        with self._lock:
            self._details |= details

    def watch(self, name: str, look: Callable[[], Any]) -> None:
        """Tell anew, every time, what ``look`` finds; it may not raise, nor take long."""
        with self._lock:
            self._looks[name] = look

    def details(self) -> dict[str, Any]:
        """All that was told."""
        with self._lock:
            return self._details | {name: look() for name, look in self._looks.items()}


SILENT = Presence()
"""For a role that nobody asks about."""


@contextmanager
def present(url: str, role: str, owner: str) -> Iterator[Presence]:
    """Say that a role runs, as long as the block does.

    Parameters
    ----------
    url
        Of the database.
    role, owner
        What the process does, and a name that no other process bears.
    """
    running = Running(
        owner=owner, role=role, host=socket.gethostname(), pid=os.getpid(), version=VERSION
    )
    database, ended, presence = Database(url), threading.Event(), Presence()
    thread = threading.Thread(
        target=_beat, args=(database, running, presence, ended), name="presence", daemon=True
    )
    thread.start()
    try:
        yield presence
    finally:
        ended.set()
        thread.join(_LEAVE_SECONDS)  # the database may be away, and takes its time to say so
        database.close()


def _beat(database: Database, running: Running, presence: Presence, ended: threading.Event) -> None:
    counted = Counter[tuple[str, str]]()
    while not ended.is_set():
        heard = False
        # Without the database, or before it has these tables, nobody is listening.
        with suppress(SQLAlchemyError):
            with database.read() as connection:
                offset = time.time() - now(connection)
            told = presence.details() | {"clock_offset": round(offset, 3), "events": log.counted()}
            logged = Counter(log.counted_by_level())
            with database.write_hastily() as connection:
                processes.beat(connection, running, told)
                meters.add(connection, _events(running.role, logged - counted))
            heard, counted = True, logged
            if running.role not in _BUSY:
                figures.refresh(database, TOTALS, overview.totals, _COUNT_SECONDS)
                metering.run(database)
        ended.wait(processes.BEAT_SECONDS if heard else _AGAIN_SECONDS)
    with suppress(SQLAlchemyError), database.write_hastily() as connection:
        processes.leave(connection, running.owner)
        meters.add(connection, _events(running.role, Counter(log.counted_by_level()) - counted))


def _events(role: str, logged: Mapping[tuple[str, str], int]) -> Increments:
    found = Increments()
    for (level, event), count in logged.items():
        found.count(meters.EVENTS, role, level, event, by=count)
    return found
