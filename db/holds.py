"""Models whose jobs are not claimed for the time being; jobs that are being read go on."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from db import wake
from db.engine import insert_ignoring, now
from db.schema import EVERYTHING, Hold
from db.wake import Topic


class Held(NamedTuple):
    """A pause; ``name`` is that of a model, or ``EVERYTHING``."""

    name: str
    since: float
    reason: str | None


def pause(connection: Connection, name: str = EVERYTHING, reason: str | None = None) -> bool:
    """Claim no job of a model, or of any, on whatever host; False if it was paused before."""
    values = {"name": name, "since": now(connection), "reason": reason}
    return insert_ignoring(connection, Hold, values) is not None


def resume(connection: Connection, name: str = EVERYTHING) -> bool:
    """End a pause; False if there was none."""
    wake.notify(connection, Topic.JOBS)
    return connection.execute(delete(Hold).where(Hold.name == name)).rowcount > 0


def held(connection: Connection) -> list[Held]:
    """All pauses, in order of their names."""
    rows = connection.execute(select(Hold.name, Hold.since, Hold.reason).order_by(Hold.name))
    return [Held(*row) for row in rows]
