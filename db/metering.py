"""Counts what has happened into the meters, each thing once.

Each source is a column with the time at which something happened, and a mark up to which it has
been counted. A pass counts the rows between the mark and a horizon, and moves the mark in the same
transaction, if it still is where it was: whoever else passes at the same time counts nothing.

No row may come to light behind the mark, so the horizon is a moment before which nothing can happen
any more. On SQLite that is now, as seen by who holds the write lock: times are taken under it. On
PostgreSQL it is the beginning of the oldest open transaction, for a row's time lies in its
transaction; all processes log in as one user, who sees all of them.

Two things are missed: what is dated back when the clock of SQLite's host is set back, and what a
transaction dates that then waits a minute before its first write. What is undone before it is
counted, such as a dead job that is retried by hand at once, is not counted either.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, select, text, update
from sqlalchemy.orm import InstrumentedAttribute

from db import figures, meters
from db.engine import Database, insert_ignoring, now
from db.meters import Increments
from db.schema import Delivery, Instance, Job, JobInput, JobState, Meter

PASS_SECONDS = 15.0
"""How often what has happened is counted, by whichever process."""

PASS = "metering"
"""The figure that says up to when everything is counted."""

_MARK = "counted_until"
_BUSY_SECONDS = 2.0  # of a pass; a node that was upgraded catches up over many
# Of the Defined Terms of Modality (PS3.3 section C.7.3.1.1.1). Whatever else a peer writes there is
# counted as "other": it would be a label of its own, and may be anything.
_MODALITIES = frozenset(
    {
        "BMD", "CR", "CT", "DOC", "DX", "ECG", "ES", "GM", "IO", "IVOCT", "IVUS", "KO", "MG", "MR",
        "NM", "OP", "OPT", "OT", "PR", "PT", "PX", "REG", "RF", "RG", "RTDOSE", "RTIMAGE", "RTPLAN",
        "RTSTRUCT", "SC", "SEG", "SM", "SR", "US", "XA", "XC",
    }
)  # fmt: skip
# A transaction of ours writes within a minute of its beginning; one that only reads never will.
_OLDEST = text(
    """
    select extract(epoch from least(min(xact_start), statement_timestamp()))
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
        and (backend_xid is not null or xact_start > clock_timestamp() - interval '1 minute')
    """
)


_Time = InstrumentedAttribute[float] | InstrumentedAttribute[float | None]


@dataclass(frozen=True)
class _Page:
    """The rows of a source with ``since <= time < until``."""

    column: _Time
    since: float
    until: float

    @property
    def rows(self) -> ColumnElement[bool]:
        return and_(self.column >= self.since, self.column < self.until)


@dataclass(frozen=True)
class _Source:
    """A column of times, how many rows of it are counted together, and what they count as."""

    column: _Time
    size: int
    count: Callable[[Connection, _Page], Increments]

    @property
    def mark(self) -> str:
        return meters.key({"source": str(self.column)})


def run(database: Database, older: float = PASS_SECONDS) -> bool:
    """Count what has happened; False if somebody did less than ``older`` seconds ago."""
    with database.write_hastily() as connection:
        if not figures.claim(connection, PASS, older):
            return False
        until = _horizon(connection)
    deadline, behind = time.monotonic() + _BUSY_SECONDS, list(_SOURCES)
    while behind:
        behind = [each for each in behind if _count_page(database, each, until)]
        if time.monotonic() > deadline:
            break
    if not behind:
        with database.write_hastily() as connection:
            figures.note(connection, PASS, until)
    return True


def _horizon(connection: Connection) -> float:
    """A moment before which nothing happens any more; in a transaction that writes."""
    if connection.dialect.name == "sqlite":
        return now(connection)
    return float(connection.execute(_OLDEST).scalar_one())


def _count_page(database: Database, source: _Source, horizon: float) -> bool:
    """Count the next rows of a source; whether there may be more."""
    with database.read() as connection:
        since = connection.execute(
            select(Meter.value).where(Meter.name == _MARK, Meter.labels == source.mark)
        ).scalar_one_or_none()
        until = _end_of_page(connection, source, since or 0.0, horizon)
        increments = source.count(connection, _Page(source.column, since or 0.0, until))
    if not increments:
        return False
    with database.write_hastily() as connection:
        if _move_mark(connection, source, since, until):
            meters.add(connection, increments)
    return until < horizon


def _end_of_page(connection: Connection, source: _Source, since: float, horizon: float) -> float:
    column = source.column
    last = connection.execute(
        select(column)
        .where(column >= since, column < horizon)
        .order_by(column)
        .offset(source.size - 1)
        .limit(1)
    ).scalar_one_or_none()
    # Rows of one time stay together.
    return horizon if last is None else math.nextafter(last, math.inf)


def _move_mark(connection: Connection, source: _Source, since: float | None, until: float) -> bool:
    """Whether the mark was where it had been seen."""
    if since is None:
        values = {"name": _MARK, "labels": source.mark, "value": until}
        return insert_ignoring(connection, Meter, values) is not None
    same = (Meter.name == _MARK, Meter.labels == source.mark, Meter.value == since)
    return connection.execute(update(Meter).where(*same).values(value=until)).rowcount == 1


def _received(connection: Connection, page: _Page) -> Increments:
    found = Increments()
    rows = connection.execute(
        select(Instance.modality, func.count(), func.sum(Instance.size))
        .where(page.rows)
        .group_by(Instance.modality)
    )
    for modality, count, size in rows:
        label = modality if modality in _MODALITIES else "other"
        found.count(meters.INSTANCES, label, by=count)
        found.count(meters.BYTES, label, by=float(size))
    return found


def _ended(connection: Connection, page: _Page) -> Increments:
    found = Increments()
    rows = connection.execute(
        select(
            Job.id, Job.model, Job.state, Job.created_at, Job.started_at, Job.finished_at,
            Job.answers, Job.batch,
        ).where(page.rows)
    ).all()  # fmt: skip
    done = [row for row in rows if row.state == JobState.DONE]
    arrived = _arrived(connection, [row.id for row in done])
    for row in rows:
        found.count(meters.JOBS, row.model, row.state)
    for row in done:
        if row.id in arrived:
            found.observe(meters.COMPLETION, _between(arrived[row.id], row.created_at), row.model)
        found.observe(meters.WAITING, _between(row.created_at, row.started_at), row.model)
        found.observe(meters.READING, _between(row.started_at, row.finished_at), row.model)
        if row.batch is not None:
            found.observe(meters.BATCH, row.batch, row.model)
        if row.answers is not None:
            _answered(found, row.model, row.answers)
    return found


def _answered(found: Increments, model: str, answers: str) -> None:
    """Count what a model said; see ``inference.said``."""
    said = json.loads(answers)
    found.count(meters.ANSWERS, model, said["answer"] or "none")
    if said["leading"] is not None:
        found.count(meters.LEADING, model, said["leading"])
    if said["abnormal_probability"] is not None:
        found.observe(meters.PROBABILITY, said["abnormal_probability"], model)


def _sent(connection: Connection, page: _Page) -> Increments:
    found = Increments()
    rows = connection.execute(
        select(
            Delivery.job_id, Delivery.destination, Delivery.created_at, Delivery.sent_at, Job.model
        )
        .join(Job, Job.id == Delivery.job_id)
        .where(page.rows)
    ).all()
    arrived = _arrived(connection, {row.job_id for row in rows})
    for row in rows:
        found.count(meters.SENT, row.destination)
        found.observe(meters.DELIVERY, _between(row.created_at, row.sent_at), row.destination)
        if row.job_id in arrived:
            found.observe(meters.TURNAROUND, _between(arrived[row.job_id], row.sent_at), row.model)
    return found


def _committed(connection: Connection, page: _Page) -> Increments:
    found = Increments()
    rows = connection.execute(
        select(Delivery.destination, func.count()).where(page.rows).group_by(Delivery.destination)
    )
    for destination, count in rows:
        found.count(meters.COMMITTED, destination, by=count)
    return found


def _arrived(connection: Connection, job_ids: Collection[int]) -> dict[int, float]:
    """When the last image of each job was received."""
    rows = connection.execute(
        select(JobInput.job_id, func.max(Instance.received_at))
        .join(Instance, Instance.sop_instance_uid == JobInput.sop_instance_uid)
        .where(JobInput.job_id.in_(job_ids))
        .group_by(JobInput.job_id)
    )
    return {row[0]: row[1] for row in rows}


def _between(earlier: float, later: float) -> float:
    """Seconds; none where the clock was set back, or an image that was purged came again."""
    return max(0.0, later - earlier)


_SOURCES = (
    _Source(Instance.received_at, 5000, _received),
    _Source(Job.finished_at, 500, _ended),
    _Source(Delivery.sent_at, 500, _sent),
    _Source(Delivery.committed_at, 5000, _committed),
)
