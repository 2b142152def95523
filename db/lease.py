"""Leases on rows: while one holds, its holder alone may move the row.

A lease is the row's ``lease_owner`` and its number of attempts: the next claim counts one more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from db.errors import LeaseLost
from db.retry import RetryPolicy
from db.schema import Commitment, Delivery

UNLEASED: dict[str, object] = {"lease_owner": None, "lease_until": None}


@dataclass(frozen=True, kw_only=True)
class Leased:
    """A kind of row that is leased.

    Attributes
    ----------
    table
        Where it is.
    held, free, dead
        Its states under a lease, when it is given back, and when no attempt is left.
    lost
        Why it was given back when its lease has run out.
    """

    table: type[Delivery] | type[Commitment]
    held: str
    free: str
    dead: str
    lost: str

    def holds(self, row_id: int, owner: str, attempt: int) -> ColumnElement[bool]:
        """Condition: the row is still under this lease."""
        table = self.table
        condition: ColumnElement[bool] = (table.id == row_id) & (table.state == self.held)
        return condition & (table.lease_owner == owner) & (table.attempts == attempt)

    def leave(
        self, connection: Connection, row_id: int, owner: str, attempt: int, values: dict[str, Any]
    ) -> None:
        """Change the row if the lease still holds, and end the lease.

        Raises
        ------
        LeaseLost
            The row was given to somebody else.
        """
        changed = connection.execute(
            update(self.table)
            .where(self.holds(row_id, owner, attempt))
            .values(**values, **UNLEASED)
        )
        if changed.rowcount != 1:
            kind = self.table.__tablename__
            raise LeaseLost(f"{kind} {row_id} is no longer leased to {owner}")

    def reclaim(
        self, connection: Connection, whose: ColumnElement[bool], moment: float, retry: RetryPolicy
    ) -> None:
        """Take back rows whose lease ran out: to free, or to dead if no attempt is left."""
        table = self.table
        expired = connection.execute(
            select(table.id, table.attempts)
            .where(table.state == self.held, whose, table.lease_until < moment)
            .with_for_update(skip_locked=True)
        ).all()
        for row_id, attempts in expired:
            state = self.dead if retry.exhausted(attempts) else self.free
            connection.execute(
                update(table)
                .where(table.id == row_id)
                .values(state=state, reason=self.lost, run_at=moment, **UNLEASED)
            )
