"""Which worker gets which job, and what becomes of those whose worker went silent.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, update

from db import claims
from db.driver import Driver, Step
from db.engine import driver_of, now
from db.errors import LeaseLost
from db.jobs import ROUTINE, Claim, ModelRef
from db.retry import RetryPolicy
from db.schema import Job, JobState

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


@dataclass(frozen=True)
class Stranded:
    """A running job that no worker came back from and that has no attempt left."""

    job_id: int
    study_uid: str
    model: ModelRef
    attempt: int


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
        .where(
            Job.id == job.job_id,
            claims.RUNNING,
            Job.lease_until < moment,
            Job.attempts == job.attempt,
        )
        .values(
            state=JobState.DEAD,
            reason=LEASE_LOST,
            finished_at=moment,
            lease_owner=None,
            lease_until=None,
        )
    )
    if buried.rowcount != 1:
        raise LeaseLost(f"job {job.job_id} is no longer stranded")


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
