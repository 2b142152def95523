"""Read models: what the command line shows. Keys are stable; times are ISO 8601 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from db import studies as arrivals
from db.engine import now
from db.errors import NotFound
from db.schema import (
    SETTLED,
    Delivery,
    Instance,
    InstanceState,
    Job,
    JobInput,
    Result,
    Study,
)


def jobs(
    connection: Connection,
    *,
    state: str | None = None,
    study_uid: str | None = None,
    delivery: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Jobs, newest first, optionally of one state or study, or with a delivery in a state."""
    query = _jobs().order_by(Job.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Job.state == state)
    if study_uid is not None:
        query = query.where(Job.study_uid == study_uid)
    if delivery is not None:
        query = query.where(Job.id.in_(select(Delivery.job_id).where(Delivery.state == delivery)))
    return [_job(row) for row in connection.execute(query)]


def job(connection: Connection, job_id: int) -> dict[str, Any]:
    """One job with its inputs, results and deliveries.

    Raises
    ------
    NotFound
        There is no such job.
    """
    row = connection.execute(_jobs().where(Job.id == job_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no job {job_id}")
    uids = select(JobInput.sop_instance_uid).where(JobInput.job_id == job_id)
    results = select(Result).where(Result.job_id == job_id)
    return _job(row) | {
        "inputs": list(connection.execute(uids.order_by(JobInput.sop_instance_uid)).scalars()),
        "results": [
            {
                "kind": each.kind,
                "number": each.number,
                "rank": each.rank,
                "style": each.style,
                "sop_class_uid": each.sop_class_uid,
                "sop_instance_uid": each.sop_instance_uid,
                "path": each.path,
                "size": each.size,
            }
            for each in connection.execute(
                results.order_by(Result.kind, Result.number, Result.rank)
            )
        ],
        "deliveries": deliveries(connection, job_id),
    }


def traceback(connection: Connection, job_id: int) -> str | None:
    """Where a job's last attempt failed; None if it did not."""
    return connection.execute(select(Job.traceback).where(Job.id == job_id)).scalar_one_or_none()


def deliveries(connection: Connection, job_id: int) -> list[dict[str, Any]]:
    """Where each result of a job stands on its way to each destination."""
    rows = connection.execute(
        select(Delivery, Result.sop_class_uid, Result.sop_instance_uid)
        .outerjoin(Result, Result.id == Delivery.result_id)
        .where(Delivery.job_id == job_id)
        .order_by(Delivery.destination, Delivery.kind, Delivery.number)
    )
    return [
        {
            "id": row.id,
            "destination": row.destination,
            "kind": row.kind,
            "number": row.number,
            "state": row.state,
            "attempts": row.attempts,
            "reason": row.reason,
            "sent_at": iso(row.sent_at),
            "committed_at": iso(row.committed_at),
            "commitment": _commitment(row),
            "sop_class_uid": row.sop_class_uid,
            "sop_instance_uid": row.sop_instance_uid,
        }
        for row in rows
    ]


def studies(connection: Connection, *, limit: int = 100) -> list[dict[str, Any]]:
    """Studies, latest first."""
    query = select(Study).order_by(Study.last_received_at.desc()).limit(limit)
    return [_study(connection, row) for row in connection.execute(query)]


def study(connection: Connection, study_uid: str) -> dict[str, Any]:
    """One study with its jobs.

    Raises
    ------
    NotFound
        No instance of this study was received.
    """
    row = connection.execute(select(Study).where(Study.study_uid == study_uid)).one_or_none()
    if row is None:
        raise NotFound(f"no instance of study {study_uid} was received")
    return _study(connection, row) | {"jobs": jobs(connection, study_uid=study_uid)}


def iso(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC with milliseconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _jobs() -> Select[Any]:
    """Jobs, each with the number of its results that are still to reach a destination."""
    undelivered = (
        select(func.count())
        .where(Delivery.job_id == Job.id, Delivery.state.not_in(SETTLED))
        .scalar_subquery()
    )
    return select(Job, undelivered.label("undelivered"))


def _job(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "study_uid": row.study_uid,
        "model": row.model,
        "model_version": row.model_version,
        "state": row.state,
        "priority": row.priority,
        "attempts": row.attempts,
        "undelivered": row.undelivered,
        "reason": row.reason,
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
    }


def _commitment(row: Any) -> str | None:
    """Where the storage commitment of a delivery stands; None if nothing is asked about."""
    if row.committed_at is not None:
        return "committed"
    if row.commit_at is None:
        return None
    return "to be asked" if row.asked_at is None else "asked"


def _study(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    missing = arrivals.missing(connection, row.study_uid)
    per_modality = connection.execute(
        select(Instance.modality, func.count().filter(arrivals.STORED))
        .where(Instance.study_uid == row.study_uid, Instance.own.is_(False))
        .group_by(Instance.modality)
        .order_by(Instance.modality)
    ).all()
    return {
        "study_uid": row.study_uid,
        "state": _study_state(connection, row),
        "modalities": [modality for modality, _ in per_modality],
        "instances": sum(count for _, count in per_modality),
        "purged": missing[InstanceState.PURGED],
        "lost": missing[InstanceState.LOST],
        "first_received_at": iso(row.first_received_at),
        "last_received_at": iso(row.last_received_at),
        "due_at": iso(row.due_at),
    }


def _study_state(connection: Connection, row: Row[Any]) -> str:
    if row.due_at is None:
        return "routed" if row.purged_at is None else "purged"
    return "due" if row.due_at <= now(connection) else "waiting"
