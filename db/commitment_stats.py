"""Storage commitment requests as the command line shows them; keys as in ``db.stats``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from db.errors import NotFound
from db.schema import Commitment, CommitmentItem
from db.stats import iso


def listed(
    connection: Connection, *, state: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Requests, newest first, optionally of one state."""
    query = _requests().order_by(Commitment.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Commitment.state == state)
    return [_request(row) for row in connection.execute(query)]


def shown(connection: Connection, commitment_id: int) -> dict[str, Any]:
    """One request with its instances.

    Raises
    ------
    NotFound
        There is no such request.
    """
    row = connection.execute(_requests().where(Commitment.id == commitment_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no commitment {commitment_id}")
    items = connection.execute(
        select(CommitmentItem)
        .where(CommitmentItem.commitment_id == commitment_id)
        .order_by(CommitmentItem.number)
    )
    return _request(row) | {
        "items": [
            {
                "sop_class_uid": each.sop_class_uid,
                "sop_instance_uid": each.sop_instance_uid,
                "failure": None if each.failure is None else f"{each.failure:04X}",
            }
            for each in items
        ]
    }


def _requests() -> Select[Any]:
    """Requests, each with the number of its instances, and of those reported as failed."""
    items = select(func.count()).where(CommitmentItem.commitment_id == Commitment.id)
    return select(
        Commitment,
        items.scalar_subquery().label("instances"),
        items.where(CommitmentItem.failure.is_not(None)).scalar_subquery().label("failed"),
    )


def _request(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "state": row.state,
        "calling_ae": row.calling_ae,
        "transaction_uid": row.transaction_uid,
        "instances": row.instances,
        # Nothing is known of a failure before it is reported.
        "failed": row.failed if row.reported_at is not None else None,
        "attempts": row.attempts,
        "reason": row.reason,
        "created_at": iso(row.created_at),
        "reported_at": iso(row.reported_at),
    }
