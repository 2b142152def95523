"""Models that studies are not read with for the time being, on whatever host.

A disabled model is paused as well (``db.holds``), so that what was queued before is not read
either: why it was disabled may be that it reads wrongly.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from db import holds
from db.engine import insert_ignoring, now
from db.schema import Disabled

DISABLED = "disabled"
"""The reason of its pause."""


class Off(NamedTuple):
    """A model that is disabled, since when and why."""

    name: str
    since: float
    reason: str | None


def disable(connection: Connection, name: str, reason: str | None = None) -> bool:
    """Route no more studies to a model and begin none of its jobs; False if it was so before."""
    holds.pause(connection, name, DISABLED)
    values = {"name": name, "since": now(connection), "reason": reason}
    return insert_ignoring(connection, Disabled, values) is not None


def enable(connection: Connection, name: str) -> bool:
    """Route studies to a model again and go on with its jobs; False if it was not disabled."""
    holds.resume(connection, name)
    return connection.execute(delete(Disabled).where(Disabled.name == name)).rowcount > 0


def is_disabled(connection: Connection, name: str) -> bool:
    """Whether a model is disabled."""
    found = connection.execute(select(Disabled.name).where(Disabled.name == name))
    return found.one_or_none() is not None


def disabled(connection: Connection) -> list[Off]:
    """All models that are disabled, in order of their names."""
    rows = connection.execute(
        select(Disabled.name, Disabled.since, Disabled.reason).order_by(Disabled.name)
    )
    return [Off(*row) for row in rows]
