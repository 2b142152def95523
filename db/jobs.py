"""One function per job transition; the legal moves stand in ``db.schema.JOB_MOVES``.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, func, insert, select, update

from db import claims, wake
from db.driver import Step
from db.engine import driver_of, insert_ignoring, now
from db.errors import IllegalMove, LeaseLost, NotFound
from db.retry import RetryPolicy
from db.schema import JOB_MOVES, Instance, InstanceState, Job, JobInput, JobState
from db.studies import StoredInstance
from db.wake import Topic

ROUTINE, UNDECIDED, URGENT = 0, 5, 10
"""Priorities of jobs and deliveries: the higher goes first."""

_OPEN = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class ModelRef:
    """A model package by name and version."""

    name: str
    version: str


@dataclass(frozen=True)
class Claim:
    """A running job and the lease under which this worker may finish it."""

    job_id: int
    study_uid: str
    model: ModelRef
    attempt: int  # 1 for the first
    created_at: float
    owner: str
    not_assessed: str | None = None  # as given to ``enqueue``


def input_digest(instances: Sequence[StoredInstance]) -> str:
    """Name a set of instances: the same set in any order gives the same name."""
    lines = sorted(f"{each.sop_instance_uid} {each.digest}" for each in instances)
    return sha256("\n".join(lines).encode("ascii")).hexdigest()


def enqueue(
    connection: Connection,
    study_uid: str,
    model: ModelRef,
    inputs: Sequence[StoredInstance],
    priority: int = ROUTINE,
    not_assessed: str | None = None,
) -> int | None:
    """Queue a model for a study; its id, None if exactly this input was queued or read before.

    A job of the same model over fewer images that is not done yet is cancelled.

    Parameters
    ----------
    connection, study_uid, model, inputs, priority
        The job.
    not_assessed
        What of the study it will not read; whoever claims the job gets it back unchanged.
    """
    return _create(
        connection,
        study_uid,
        model,
        inputs,
        {"state": JobState.QUEUED, "priority": priority, "not_assessed": not_assessed},
    )


def skip(
    connection: Connection,
    study_uid: str,
    model: ModelRef,
    seen: Sequence[StoredInstance],
    reason: str,
    traceback: str | None = None,
) -> int | None:
    """Leave a visible "not processed, because"; None if that was said of this input before.

    ``traceback`` says where in the program that is, if it should not have happened.
    """
    values: dict[str, object] = {"state": JobState.SKIPPED, "priority": ROUTINE}
    values |= {"reason": reason, "traceback": traceback}
    return _create(connection, study_uid, model, seen, values)


def inputs(connection: Connection, job_id: int) -> list[tuple[str, str]]:
    """SOP Instance UID and archive path of each instance a job reads, in order of the UIDs."""
    rows = connection.execute(
        select(Instance.sop_instance_uid, Instance.path)
        .join(JobInput, JobInput.sop_instance_uid == Instance.sop_instance_uid)
        .where(JobInput.job_id == job_id)
        .order_by(Instance.sop_instance_uid)
    )
    return [(uid, path) for uid, path in rows]


def renew(connection: Connection, claim: Claim, lease_seconds: float) -> None:
    """Heartbeat: hold the lease for longer.

    Raises
    ------
    LeaseLost
        The lease ran out and was given away, or the job was cancelled.
    """
    _leave(connection, claim, {"lease_until": now(connection) + lease_seconds})


def finish(
    connection: Connection,
    claim: Claim,
    priority: int | None = None,
    reason: str | None = None,
    answers: str | None = None,
    batch: int | None = None,
) -> None:
    """Running to done; in the same transaction as the results and the outbox rows.

    Parameters
    ----------
    connection, claim
        The transaction and the job.
    priority
        What the reading found out about how urgent the study is; it may only raise it. The
        deliveries that ``outbox.post`` makes have the job's.
    reason
        Why a destination gets nothing; None if all get their results.
    answers
        What the model said, as JSON.
    batch
        How many jobs were read together.

    Raises
    ------
    LeaseLost
        The job belongs to somebody else now; roll back.
    """
    values = {
        "job_id": claim.job_id,
        "owner": claim.owner,
        "attempt": claim.attempt,
        "why": reason,
        "urgency": priority,
        "answers": answers,
        "batch": batch,
        "moment": time.time(),
    }
    if driver_of(connection).run([Step(claims.finish, values)]) == [[]]:
        raise _lost(claim)


def fail(
    connection: Connection,
    claim: Claim,
    reason: str,
    retry: RetryPolicy | None,
    traceback: str | None = None,
) -> JobState:
    """Running to queued with backoff, or to dead when nothing is left to try.

    Parameters
    ----------
    connection, claim
        The transaction and the job.
    reason
        What went wrong, without patient data.
    retry
        The policy, or None for an error that no retry can mend.
    traceback
        Where it went wrong, for the administrator; without patient data as well.

    Returns
    -------
    JobState
        Queued or dead.

    Raises
    ------
    LeaseLost
        The job belongs to somebody else now.
    """
    moment = now(connection)
    values: dict[str, object] = {"reason": reason, "traceback": traceback, **_UNLEASED}
    if retry is not None and not retry.exhausted(claim.attempt):
        state = JobState.QUEUED
        values |= {"state": state, "run_at": moment + retry.wait(claim.attempt)}
    else:
        state = JobState.DEAD
        values |= {"state": state, "finished_at": moment}
    _leave(connection, claim, values)
    return state


def postpone(connection: Connection, claim: Claim, reason: str, seconds: float) -> None:
    """Running to queued, uncounted: nothing is wrong with the job, try it again later.

    Raises
    ------
    LeaseLost
        The job belongs to somebody else now.
    """
    values = {
        "state": JobState.QUEUED,
        "attempts": claim.attempt - 1,
        "run_at": now(connection) + seconds,
        "reason": reason,
        **_UNLEASED,
    }
    _leave(connection, claim, values)


def give_back(connection: Connection, claim: Claim) -> None:
    """Running to queued, uncounted and at its old place: nobody has begun with it.

    Raises
    ------
    LeaseLost
        The job belongs to somebody else now.
    """
    values = {"state": JobState.QUEUED, "attempts": claim.attempt - 1, **_UNLEASED}
    _leave(connection, claim, values)
    wake.notify(connection, Topic.JOBS)


def cancel(connection: Connection, job_id: int) -> None:
    """Queued or running to cancelled, by hand; a worker at it finds its lease lost.

    Raises
    ------
    NotFound, IllegalMove
        No such job, or it is in another state.
    """
    values = {"finished_at": now(connection), "reason": "cancelled by hand", **_UNLEASED}
    _move(connection, job_id, JobState.CANCELLED, values)


def retry(connection: Connection, job_id: int) -> None:
    """Dead or cancelled to queued, by hand, with its attempts forgiven.

    Raises
    ------
    NotFound, IllegalMove
        No such job, or it is in another state, or images that it reads are not here any more.
    """
    gone = connection.execute(
        select(func.count())
        .select_from(JobInput)
        .join(Instance, Instance.sop_instance_uid == JobInput.sop_instance_uid)
        .where(JobInput.job_id == job_id, Instance.state != InstanceState.STORED)
    ).scalar_one()
    if gone:
        raise IllegalMove(f"job {job_id} cannot be read again: {gone} of its images are not here")
    values: dict[str, object] = {
        "run_at": now(connection),
        "attempts": 0,
        "reason": None,
        "traceback": None,
        "finished_at": None,
    }
    _move(connection, job_id, JobState.QUEUED, values)
    wake.notify(connection, Topic.JOBS)


def state_of(connection: Connection, job_id: int) -> JobState:
    """State of a job.

    Raises
    ------
    NotFound
        There is no such job.
    """
    state = connection.execute(
        select(Job.state).where(Job.id == job_id).with_for_update()
    ).scalar_one_or_none()
    if state is None:
        raise NotFound(f"there is no job {job_id}")
    return JobState(state)


_UNLEASED: dict[str, object] = {"lease_owner": None, "lease_until": None}


def _create(
    connection: Connection,
    study_uid: str,
    model: ModelRef,
    instances: Sequence[StoredInstance],
    given: dict[str, object],
) -> int | None:
    moment, state = now(connection), given["state"]
    digest = input_digest(instances)
    values: dict[str, object] = {
        "study_uid": study_uid,
        "model": model.name,
        "model_version": model.version,
        "input_digest": digest,
        "attempts": 0,
        "created_at": moment,
        "run_at": moment,
        "finished_at": moment if state is JobState.SKIPPED else None,
        **given,
    }
    job_id: int | None = insert_ignoring(connection, Job, values)
    if job_id is not None and state is JobState.QUEUED:
        rows = [{"job_id": job_id, "sop_instance_uid": i.sop_instance_uid} for i in instances]
        connection.execute(insert(JobInput), rows)
        _supersede(connection, study_uid, model, job_id)
        wake.notify(connection, Topic.JOBS)
    return job_id


def _supersede(connection: Connection, study_uid: str, model: ModelRef, by: int) -> None:
    """Cancel jobs that wait or run: the study grew before they were done.

    Else a report of fewer images could arrive after that of all.
    """
    connection.execute(
        update(Job)
        .where(
            Job.study_uid == study_uid,
            Job.model == model.name,
            Job.state.in_(_OPEN),
            Job.id != by,
        )
        .values(
            state=JobState.CANCELLED,
            finished_at=now(connection),
            reason="superseded: further images of this study arrived",
            **_UNLEASED,
        )
    )


def _leave(connection: Connection, claim: Claim, values: dict[str, object]) -> None:
    """Change a running job if the claim still holds."""
    changed = connection.execute(
        update(Job)
        .where(
            Job.id == claim.job_id,
            Job.state == JobState.RUNNING,
            Job.lease_owner == claim.owner,
            Job.attempts == claim.attempt,
        )
        .values(**values)
    )
    if changed.rowcount != 1:
        raise _lost(claim)


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(f"job {claim.job_id} is no longer leased to {claim.owner}")


def _move(connection: Connection, job_id: int, target: JobState, values: dict[str, object]) -> None:
    state = state_of(connection, job_id)
    if target not in JOB_MOVES[state]:
        raise IllegalMove(f"job {job_id} is {state} and cannot become {target}")
    connection.execute(update(Job).where(Job.id == job_id).values(state=target, **values))
