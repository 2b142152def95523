"""The first row that was made since a moment, found by the ids of a table without an index on it.

Ids grow with time, so a few looks at the primary key do what an index on the time would do, and no
insert pays for it.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select

from db.schema import Delivery, Job

_OVERLAP_SECONDS = 60.0
"""Rows may be off by this much: transactions overlap, and each asks for the time by itself."""


def made_since(
    connection: Connection, table: type[Job] | type[Delivery], moment: float
) -> ColumnElement[bool]:
    """Condition: the row was made at ``moment`` or later; read by the primary key."""
    first = _first_id(connection, table, moment - _OVERLAP_SECONDS)
    return (table.id >= first) & (table.created_at >= moment)


def _first_id(connection: Connection, table: type[Job] | type[Delivery], moment: float) -> int:
    """An id below which all rows are older."""
    last = connection.execute(select(func.max(table.id))).scalar_one()
    low, high = 0, (last or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            select(table.id, table.created_at).where(table.id >= middle).order_by(table.id).limit(1)
        ).one_or_none()
        if row is None or row.created_at >= moment:
            high = middle
        else:
            low = row.id + 1
    return low
