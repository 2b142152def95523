"""One function per job transition; the legal moves stand in ``db.schema.JOB_MOVES``.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update

from db import claims, wake
from db.driver import Driver, Step
from db.engine import driver_of, insert_ignoring, now
from db.errors import IllegalMove, LeaseLost, NotFound
from db.retry import RetryPolicy
from db.schema import JOB_MOVES, Instance, InstanceState, Job, JobInput, JobState
from db.studies import StoredInstance
from db.wake import Topic

ROUTINE, UNDECIDED, URGENT = 0, 5, 10
"""Priorities of jobs and deliveries: the higher goes first."""

LEASE_LOST = "lease lost: the worker stopped while reading"
PATIENCE_SECONDS = 900.0
"""How long a routine job waits before it is overdue."""

NO_LIMITS: Mapping[str, int] = {}
NO_BATCHES: Mapping[ModelRef, int] = {}
_MANY = 2**31 - 1


class _Which(NamedTuple):
    """Which jobs a claim considers."""

    most: int  # of this priority at most
    patience: float = 0.0  # waiting for at least so many seconds
    tried: int = _MANY  # so often at most


class _Taken(NamedTuple):
    """What a claim learns of a job."""

    priority: int
    run_at: float
    job_id: int
    study_uid: str
    attempt: int
    created_at: float
    not_assessed: str | None

    def place(self) -> tuple[int, float, int]:
        """Where it stands in the queue."""
        return -self.priority, self.run_at, self.job_id


_ANY = _Which(_MANY)
_OVERDUE = _Which(ROUTINE, PATIENCE_SECONDS)
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


@dataclass(frozen=True)
class Stranded:
    """A running job that no worker came back from and that has no attempt left."""

    job_id: int
    study_uid: str
    model: ModelRef
    attempt: int


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


def claimable(
    connection: Connection, models: Sequence[ModelRef], limits: Mapping[str, int] = NO_LIMITS
) -> bool:
    """Whether a claim could find something: cheap, and takes no lock."""
    return bool(_with_jobs(driver_of(connection), models, limits, _ANY))


def claim(
    connection: Connection,
    owner: str,
    models: Sequence[ModelRef],
    lease_seconds: float,
    limits: Mapping[str, int] = NO_LIMITS,
    *,
    batches: Mapping[ModelRef, int] = NO_BATCHES,
    overdue_first: bool = False,
    untried: bool = False,
) -> list[Claim]:
    """Take the most urgent, then oldest, queued job under a lease, and what may be read with it.

    ``reclaim`` comes first. Workers do not wait for each other: on PostgreSQL a row that another
    worker is taking is passed over.

    Parameters
    ----------
    connection, owner, lease_seconds
        The transaction and the lease.
    models
        Only their jobs are taken: a worker cannot read with a model it has not loaded. Of a model
        that is paused (``db.holds``) none is.
    limits
        How many jobs of a model may be running at the same time, on all hosts together.
    batches
        How many jobs of a model to take at once; one of a model that is not named. The others are
        at least as urgent as the first, so that an urgent study need not wait for a routine one.
    overdue_first
        Before all others comes the routine job that has waited longest, if that is more than
        ``PATIENCE_SECONDS``. A worker asks for it now and then, so that routine does not starve;
        not always, or a backlog that is overdue as a whole would hold up every urgent study.
    untried
        Only jobs that were never tried before.

    Returns
    -------
    list of Claim
        Jobs of one model, the first first; empty if there is none. A job that was tried before
        comes alone: it may be what killed its worker, and should not take others with it.
    """
    driver = driver_of(connection)
    wanted = (_OVERDUE, _ANY) if overdue_first else (_ANY,)
    for which in (each._replace(tried=0 if untried else _MANY) for each in wanted):
        some = _with_jobs(driver, models, limits, which) if len(models) > 1 else models
        for model in some:
            values = _claim_values(model, limits, which)
            values |= {"owner": owner, "seconds": lease_seconds}
            if taken := _take(driver, model, limits, values, batches.get(model, 1)):
                return [
                    Claim(
                        each.job_id, each.study_uid, model, each.attempt,
                        each.created_at, owner, each.not_assessed,
                    )
                    for each in taken
                ]  # fmt: skip
    return []


def reclaim(connection: Connection, retry: RetryPolicy) -> None:
    """Running to queued for jobs whose lease ran out, if they have an attempt left."""
    values = {"most": retry.attempts, "lost": LEASE_LOST, "moment": time.time()}
    driver_of(connection).run([Step(claims.give_back, values)])


def stranded(connection: Connection, retry: RetryPolicy) -> list[Stranded]:
    """Return jobs whose lease ran out and that have no attempt left; ``bury`` ends them."""
    values = {"most": retry.attempts, "moment": time.time()}
    (rows,) = driver_of(connection).run([Step(claims.stranded, values)])
    return [
        Stranded(job_id, study_uid, ModelRef(name, version), attempts)
        for job_id, study_uid, name, version, attempts in rows
    ]


def bury(connection: Connection, job: Stranded) -> None:
    """Running to dead: one poison study must not take the workers with it one by one.

    Raises
    ------
    LeaseLost
        Another worker has buried it, or its own came back and renewed the lease.
    """
    moment = now(connection)
    buried = connection.execute(
        update(Job)
        .where(Job.id == job.job_id, _expired(moment), Job.attempts == job.attempt)
        .values(state=JobState.DEAD, reason=LEASE_LOST, finished_at=moment, **_UNLEASED)
    )
    if buried.rowcount != 1:
        raise LeaseLost(f"job {job.job_id} is no longer stranded")


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
    connection: Connection, claim: Claim, priority: int | None = None, reason: str | None = None
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


def _expired(moment: float) -> ColumnElement[bool]:
    return and_(claims.RUNNING, Job.lease_until < moment)


def _with_jobs(
    driver: Driver, models: Sequence[ModelRef], limits: Mapping[str, int], which: _Which
) -> list[ModelRef]:
    """Models that have a job to be taken, the one with the most urgent, then oldest, first."""
    steps = [
        Step(
            claims.first_of_limited if each.name in limits else claims.first,
            _claim_values(each, limits, which),
        )
        for each in models
    ]
    found = [
        (-rows[0][0], rows[0][1], number) for number, rows in enumerate(driver.run(steps)) if rows
    ]
    return [models[number] for *_, number in sorted(found)]


def _take(
    driver: Driver, model: ModelRef, limits: Mapping[str, int], values: dict[str, Any], batch: int
) -> list[_Taken]:
    """Take a model's next job and those that may go with it."""
    limited = model.name in limits
    lock = [Step(claims.lock_limited, values)] if limited and driver.is_postgresql else []
    taking = claims.take_of_limited if limited else claims.take
    taken = [_Taken(*row) for row in driver.run([*lock, Step(taking, values)])[-1]]
    if not taken or taken[0].attempt > 1 or batch == 1:
        return taken
    if limited:
        (((running,),),) = driver.run([Step(claims.count_running, values)])
        batch = min(batch, 1 + limits[model.name] - running)
    following = _Which(_MANY, tried=0)._asdict() | {"least": taken[0].priority}
    more = values | following | {"others": batch - 1}
    (others,) = driver.run([Step(claims.take_more, more)])
    return taken + sorted((_Taken(*row) for row in others), key=_Taken.place)


def _claim_values(model: ModelRef, limits: Mapping[str, int], which: _Which) -> dict[str, Any]:
    return {
        "model": model.name,
        "version": model.version,
        "limit": limits.get(model.name),
        "moment": time.time(),
        **which._asdict(),
    }


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
