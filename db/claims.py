"""The statements that run for every job, built for ``db.driver``.

A model's queued jobs lie in one index in the order in which they are taken, without those that are
done, so a claim reads one row of it however many there are.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Executable,
    Integer,
    Select,
    String,
    Update,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    null,
    select,
    text,
    update,
)
from sqlalchemy.orm import aliased

from db.schema import EVERYTHING, Hold, Job, JobState

# Not as parameters: the planner must see that a partial index serves.
QUEUED: ColumnElement[bool] = Job.state == literal_column(f"'{JobState.QUEUED}'")
RUNNING: ColumnElement[bool] = Job.state == literal_column(f"'{JobState.RUNNING}'")

_MODEL = bindparam("model", type_=String)
_URGENCY = bindparam("urgency", type_=Integer)
_MOST_ATTEMPTS = bindparam("most", type_=Integer)
_ONE: ColumnElement[int] = literal_column("1")  # the same, lest it sorts all to be ready for many
_LOCK = 0x77746A6F  # "wtjo": PostgreSQL advisory locks of models whose running jobs are counted


def first(dialect: str) -> Executable:
    """Priority and time of a model's next job."""
    return _next(dialect, Job.priority, Job.run_at).limit(_ONE)


def first_of_limited(dialect: str) -> Executable:
    """The same of a model that may have but so many jobs running."""
    return _next(dialect, Job.priority, Job.run_at).where(_has_room()).limit(_ONE)


def take(dialect: str) -> Executable:
    """Queued to running for a model's next job."""
    return _taken(dialect, _next(dialect, Job.id).limit(_ONE))


def take_of_limited(dialect: str) -> Executable:
    """The same of a model that may have but so many jobs running; ``lock_limited`` comes first."""
    return _taken(dialect, _next(dialect, Job.id).where(_has_room()).limit(_ONE))


def take_more(dialect: str) -> Executable:
    """The same for a model's next jobs of some priority at least."""
    following = _next(dialect, Job.id).where(Job.priority >= bindparam("least", type_=Integer))
    return _taken(dialect, following.limit(bindparam("others", type_=Integer)))


def count_running(_dialect: str) -> Executable:
    """How many jobs of a model are running."""
    return _count_running()


def lock_limited(_dialect: str) -> Executable:
    """Let one worker at a time count a model's running jobs, or two would both find room."""
    return text(f"select pg_advisory_xact_lock({_LOCK}, hashtext(:model))")


def give_back(dialect: str) -> Executable:
    """Running to queued for jobs whose lease ran out and that have an attempt left."""
    expired = select(Job.id).where(_expired(dialect), Job.attempts < _MOST_ATTEMPTS)
    return (
        update(Job)
        .where(Job.id.in_(expired.with_for_update(skip_locked=True)))
        .values(
            state=JobState.QUEUED,
            reason=bindparam("lost", type_=String),
            run_at=moment(dialect),
            lease_owner=null(),
            lease_until=null(),
        )
    )


def stranded(dialect: str) -> Executable:
    """Running jobs whose lease ran out and that have no attempt left."""
    return (
        select(Job.id, Job.study_uid, Job.model, Job.model_version, Job.attempts)
        .where(_expired(dialect), Job.attempts >= _MOST_ATTEMPTS)
        .order_by(Job.id)
    )


def finish(dialect: str) -> Executable:
    """Running to done, if the claim still holds."""
    return (
        update(Job)
        .where(
            Job.id == bindparam("job_id", type_=Integer),
            RUNNING,
            Job.lease_owner == bindparam("owner", type_=String),
            Job.attempts == bindparam("attempt", type_=Integer),
        )
        .values(
            state=JobState.DONE,
            finished_at=moment(dialect),
            reason=bindparam("why", type_=String),
            answers=bindparam("answers", type_=String),
            batch=bindparam("batch", type_=Integer),
            priority=case((Job.priority < _URGENCY, _URGENCY), else_=Job.priority),
            traceback=null(),
            lease_owner=null(),
            lease_until=null(),
        )
        .returning(Job.id)
    )


def moment(dialect: str) -> ColumnElement[Any]:
    """The time of the clock that all processes share; on SQLite the parameter ``moment``."""
    if dialect == "postgresql":
        return cast(func.extract("epoch", func.statement_timestamp()), Double)
    return bindparam("moment", type_=Double)


def _expired(dialect: str) -> ColumnElement[bool]:
    return and_(RUNNING, Job.lease_until < moment(dialect))


def _next(dialect: str, *columns: Any) -> Select[Any]:
    """The jobs of a model that is not paused, in the order in which they are taken."""
    held = exists().where(Hold.name.in_([_MODEL, literal_column(f"'{EVERYTHING}'")]))
    return (
        select(*columns)
        .where(
            QUEUED,
            Job.model == _MODEL,
            Job.model_version == bindparam("version", type_=String),
            Job.priority <= bindparam("most", type_=Integer),
            Job.attempts <= bindparam("tried", type_=Integer),
            Job.run_at <= moment(dialect) - bindparam("patience", type_=Double),
            ~held,
        )
        .order_by(Job.priority.desc(), Job.run_at, Job.id)
    )


def _count_running() -> Select[Any]:
    other = aliased(Job)
    return select(func.count()).where(
        other.state == literal_column(f"'{JobState.RUNNING}'"), other.model == _MODEL
    )


def _has_room() -> ColumnElement[bool]:
    return _count_running().scalar_subquery() < bindparam("limit", type_=Integer)


def _taken(dialect: str, following: Select[Any]) -> Update:
    # Beside the update and not in its condition, where PostgreSQL may run it once for every row.
    chosen = following.with_for_update(skip_locked=True).cte("chosen")
    return (
        update(Job)
        .where(Job.id.in_(select(chosen.c.id)))
        .values(
            state=JobState.RUNNING,
            attempts=Job.attempts + 1,
            started_at=moment(dialect),
            reason=null(),
            lease_owner=bindparam("owner", type_=String),
            lease_until=moment(dialect) + bindparam("seconds", type_=Double),
        )
        .returning(
            Job.priority, Job.run_at, Job.id,
            Job.study_uid, Job.attempts, Job.created_at, Job.not_assessed,
        )
    )  # fmt: skip
