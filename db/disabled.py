"""Models that studies are not routed to for the time being, on whatever host.

Their jobs that were queued before stay and are read: ``db.holds`` keeps them from being claimed.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from db.engine import insert_ignoring, now
from db.schema import Disabled


class Off(NamedTuple):
    """A model that is disabled, since when and why."""

    name: str
    since: float
    reason: str | None


def disable(connection: Connection, name: str, reason: str | None = None) -> bool:
    """Route no more studies to a model; False if it was disabled before."""
    values = {"name": name, "since": now(connection), "reason": reason}
    return insert_ignoring(connection, Disabled, values) is not None


def enable(connection: Connection, name: str) -> bool:
    """Route studies to a model again; False if it was not disabled."""
    return connection.execute(delete(Disabled).where(Disabled.name == name)).rowcount > 0


def disabled(connection: Connection) -> list[Off]:
    """All models that are disabled, in order of their names."""
    rows = connection.execute(
        select(Disabled.name, Disabled.since, Disabled.reason).order_by(Disabled.name)
    )
    return [Off(*row) for row in rows]
