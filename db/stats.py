"""Read models: what the command line shows. Keys are stable; times are ISO 8601 in UTC."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from db import identities, study_pages
from db.engine import now
from db.errors import NotFound
from db.jobs import URGENT
from db.schema import (
    SETTLED,
    Delivery,
    InstanceState,
    Job,
    JobInput,
    Result,
    Study,
)
from db.since import made_since
from db.study_pages import Images


class StudyState(StrEnum):
    """Where a study stands."""

    WAITING = "waiting"  # more images may come
    DUE = "due"  # nobody has looked yet
    ROUTED = "routed"  # models were chosen
    PURGED = "purged"  # its images are gone


PAGE = 100
"""Rows of a list, unless more are asked for."""


def jobs(
    connection: Connection,
    *,
    state: str | None = None,
    model: str | None = None,
    study_uid: str | None = None,
    accession: str | None = None,
    delivery: str | None = None,
    urgent: bool = False,
    since: float | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> list[dict[str, Any]]:
    """Jobs, newest first.

    Parameters
    ----------
    connection
        A transaction.
    state, model, study_uid
        Only jobs of this state, model, study.
    accession
        Only jobs of studies with this accession number.
    delivery
        Only jobs with a delivery in this state.
    urgent
        Only jobs that cannot wait.
    since
        Only jobs that were made then (seconds since 1970) or later.
    before, limit
        Only jobs with a lower id than the last one of the page before, and how many.
    """
    query = _jobs().order_by(Job.id.desc()).limit(limit)
    if state is not None:
        query = query.where(Job.state == state)
    if model is not None:
        query = query.where(Job.model == model)
    if study_uid is not None:
        query = query.where(Job.study_uid == study_uid)
    if accession is not None:
        query = query.where(Job.study_uid.in_(identities.with_accession(accession)))
    if delivery is not None:
        query = query.where(Job.id.in_(select(Delivery.job_id).where(Delivery.state == delivery)))
    if urgent:
        query = query.where(Job.priority >= URGENT)
    if since is not None:
        query = query.where(made_since(connection, Job, since))
    if before is not None:
        query = query.where(Job.id < before)
    return [_job(row) for row in connection.execute(query)]


def job(connection: Connection, job_id: int) -> dict[str, Any]:
    """One job with what was said, its inputs, results and deliveries.

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
        "answers": json.loads(row.answers) if row.answers else None,
        "batch": row.batch,
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
            "commitment": commitment_of(row),
            "sop_class_uid": row.sop_class_uid,
            "sop_instance_uid": row.sop_instance_uid,
        }
        for row in rows
    ]


def studies(
    connection: Connection,
    *,
    state: str | None = None,
    accession: str | None = None,
    person: str | None = None,
    since: float | None = None,
    before: str | None = None,
    limit: int = PAGE,
) -> list[dict[str, Any]]:
    """Studies, latest first.

    Parameters
    ----------
    connection
        A transaction.
    state
        Only those in this ``StudyState``.
    accession
        Only those with this accession number.
    person
        Only those that ``identities.found_by`` finds: a patient ID, an accession number, or the
        beginning of a name.
    since
        Only those whose last image came then (seconds since 1970) or later.
    before, limit
        The UID of the last one of the page before, and how many.

    Raises
    ------
    NotFound
        There is no study ``before``.
    """
    moment = now(connection)
    conditions = list[ColumnElement[bool]]()
    if accession is not None:
        conditions.append(Study.study_uid.in_(identities.with_accession(accession)))
    if person is not None:
        conditions.append(Study.study_uid.in_(identities.found_by(person)))
    if since is not None:
        conditions.append(Study.last_received_at >= since)
    rows = study_pages.page(
        connection, state, conditions, before=before, limit=limit, moment=moment
    )
    images = study_pages.images(connection, [row.study_uid for row in rows])
    return [_study(row, images.get(row.study_uid, []), moment) for row in rows]


def study(connection: Connection, study_uid: str) -> dict[str, Any]:
    """One study with its jobs.

    Raises
    ------
    NotFound
        No instance of this study was received.
    """
    row = connection.execute(select(Study).where(Study.study_uid == study_uid)).one_or_none()
    if row is None:
        raise study_pages.unknown(study_uid)
    images = study_pages.images(connection, [study_uid]).get(study_uid, [])
    shown = _study(row, images, now(connection))
    return shown | {"jobs": jobs(connection, study_uid=study_uid)}


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


def commitment_of(row: Any) -> str | None:
    """Where the storage commitment of a delivery stands; None if nothing is asked about."""
    if row.committed_at is not None:
        return "committed"
    if row.commit_at is None:
        return None
    return "to be asked" if row.asked_at is None else "asked"


def _study(row: Row[Any], images: Sequence[Images], moment: float) -> dict[str, Any]:
    counts = Counter[str]()
    for each in images:
        counts[each.state] += each.number
    return {
        "study_uid": row.study_uid,
        "state": _study_state(row, moment),
        "modalities": list(dict.fromkeys(each.modality for each in images)),
        "instances": counts[InstanceState.STORED],
        "purged": counts[InstanceState.PURGED],
        "lost": counts[InstanceState.LOST],
        "first_received_at": iso(row.first_received_at),
        "last_received_at": iso(row.last_received_at),
        "due_at": iso(row.due_at),
    }


def _study_state(row: Row[Any], moment: float) -> str:
    if row.due_at is None:
        return "routed" if row.purged_at is None else "purged"
    return "due" if row.due_at <= moment else "waiting"
