"""Arrival of instances, and when a study is due.

Completion is the row ``study.due_at``, never a timer in memory: any number of receivers and
workers agree on it, and a restart forgets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import Connection, case, select, update

from db.engine import insert_ignoring, now
from db.schema import Instance, Study


class Arrival(Enum):
    """What became of an instance that was recorded."""

    NEW = "new"
    IDENTICAL = "identical"  # already here with the same bytes
    CONFLICT = "conflict"  # already here with other bytes


@dataclass(frozen=True, kw_only=True)
class StoredInstance:
    """An instance as the table knows it; see ``db.schema.Instance`` for the fields."""

    sop_instance_uid: str
    study_uid: str
    series_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    modality: str
    own: bool
    size: int
    digest: str
    path: str
    calling_ae: str


@dataclass(frozen=True)
class DueStudy:
    """A study whose time has come, with the ``due_at`` that was seen."""

    study_uid: str
    due_at: float


def known(connection: Connection, sop_instance_uid: str, digest: str) -> Arrival:
    """Say whether an instance is new, here already, or here with other bytes."""
    stored = connection.execute(
        select(Instance.digest).where(Instance.sop_instance_uid == sop_instance_uid)
    ).scalar_one_or_none()
    if stored is None:
        return Arrival.NEW
    return Arrival.IDENTICAL if stored == digest else Arrival.CONFLICT


def record(connection: Connection, instance: StoredInstance, quiet_seconds: float) -> Arrival:
    """Record an instance whose file is on disk and push its study's ``due_at`` out.

    Parameters
    ----------
    connection
        A writing transaction; the caller commits.
    instance
        What was stored.
    quiet_seconds
        The study is due when no further instance arrives for this long. Our own results
        (``instance.own``) make no study due.

    Returns
    -------
    Arrival
        Only ``NEW`` changes anything.
    """
    received_at = now(connection)
    due_at = None if instance.own else received_at + quiet_seconds
    arrival = known(connection, instance.sop_instance_uid, instance.digest)
    if arrival is not Arrival.NEW:
        return arrival
    _touch_study(connection, instance.study_uid, received_at, due_at)
    values = {**vars(instance), "received_at": received_at}
    if insert_ignoring(connection, Instance, values) is not None:
        return Arrival.NEW
    return known(connection, instance.sop_instance_uid, instance.digest)


def release(connection: Connection, study_uids: Iterable[str], release_seconds: float) -> None:
    """Pull ``due_at`` in: the sender of these studies has released its association."""
    due_at = now(connection) + release_seconds
    for study_uid in sorted(set(study_uids)):  # one order, so that two releases cannot deadlock
        connection.execute(
            update(Study)
            .where(Study.study_uid == study_uid, Study.due_at > due_at)
            .values(due_at=due_at)
        )


def due(connection: Connection, limit: int = 16) -> list[DueStudy]:
    """Studies whose time has come, longest overdue first."""
    rows = connection.execute(
        select(Study.study_uid, Study.due_at)
        .where(Study.due_at <= now(connection))
        .order_by(Study.due_at)
        .limit(limit)
    )
    return [DueStudy(study_uid, due_at) for study_uid, due_at in rows if due_at is not None]


def seconds_to_next(connection: Connection) -> float | None:
    """Seconds until the next study is due, 0 if one is; None if no study waits."""
    due_at = connection.execute(
        select(Study.due_at).where(Study.due_at.is_not(None)).order_by(Study.due_at).limit(1)
    ).scalar_one_or_none()
    return None if due_at is None else max(0.0, due_at - now(connection))


def postpone(connection: Connection, study: DueStudy, seconds: float) -> bool:
    """Try a due study again later; False if it was taken, or an instance came in meanwhile."""
    return _leave_due(connection, study, now(connection) + seconds)


def take(connection: Connection, study: DueStudy) -> bool:
    """Take a due study for routing; False if it was taken, or an instance came in meanwhile."""
    return _leave_due(connection, study, None)


def instances(connection: Connection, study_uid: str) -> list[StoredInstance]:
    """Instances of a study that did not come from this node, in order of their UIDs."""
    fields = [getattr(Instance, name) for name in StoredInstance.__dataclass_fields__]
    rows = connection.execute(
        select(*fields)
        .where(Instance.study_uid == study_uid, Instance.own.is_(False))
        .order_by(Instance.sop_instance_uid)
    )
    return [StoredInstance(**row._mapping) for row in rows]


def _leave_due(connection: Connection, study: DueStudy, due_at: float | None) -> bool:
    changed = connection.execute(
        update(Study)
        .where(Study.study_uid == study.study_uid, Study.due_at == study.due_at)
        .values(due_at=due_at)
    )
    return changed.rowcount == 1


def _touch_study(
    connection: Connection, study_uid: str, received_at: float, due_at: float | None
) -> None:
    first = insert_ignoring(
        connection,
        Study,
        {
            "study_uid": study_uid,
            "first_received_at": received_at,
            "last_received_at": received_at,
            "due_at": due_at,
        },
    )
    if first is not None:
        return
    values: dict[str, object] = {"last_received_at": received_at}
    if due_at is not None:  # pushed out, never in: modalities have different quiet times
        values["due_at"] = case((Study.due_at > due_at, Study.due_at), else_=due_at)
    connection.execute(update(Study).where(Study.study_uid == study_uid).values(**values))
