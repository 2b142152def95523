"""What an administrator does to a study or a job's urgency; see also ``db.jobs``, ``db.outbox``.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from db import wake
from db.engine import now
from db.errors import IllegalMove, NotFound
from db.jobs import URGENT
from db.jobs import state_of as job_state_of
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

_OPEN = (JobState.QUEUED, JobState.RUNNING)
_UNSENT = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.HELD)


def urge(connection: Connection, job_id: int) -> None:
    """Let a job that waits or runs, and what it has to deliver, overtake what is routine.

    Raises
    ------
    NotFound
        There is no such job.
    IllegalMove
        It is over, and nothing of it waits to be sent that is not urgent already.
    """
    state = job_state_of(connection, job_id)
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
