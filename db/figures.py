"""What is costly to count over the whole table: counted now and then, shown at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, update

from db.engine import Database, insert_ignoring, now
from db.schema import Figure

_UNCOUNTED = "null"


class Counted(NamedTuple):
    """A figure, and how many seconds ago it was counted."""

    value: Any
    age: float


def shown(connection: Connection, name: str) -> Counted | None:
    """Return a figure as it was counted last; None if it never was, or is for the first time."""
    row = connection.execute(
        select(Figure.value, Figure.counted_at).where(Figure.name == name)
    ).one_or_none()
    if row is None or row.value == _UNCOUNTED:
        return None
    return Counted(json.loads(row.value), max(0.0, now(connection) - row.counted_at))


def refresh(
    database: Database, name: str, count: Callable[[Connection], Any], older: float
) -> bool:
    """Count anew what was counted longer ago than ``older`` seconds; False if there was no need.

    Of processes that want to at the same time, one does.
    """
    with database.write() as connection:
        if not claim(connection, name, older):
            return False
    with database.read() as connection:
        value = count(connection)
    with database.write() as connection:
        note(connection, name, value)
    return True


def note(connection: Connection, name: str, value: Any) -> None:
    """Keep what was counted, as of now, after ``claim``."""
    connection.execute(
        update(Figure)
        .where(Figure.name == name)
        .values(value=json.dumps(value), counted_at=now(connection))
    )


def claim(connection: Connection, name: str, older: float) -> bool:
    """Take on the counting, by saying that it has been done; False if it was, of late."""
    moment = now(connection)
    due = update(Figure).where(Figure.name == name, Figure.counted_at < moment - older)
    if connection.execute(due.values(counted_at=moment)).rowcount:
        return True
    values = {"name": name, "counted_at": moment, "value": _UNCOUNTED}
    return insert_ignoring(connection, Figure, values) is not None
