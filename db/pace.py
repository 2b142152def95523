"""How long studies took from their last image to the PACS, over time."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import NamedTuple

from sqlalchemy import Connection, select

from db.engine import now
from db.schema import AT_DESTINATION, Delivery, Job, Study

_SAMPLE = 5000  # as of db.throughput: more would say the same and cost more


class Pace(NamedTuple):
    """Seconds from the last image to sent: median, and the longest; None without any."""

    median: float | None
    longest: float | None


def pace(connection: Connection, *, seconds: float, count: int) -> list[Pace]:
    """The pace of each of the last ``count`` spans of so many seconds, oldest first."""
    first = now(connection) // seconds * seconds - (count - 1) * seconds
    rows = connection.execute(
        select(Delivery.sent_at, Study.last_received_at)
        .join(Job, Job.id == Delivery.job_id)
        .join(Study, Study.study_uid == Job.study_uid)
        .where(
            Delivery.sent_at >= first,
            Delivery.state.in_(AT_DESTINATION),
            Study.last_received_at <= Job.created_at,
        )
        .order_by(Delivery.sent_at.desc())
        .limit(_SAMPLE)
    )
    taken = defaultdict[int, list[float]](list)
    for sent_at, last_at in rows:
        assert sent_at is not None
        taken[int((sent_at - first) // seconds)].append(max(0.0, sent_at - last_at))
    return [
        Pace(statistics.median(taken[each]), max(taken[each]))
        if each in taken
        else Pace(None, None)
        for each in range(count)
    ]
