"""What an administrator does to a study or a job, whatever became of it; see also ``db.jobs``.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from db import jobs, outbox, wake
from db.engine import now
from db.errors import IllegalMove, NotFound
from db.jobs import URGENT
from db.schema import (
    Delivery,
    DeliveryState,
    Instance,
    InstanceState,
    Job,
    JobState,
    Study,
)
from db.wake import Topic

_OVER = (JobState.DONE, JobState.SKIPPED)
_OPEN = (JobState.QUEUED, JobState.RUNNING)
_UNSENT = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.HELD)


def retry(connection: Connection, job_id: int, *, unchecked: bool = False) -> None:
    """Queue a dead or cancelled job again, or what of a done one is dead, refused or held.

    Parameters
    ----------
    connection, job_id
        The transaction and the job.
    unchecked
        Whether its results are to be sent without asking whose study the destination has.

    Raises
    ------
    NotFound
        There is no such job.
    IllegalMove
        There is nothing to be done again.
    """
    state = jobs.state_of(connection, job_id)
    if state in _OVER:
        if outbox.retry(connection, job_id, unchecked=unchecked) == 0:
            raise IllegalMove(
                f"job {job_id} is {state} and no delivery of it is dead, refused or held"
            )
    elif unchecked:
        raise IllegalMove(f"job {job_id} is {state}: it has nothing to deliver unchecked yet")
    else:
        jobs.retry(connection, job_id)


def cancel(connection: Connection, job_id: int) -> str:
    """Cancel a queued or running job, or give up what of a done one is held.

    Returns
    -------
    str
        What was done, for the audit trail.

    Raises
    ------
    NotFound
        There is no such job.
    IllegalMove
        There is nothing to be cancelled.
    """
    state = jobs.state_of(connection, job_id)
    if state not in _OVER:
        jobs.cancel(connection, job_id)
        return "cancelled"
    if outbox.give_up(connection, job_id) == 0:
        raise IllegalMove(f"job {job_id} is {state} and no delivery of it is held")
    return "given up where it is held"


def urge(connection: Connection, job_id: int) -> None:
    """Let a job that waits or runs, and what it has to deliver, overtake what is routine.

    Raises
    ------
    NotFound
        There is no such job.
    IllegalMove
        It is over, and nothing of it waits to be sent that is not urgent already.
    """
    state = jobs.state_of(connection, job_id)
    raised = connection.execute(
        update(Delivery)
        .where(Delivery.job_id == job_id, Delivery.state.in_(_UNSENT), Delivery.priority < URGENT)
        .values(priority=URGENT)
    ).rowcount
    if state not in _OPEN and not raised:
        raise IllegalMove(f"job {job_id} is {state} and nothing of it waits to be hurried")
    connection.execute(
        update(Job).where(Job.id == job_id, Job.priority < URGENT).values(priority=URGENT)
    )
    wake.notify(connection, Topic.JOBS)
    wake.notify(connection, Topic.DELIVERIES)


def route_again(connection: Connection, study_uid: str) -> None:
    """Make a study due at once, whatever became of it before.

    What a model has read or is to read is not read again for that; a model that it was not read
    with, because it did not fit or the study was given up, looks at it anew.

    Raises
    ------
    NotFound
        No instance of this study was received.
    IllegalMove
        None of its images is here any more.
    """
    locked = select(Study.study_uid).where(Study.study_uid == study_uid).with_for_update()
    if connection.execute(locked).one_or_none() is None:
        raise NotFound(f"no instance of study {study_uid} was received")
    images = select(func.count()).where(
        Instance.study_uid == study_uid,
        Instance.own.is_(False),
        Instance.state == InstanceState.STORED,
    )
    if not connection.execute(images).scalar_one():
        raise IllegalMove(f"study {study_uid} cannot be routed: none of its images is here")
    _forget_skipped(connection, study_uid)
    connection.execute(
        update(Study).where(Study.study_uid == study_uid).values(due_at=now(connection))
    )
    wake.notify(connection, Topic.JOBS)


def _forget_skipped(connection: Connection, study_uid: str) -> None:
    """Let what was skipped stand as history, and no longer for this set of images."""
    skipped = select(Job.id).where(Job.study_uid == study_uid, Job.state == JobState.SKIPPED)
    for job_id in connection.execute(skipped).scalars().all():
        connection.execute(
            update(Job).where(Job.id == job_id).values(input_digest=f"routed again: {job_id}")
        )
