"""Which studies come on a page of a list, and how many images each has; see ``db.stats``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    func,
    literal,
    select,
    tuple_,
    union_all,
)

from db.errors import NotFound
from db.schema import Instance, Study


class Images(NamedTuple):
    """How many images of a modality a study has, in one state."""

    modality: str
    state: str
    number: int


def page(
    connection: Connection,
    state: str | None,
    conditions: Sequence[ColumnElement[bool]],
    *,
    before: str | None,
    limit: int,
    moment: float,
) -> Sequence[Row[Any]]:
    """Studies, latest first; the parameters are those of ``stats.studies``.

    Raises
    ------
    NotFound
        There is no study ``before``.
    """
    if before is not None:
        conditions = [*conditions, _after(connection, before)]
    return connection.execute(_latest(_kinds(state, moment), conditions, limit)).all()


def unknown(study_uid: str) -> NotFound:
    """The error that there is no such study."""
    return NotFound(f"no instance of study {study_uid} was received")


def images(connection: Connection, study_uids: Sequence[str]) -> dict[str, list[Images]]:
    """What was received of each study from others than this node, by modality."""
    found: dict[str, list[Images]] = {}
    rows = connection.execute(
        select(Instance.study_uid, Instance.modality, Instance.state, func.count())
        .where(Instance.study_uid.in_(study_uids), Instance.own.is_(False))
        .group_by(Instance.study_uid, Instance.modality, Instance.state)
        .order_by(Instance.modality)
    )
    for study_uid, modality, state, number in rows:
        found.setdefault(study_uid, []).append(Images(modality, state, number))
    return found


def _kinds(state: str | None, moment: float) -> list[ColumnElement[bool]]:
    """Conditions, each served by an index of its own, that together say in which state it is."""
    conditions = {
        "waiting": Study.due_at > moment,
        "due": Study.due_at <= moment,
        # Each of the two as the index that holds its rows alone says it.
        "routed": Study.purged_at.is_(None) & Study.due_at.is_(None),
        "purged": Study.purged_at.is_not(None),
    }
    if state is not None:
        return [conditions[state]]
    return [Study.purged_at.is_(None), Study.purged_at.is_not(None)]


def _latest(
    kinds: Sequence[ColumnElement[bool]], conditions: Sequence[ColumnElement[bool]], limit: int
) -> Select[Any]:
    """The latest studies of all kinds, of each by its own index."""
    order = (Study.last_received_at.desc(), Study.study_uid.desc())
    parts = [
        select(Study).where(kind, *conditions).order_by(*order).limit(limit).subquery()
        for kind in kinds
    ]
    found = union_all(*(select(each) for each in parts)).subquery()
    last = found.c.last_received_at.desc(), found.c.study_uid.desc()
    return select(found).order_by(*last).limit(limit)


def _after(connection: Connection, study_uid: str) -> ColumnElement[bool]:
    """Condition: the study comes behind this one in a list."""
    last = connection.execute(
        select(Study.last_received_at).where(Study.study_uid == study_uid)
    ).scalar_one_or_none()
    if last is None:
        raise unknown(study_uid)
    behind = tuple_(Study.last_received_at, Study.study_uid) < tuple_(literal(last), study_uid)
    return and_(Study.last_received_at <= last, behind)  # the first is what an index can serve
