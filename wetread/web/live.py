"""Tells open pages that something changed, by server-sent events; they load themselves again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

from anyio import to_thread
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from db.engine import Database
from db.processes import SILENT_SECONDS
from db.schema import Delivery, Hold, Instance, Job, Outage, Process
from wetread.web.visits import Visit, page

_LOOK_SECONDS = 1.0
_LAST_SECONDS = 300.0  # then the browser asks anew, and is asked who it is
_ALIVE_LOOKS = 15  # a proxy may close what says nothing for a minute

Mark = tuple[object, ...]


class Pulse:
    """Looks once a second whether anything changed, however many ask.

    Parameters
    ----------
    database
        Where to look.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._looked_at = -_LOOK_SECONDS
        self._mark: Mark = ()

    def mark(self) -> Mark:
        """A value that differs from an earlier one if something changed since."""
        with self._lock:
            if time.monotonic() - self._looked_at >= _LOOK_SECONDS:
                try:
                    with self._database.read() as connection:
                        self._mark = _mark(connection)
                except SQLAlchemyError:
                    self._mark = ("away",)  # the page says so when it is loaded again
                self._looked_at = time.monotonic()
            return self._mark


def routes(database: Database) -> list[Route]:
    """The stream of events."""
    pulse = Pulse(database)

    def events(_visit: Visit) -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx holds back else
        return StreamingResponse(_told(pulse), media_type="text/event-stream", headers=headers)

    return [page("/events", events)]


async def _told(pulse: Pulse) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    seen = await to_thread.run_sync(pulse.mark)
    for look in range(int(_LAST_SECONDS / _LOOK_SECONDS)):
        await asyncio.sleep(_LOOK_SECONDS)
        mark = await to_thread.run_sync(pulse.mark)
        if mark != seen:
            seen = mark
            yield "event: change\ndata: -\n\n"
        elif look % _ALIVE_LOOKS == 0:
            yield ": still here\n\n"


def _mark(connection: Connection) -> Mark:
    """What changes when anything does, each read from an index or a small table."""
    counted = select(Job.state, func.count()).where(Job.state.in_(("queued", "running")))
    sending = select(Delivery.state, func.count()).where(
        Delivery.state.in_(("pending", "sending", "held"))
    )
    queries = (
        select(func.max(Job.id), func.max(Job.finished_at)),
        counted.group_by(Job.state).order_by(Job.state),
        select(func.max(Delivery.id), func.max(Delivery.sent_at)),
        sending.group_by(Delivery.state).order_by(Delivery.state),
        select(func.max(Instance.received_at)),
        select(func.count(), func.max(Hold.since)).select_from(Hold),
        select(func.count(), func.max(Outage.since)).select_from(Outage),
        select(
            func.count(), func.count().filter(Process.seen_at < time.time() - SILENT_SECONDS)
        ).select_from(Process),
    )
    return tuple(tuple(row) for query in queries for row in connection.execute(query))
