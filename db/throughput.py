"""How much passes, and how long each stage takes, over a window of time.

Counts are exact. Latencies are those of the newest readings and deliveries of the window, up to
``SAMPLE`` of each: quantiles of more would say the same and cost more.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute

from db.engine import now
from db.schema import AT_DESTINATION, Delivery, Instance, Job, JobState, Study
from db.stats import iso

MINUTE, HOUR = 60.0, 3600.0
SAMPLE = 2000
_P95 = 18  # of the 19 cuts between twentieths, counted from 0

STAGES = ("routing", "waiting", "reading", "delivery", "whole")
"""Last image to routed; queued to started; started to done; done to sent; last image to sent."""


def buckets(connection: Connection, *, seconds: float, count: int) -> list[dict[str, Any]]:
    """How much passed in each of the last ``count`` spans of so many seconds, oldest first.

    Returns
    -------
    list of dict
        ``start`` (ISO 8601), ``instances`` received (our own coming back, too), ``jobs`` done, and
        ``deliveries`` that their destination has. The last span is not over yet.
    """
    first = now(connection) // seconds * seconds - (count - 1) * seconds
    counted = {
        "instances": _counted(connection, Instance.received_at, first, seconds),
        "jobs": _counted(connection, Job.finished_at, first, seconds, _DONE),
        "deliveries": _counted(connection, Delivery.sent_at, first, seconds, _SENT),
    }
    return [
        {"start": iso(first + number * seconds)}
        | {name: found.get(number, 0) for name, found in counted.items()}
        for number in range(count)
    ]


def passed(connection: Connection, *, seconds: float) -> dict[str, int]:
    """How many instances, jobs and deliveries passed within the last so many seconds."""
    since = now(connection) - seconds
    return {
        "instances": _number(connection, Instance.received_at > since),
        "jobs": _number(connection, Job.finished_at > since, _DONE),
        "deliveries": _number(connection, Delivery.sent_at > since, _SENT),
    }


def latencies(
    connection: Connection, *, seconds: float
) -> dict[str, dict[str, float | int | None]]:
    """Median and 95th percentile of each of ``STAGES`` over the last so many seconds.

    A study that got further images after it was routed has no "routing" and no "whole": its last
    image is not the one that its reading waited for.

    Returns
    -------
    dict
        For each stage ``median`` and ``p95`` (seconds; null without any) and ``count``.
    """
    since = now(connection) - seconds
    read = connection.execute(
        select(Job.created_at, Job.started_at, Job.finished_at, Study.last_received_at)
        .join(Study, Study.study_uid == Job.study_uid)
        .where(Job.finished_at > since, _DONE)
        .order_by(Job.finished_at.desc())
        .limit(SAMPLE)
    ).all()
    sent = connection.execute(
        select(Delivery.sent_at, Job.finished_at, Job.created_at, Study.last_received_at)
        .join(Job, Job.id == Delivery.job_id)
        .join(Study, Study.study_uid == Job.study_uid)
        .where(Delivery.sent_at > since, _SENT)
        .order_by(Delivery.sent_at.desc())
        .limit(SAMPLE)
    ).all()
    spans: dict[str, Iterable[tuple[float | None, float | None]]] = {
        "routing": ((r.last_received_at, r.created_at) for r in read),
        "waiting": ((r.created_at, r.started_at) for r in read),
        "reading": ((r.started_at, r.finished_at) for r in read),
        "delivery": ((r.finished_at, r.sent_at) for r in sent),
        "whole": (
            (r.last_received_at, r.sent_at) for r in sent if r.last_received_at <= r.created_at
        ),
    }
    return {stage: _quantiles(spans[stage]) for stage in STAGES}


_DONE: ColumnElement[bool] = Job.state == JobState.DONE
_SENT: ColumnElement[bool] = Delivery.state.in_(AT_DESTINATION)


def _quantiles(
    spans: Iterable[tuple[float | None, float | None]],
) -> dict[str, float | int | None]:
    seconds = sorted(
        end - begin
        for begin, end in spans
        if begin is not None and end is not None and end >= begin
    )
    if not seconds:
        return {"median": None, "p95": None, "count": 0}
    return {
        "median": round(statistics.median(seconds), 3),
        "p95": round(_p95(seconds), 3),
        "count": len(seconds),
    }


def _p95(ordered: Sequence[float]) -> float:
    if len(ordered) == 1:
        return ordered[0]
    return statistics.quantiles(ordered, n=20, method="inclusive")[_P95]


def _number(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).where(*conditions)).scalar_one()


def _counted(
    connection: Connection,
    column: InstrumentedAttribute[float] | InstrumentedAttribute[float | None],
    first: float,
    seconds: float,
    *conditions: ColumnElement[bool],
) -> dict[int, int]:
    """How many rows fall into each span since ``first``, by its number."""
    span: ColumnElement[Any] = (column - first) / seconds
    # PostgreSQL rounds in a cast to integers, where SQLite leaves out what is behind the point.
    whole = func.floor(span) if connection.dialect.name == "postgresql" else span
    number = cast(whole, Integer)
    rows = connection.execute(
        select(number, func.count()).where(column >= first, *conditions).group_by(number)
    )
    return {row[0]: row[1] for row in rows}
