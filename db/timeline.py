"""A study's way from its first image to what its destinations committed to, step by step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, select

from db.schema import AT_DESTINATION, WAITING, Delivery, Instance, Job, JobState, Study
from db.stats import iso
from db.study_pages import unknown


class _Step(NamedTuple):
    """Something that happened; ``at`` is None for what is still to happen or has no time."""

    at: float | None
    event: str
    details: dict[str, Any]


def timeline(connection: Connection, study_uid: str) -> list[dict[str, Any]]:
    """Everything that is known to have happened to a study, in order.

    Returns
    -------
    list of dict
        ``at`` (ISO 8601; null for how a delivery stands that is not sent), ``seconds`` since the
        first image, ``event``, and, where it concerns one, ``job_id``, ``model``,
        ``delivery_id``, ``destination``, ``kind``, ``attempts``, ``reason``, ``answers``; else
        null. Of attempts only the last has its time.

    Raises
    ------
    NotFound
        No instance of this study was received.
    """
    study = connection.execute(select(Study).where(Study.study_uid == study_uid)).one_or_none()
    if study is None:
        raise unknown(study_uid)
    steps = [*_of_images(connection, study)]
    jobs = connection.execute(select(Job).where(Job.study_uid == study_uid).order_by(Job.id)).all()
    for job in jobs:
        steps += _of_job(job)
    deliveries = connection.execute(
        select(Delivery, Job.model)
        .join(Job, Job.id == Delivery.job_id)
        .where(Job.study_uid == study_uid)
        .order_by(Delivery.id)
    )
    for delivery in deliveries:
        steps += _of_delivery(delivery)
    steps.sort(key=lambda step: (step.at is None, step.at or 0.0))
    return [_shown(step, study.first_received_at) for step in steps]


_NO_DETAILS: dict[str, Any] = dict.fromkeys(
    (
        "job_id",
        "model",
        "delivery_id",
        "destination",
        "kind",
        "attempts",
        "reason",
        "answers",
    )
)


def _shown(step: _Step, first: float) -> dict[str, Any]:
    seconds = None if step.at is None else round(step.at - first, 3)
    return (
        {"at": iso(step.at), "seconds": seconds, "event": step.event} | _NO_DETAILS | step.details
    )


def _of_images(connection: Connection, study: Row[Study]) -> Iterator[_Step]:
    ours = Instance.study_uid == study.study_uid, Instance.own.is_(False)
    first, last, count = connection.execute(
        select(func.min(Instance.received_at), func.max(Instance.received_at), func.count()).where(
            *ours
        )
    ).one()
    yield _Step(first or study.first_received_at, "first image received", {})
    yield _Step(last or study.last_received_at, f"last of {count} images received", {})
    if study.due_at is not None:
        yield _Step(study.due_at, "due", {})
    if study.purged_at is not None:
        yield _Step(study.purged_at, "images purged", {})


def _of_job(job: Row[Job]) -> Iterator[_Step]:
    about = {"job_id": job.id, "model": job.model}
    if job.state != JobState.SKIPPED:
        yield _Step(job.created_at, "job queued", about)
    if job.started_at is not None:
        yield _Step(job.started_at, "job started", about | {"attempts": job.attempts})
    if job.finished_at is not None:
        answers = json.loads(job.answers) if job.answers else None
        ended = {"attempts": job.attempts, "reason": job.reason, "answers": answers}
        yield _Step(job.finished_at, f"job {job.state}", about | ended)
    elif job.reason is not None:
        yield _Step(job.run_at, "job to be tried again", about | {"reason": job.reason})


def _of_delivery(delivery: Row[Delivery, str]) -> Iterator[_Step]:
    about = {
        "job_id": delivery.job_id,
        "model": delivery.model,
        "delivery_id": delivery.id,
        "destination": delivery.destination,
        "kind": delivery.kind,
    }
    tried = {"attempts": delivery.attempts, "reason": delivery.reason}
    yield _Step(delivery.created_at, "result to be sent", about)
    if delivery.sent_at is not None:
        yield _Step(delivery.sent_at, "result sent", about | tried)
    if delivery.asked_at is not None:
        yield _Step(delivery.asked_at, "commitment asked", about)
    if delivery.committed_at is not None:
        yield _Step(delivery.committed_at, "result committed", about)
    if delivery.state in WAITING and delivery.attempts:
        yield _Step(delivery.run_at, "result to be sent again", about | tried)
    elif delivery.state not in (*WAITING, *AT_DESTINATION):
        yield _Step(None, f"result {delivery.state}", about | tried)
