"""Arrival of instances, and when a study is due.

Completion is the row ``study.due_at``, never a timer in memory: any number of receivers and
workers agree on it, and a restart forgets nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Double, Executable, and_, bindparam, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from db import wake
from db.driver import Driver, Step
from db.engine import driver_of, now, server_clock
from db.schema import Instance, InstanceState, Result, Study
from db.wake import Topic


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


# Part of its quiet time by which ``due_at`` may lie further off than need be: it is then not pushed
# for every instance, which would write three more pages of the database in each commit.
_SLACK = 0.1

_INSTANCE_FIELDS = [getattr(Instance, name) for name in StoredInstance.__dataclass_fields__]
STORED = Instance.state == InstanceState.STORED
"""Condition: the file is here."""


@dataclass(frozen=True)
class DueStudy:
    """A study whose time has come, with the ``due_at`` that was seen."""

    study_uid: str
    due_at: float


@dataclass(frozen=True, slots=True)
class Arriving:
    """An instance that is to be recorded.

    Attributes
    ----------
    instance
        What came; our own results (``own``) make no study due.
    quiet_seconds
        The study is due when no further instance arrives for this long, or up to a tenth longer.
    """

    instance: StoredInstance
    quiet_seconds: float


def stored(connection: Connection, sop_instance_uid: str) -> StoredInstance | None:
    """Return what is stored under a SOP Instance UID; None of what is purged or lost."""
    row = connection.execute(
        select(*_INSTANCE_FIELDS).where(Instance.sop_instance_uid == sop_instance_uid, STORED)
    ).one_or_none()
    return None if row is None else StoredInstance(**row._mapping)


def record(connection: Connection, instance: StoredInstance, quiet_seconds: float) -> bool:
    """Record one instance and push its study's ``due_at`` out; False, and no change, if known."""
    if stored(connection, instance.sop_instance_uid) is not None:
        return False
    return bool(record_all(driver_of(connection), [Arriving(instance, quiet_seconds)]))


def record_all(driver: Driver, arriving: Sequence[Arriving]) -> set[str]:
    """Record instances and push their studies' ``due_at`` out.

    Rows are taken in one order, studies before instances, so that two receivers cannot deadlock.

    Parameters
    ----------
    driver
        In a writing transaction; the caller commits.
    arriving
        What came. Instances that are stored already keep their rows; those that are purged or lost
        are taken as new. Those that this node made are marked as its own, whatever their header
        says.

    Returns
    -------
    set
        SOP Instance UIDs of those that were not stored.
    """
    ordered = sorted(arriving, key=lambda each: each.instance.sop_instance_uid)
    received_at, own = _clock_and_own(driver, ordered)
    ordered = [_owned(each) if each.instance.sop_instance_uid in own else each for each in ordered]
    touched = [Step(_study_upsert, values) for values in _touched(ordered, received_at)]
    inserted = [
        Step(
            _instance_upsert,
            {
                **vars(each.instance),
                "received_at": received_at,
                "state": InstanceState.STORED.value,
            },
        )
        for each in ordered
    ]
    rows = driver.run([*touched, *inserted])[len(touched) :]
    return {uid for returned in rows for (uid,) in returned}


def release(connection: Connection, study_uids: Iterable[str], release_seconds: float) -> None:
    """Pull ``due_at`` in: the sender of these studies has released its association."""
    due_at = now(connection) + release_seconds
    for study_uid in sorted(set(study_uids)):  # one order, so that two releases cannot deadlock
        connection.execute(
            update(Study)
            .where(Study.study_uid == study_uid, Study.due_at > due_at)
            .values(due_at=due_at)
        )
    wake.notify(connection, Topic.JOBS)


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


def take(connection: Connection, study: DueStudy, instances_seen: int) -> bool:
    """Take a due study for routing; False if it was taken, or an instance came in meanwhile.

    An instance that comes need not have moved ``due_at``, so they are counted, after the study's
    row is locked against receivers.
    """
    if not _leave_due(connection, study, None):
        return False
    count = select(func.count()).select_from(Instance)
    of_others = (Instance.study_uid == study.study_uid, Instance.own.is_(False), STORED)
    if connection.execute(count.where(*of_others)).scalar_one() == instances_seen:
        return True
    same = Study.study_uid == study.study_uid
    connection.execute(update(Study).where(same).values(due_at=study.due_at))
    return False


def instances(connection: Connection, study_uid: str) -> list[StoredInstance]:
    """Stored instances of a study that did not come from this node, in order of their UIDs."""
    rows = connection.execute(
        select(*_INSTANCE_FIELDS)
        .where(Instance.study_uid == study_uid, Instance.own.is_(False), STORED)
        .order_by(Instance.sop_instance_uid)
    )
    return [StoredInstance(**row._mapping) for row in rows]


def missing(connection: Connection, study_uid: str) -> dict[InstanceState, int]:
    """How many instances of a study that did not come from this node are purged, and lost."""
    rows = connection.execute(
        select(Instance.state, func.count())
        .where(Instance.study_uid == study_uid, Instance.own.is_(False), ~STORED)
        .group_by(Instance.state)
    )
    return dict.fromkeys((InstanceState.PURGED, InstanceState.LOST), 0) | {
        InstanceState(state): count for state, count in rows
    }


def lose(connection: Connection, sop_instance_uids: Iterable[str]) -> list[str]:
    """Stored to lost; return those that were stored.

    Sent again they are new, and their study is due.
    """
    lost = []
    for uid in sorted(sop_instance_uids):
        changed = connection.execute(
            update(Instance)
            .where(Instance.sop_instance_uid == uid, STORED)
            .values(state=InstanceState.LOST)
        )
        if changed.rowcount:
            lost.append(uid)
    return lost


def _leave_due(connection: Connection, study: DueStudy, due_at: float | None) -> bool:
    changed = connection.execute(
        update(Study)
        .where(Study.study_uid == study.study_uid, Study.due_at == study.due_at)
        .values(due_at=due_at)
    )
    return changed.rowcount == 1


def _clock_and_own(driver: Driver, arriving: Sequence[Arriving]) -> tuple[float, set[str]]:
    """Now, and which SOP Instance UIDs are those of our own results."""
    lookups = [Step(_result_uid, {"uid": each.instance.sop_instance_uid}) for each in arriving]
    if not driver.is_postgresql:
        return time.time(), {uid for rows in driver.run(lookups) for (uid,) in rows}
    ((moment,),), *found = driver.run([Step(server_clock, {}), *lookups])
    return float(moment), {uid for rows in found for (uid,) in rows}


def _owned(arriving: Arriving) -> Arriving:
    return replace(arriving, instance=replace(arriving.instance, own=True))


def _touched(arriving: Sequence[Arriving], received_at: float) -> list[dict[str, Any]]:
    """Rows of the studies: to be made, or to push ``due_at`` out and never in."""
    quiet: dict[str, float | None] = {}
    for each in arriving:
        own, study_uid = each.instance.own, each.instance.study_uid
        quiet[study_uid] = _longer(quiet.get(study_uid), None if own else each.quiet_seconds)
    return [
        {
            "study_uid": study_uid,
            "first_received_at": received_at,
            "last_received_at": received_at,
            "due_at": None if seconds is None else received_at + seconds * (1 + _SLACK),
            "purged_at": None,
            "not_before": None if seconds is None else received_at + seconds,
        }
        for study_uid, seconds in sorted(quiet.items())
    ]


def _longer(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return max(one, other)


def _result_uid(_dialect: str) -> Executable:
    return select(Result.sop_instance_uid).where(Result.sop_instance_uid == bindparam("uid"))


def _study_upsert(dialect: str) -> Executable:
    statement: postgresql.Insert = _insert(dialect)(Study.__table__)
    given = statement.excluded
    not_before = bindparam("not_before", type_=Double)
    return statement.on_conflict_do_update(
        index_elements=[Study.study_uid],
        set_={
            "last_received_at": given.last_received_at,
            "due_at": given.due_at,
            "purged_at": given.purged_at,
        },
        # A purged study is not due, so an instance of our own does not take that from it.
        where=or_(
            Study.purged_at.is_not(None),
            and_(given.due_at.is_not(None), or_(Study.due_at.is_(None), Study.due_at < not_before)),
        ),
    )


def _instance_upsert(dialect: str) -> Executable:
    statement: postgresql.Insert = _insert(dialect)(Instance.__table__)
    given = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[Instance.sop_instance_uid],
        set_={each.name: each for each in given if not each.primary_key},
        where=Instance.state != given.state,
    ).returning(Instance.sop_instance_uid)


def _insert(dialect: str) -> Any:
    return postgresql.insert if dialect == "postgresql" else sqlite.insert
