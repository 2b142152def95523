"""What waits, is stuck, and goes where, at this moment: for ``/metrics``, in few rows by index."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from db import claims
from db.engine import now
from db.jobs import ROUTINE, UNDECIDED, URGENT
from db.schema import SETTLED, Delivery, DeliveryState, Job, JobState, Outage

UNSETTLED = tuple(state for state in DeliveryState if state not in SETTLED)
"""States of deliveries that the destination does not have yet."""

_NAMES = ((URGENT, "urgent"), (UNDECIDED, "undecided"), (ROUTINE, "routine"))
PRIORITIES = tuple(name for _, name in _NAMES)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The queued jobs of a model and a priority; ``oldest`` is its age in seconds."""

    model: str
    priority: str
    jobs: int
    oldest: float


def queues(connection: Connection) -> list[Queue]:
    """What waits to be read."""
    moment = now(connection)
    rows = connection.execute(
        select(Job.model, Job.priority, func.count(), func.min(Job.created_at))
        .where(claims.QUEUED)
        .group_by(Job.model, Job.priority)
    )
    found: dict[tuple[str, str], Queue] = {}
    for model, priority, jobs, first in rows:
        place = model, _named(priority)
        before = found.get(place)
        found[place] = Queue(
            model=model,
            priority=place[1],
            jobs=jobs + (before.jobs if before else 0),
            oldest=max(0.0, moment - first, before.oldest if before else 0.0),
        )
    return list(found.values())


def jobs(connection: Connection, state: JobState) -> dict[str, int]:
    """How many jobs of each model are in a state that few are in."""
    rows = connection.execute(
        select(Job.model, func.count()).where(Job.state == state).group_by(Job.model)
    )
    return {row[0]: row[1] for row in rows}


def deliveries(connection: Connection) -> dict[tuple[str, str], int]:
    """How many deliveries to each destination are in each state in which they are not settled."""
    rows = connection.execute(
        select(Delivery.destination, Delivery.state, func.count())
        .where(Delivery.state.in_(UNSETTLED))
        .group_by(Delivery.destination, Delivery.state)
    )
    return {(destination, state): count for destination, state, count in rows}


def away(connection: Connection) -> set[str]:
    """Destinations that cannot be reached."""
    return set(connection.execute(select(Outage.destination)).scalars())


def _named(priority: int) -> str:
    return next((name for least, name in _NAMES if priority >= least), PRIORITIES[-1])
