"""What waits to be read, in few rows by index; counted once for all who show it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, func, select

from db import claims
from db.engine import now
from db.schema import Job

_Place = TypeVar("_Place", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The queued jobs of a model version and a priority; ``oldest`` is its age in seconds."""

    model: str
    version: str
    priority: int
    jobs: int
    oldest: float


def queued(connection: Connection) -> list[Waiting]:
    """What waits, the most urgent first."""
    moment = now(connection)
    rows = connection.execute(
        select(Job.model, Job.model_version, Job.priority, func.count(), func.min(Job.created_at))
        .where(claims.QUEUED)
        .group_by(Job.model, Job.model_version, Job.priority)
        .order_by(Job.priority.desc(), Job.model, Job.model_version)
    )
    return [
        Waiting(
            model=model,
            version=version,
            priority=priority,
            jobs=count,
            oldest=round(max(0.0, moment - first), 1),
        )
        for model, version, priority, count, first in rows
    ]


def grouped(
    waiting: Sequence[Waiting], place: Callable[[Waiting], _Place]
) -> dict[_Place, tuple[int, float]]:
    """How many jobs there are in each place, and how old the oldest is; the first ones first."""
    found: dict[_Place, tuple[int, float]] = {}
    for each in waiting:
        jobs, oldest = found.get(place(each), (0, 0.0))
        found[place(each)] = jobs + each.jobs, max(oldest, each.oldest)
    return found
