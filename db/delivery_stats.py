"""Deliveries as the command line shows them; keys as in ``db.stats``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, select

from db.errors import NotFound
from db.schema import Delivery, Job
from db.since import made_since
from db.stats import PAGE, commitment_of, iso


def listed(
    connection: Connection,
    *,
    state: str | None = None,
    destination: str | None = None,
    since: float | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> list[dict[str, Any]]:
    """Deliveries, newest first.

    Parameters
    ----------
    connection
        A transaction.
    state, destination
        Only deliveries in this state, to this destination.
    since
        Only deliveries that were posted then (seconds since 1970) or later.
    before, limit
        Only deliveries with a lower id than the last one of the page before, and how many.
    """
    query = _deliveries().order_by(Delivery.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Delivery.state == state)
    if destination is not None:
        query = query.where(Delivery.destination == destination)
    if since is not None:
        query = query.where(made_since(connection, Delivery, since))
    if before is not None:
        query = query.where(Delivery.id < before)
    return [_delivery(row) for row in connection.execute(query)]


def shown(connection: Connection, delivery_id: int) -> dict[str, Any]:
    """One delivery.

    Raises
    ------
    NotFound
        There is no such delivery.
    """
    row = connection.execute(_deliveries().where(Delivery.id == delivery_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    return _delivery(row)


def _deliveries() -> Select[Delivery, str, str]:
    return select(Delivery, Job.study_uid, Job.model).join(Job, Job.id == Delivery.job_id)


def _delivery(row: Row[Delivery, str, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "job_id": row.job_id,
        "study_uid": row.study_uid,
        "model": row.model,
        "destination": row.destination,
        "kind": row.kind,
        "number": row.number,
        "state": row.state,
        "priority": row.priority,
        "attempts": row.attempts,
        "reason": row.reason,
        "created_at": iso(row.created_at),
        "sent_at": iso(row.sent_at),
        "committed_at": iso(row.committed_at),
        "commitment": commitment_of(row),
    }
