"""Rows whose file is not there and files that no row knows: found by looking at all, and mended.

A crash leaves no such row (see ADR 1 and ``db.retention``), and files only that nobody was told of.
They come from disks that forget, from hands, and from backups whose parts are of different times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import PurePath
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Select, select
from sqlalchemy.orm import InstrumentedAttribute

from db import studies
from db.archive import STALE_SECONDS, Archive
from db.engine import Database
from db.schema import Instance, InstanceState, Job, Result
from db.studies import STORED, StoredInstance

_log = structlog.get_logger(__name__)
NOT_MENDED = "cannot be mended"
_CHANGED = "changed meanwhile"
_PAGE = 500  # rows or files looked at between two questions to the database

Adopt = Callable[[str], StoredInstance | None]
"""Says what the row of a file would be, None if it is no whole DICOM file of that name."""


class Kind(StrEnum):
    """What is wrong with a file or a row."""

    MISSING = "missing"
    """A row says that an image is here, and there is no file."""
    DAMAGED = "damaged"
    """An image's file is not as long as its row says."""
    UNRECORDED = "unrecorded"
    """No row says that this file is here."""
    LEFTOVER = "leftover"
    """The row of this file says that it was purged."""
    RESULT_MISSING = "result-missing"
    """A result's file is not there, or not as long as its row says."""
    RESULT_UNRECORDED = "result-unrecorded"
    """No row knows this result."""


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """A file or a row without its other half.

    Attributes
    ----------
    study_uid
        None where no row tells.
    """

    kind: Kind
    path: str
    sop_instance_uid: str
    study_uid: str | None


@dataclass(frozen=True, kw_only=True)
class _Row:
    key: str | int  # rows come in its order
    sop_instance_uid: str
    study_uid: str
    path: str
    size: int


def find(database: Database, archive: Archive) -> Iterator[Orphan]:
    """Look at every row and every file; the node may be at work meanwhile.

    Files younger than an hour are left out: their rows may be on their way.
    """
    for row in _rows(database, _images, Instance.sop_instance_uid):
        kind = _trouble(archive, row)
        if kind is not None and _is_known(database, row, _image_kinds):
            yield _orphan(kind, row)
    for row in _rows(database, _results, Result.id):
        missing = _trouble(archive, row) is not None
        if missing and _is_known(database, row, _result_kinds):
            yield _orphan(Kind.RESULT_MISSING, row)
    yield from _unknown_files(database, archive, "archive", _image_kinds)
    yield from _unknown_files(database, archive, "results", _result_kinds)


def mend(
    database: Database, archive: Archive, orphan: Orphan, adopt: Adopt, quiet_seconds: float
) -> str:
    """Mend what can be mended; return what was done, or that nothing was.

    No file is deleted but one whose row says that it was to go. An image that is lost is new when
    it is sent again. What has changed since it was found is left alone.

    Raises
    ------
    OSError
        The disk refuses.
    """
    with database.write() as connection:
        if orphan.kind in (Kind.MISSING, Kind.DAMAGED):
            done = _lose(connection, archive, orphan)
        elif orphan.kind is Kind.UNRECORDED:
            done = _record(connection, archive, orphan, adopt, quiet_seconds)
        elif orphan.kind is Kind.LEFTOVER:
            done = _finish_purge(connection, archive, orphan)
        elif orphan.kind is Kind.RESULT_UNRECORDED:
            done = _set_aside(archive, orphan)
        else:
            done = NOT_MENDED
    if orphan.kind is Kind.LEFTOVER:
        archive.erase(orphan.path)
    _log.warning("orphan.mended", kind=orphan.kind.value, path=orphan.path, done=done)
    return done


def _lose(connection: Connection, archive: Archive, orphan: Orphan) -> str:
    row = _images(Instance.sop_instance_uid == orphan.sop_instance_uid, STORED)
    locked = connection.execute(row.with_for_update()).one_or_none()
    if locked is None or _trouble(archive, _Row(**locked._mapping)) is not orphan.kind:
        return _CHANGED
    studies.lose(connection, [orphan.sop_instance_uid])
    if orphan.kind is Kind.MISSING:
        return "marked as lost"
    archive.set_aside(orphan.path)
    return "set aside, and marked as lost"


def _record(
    connection: Connection, archive: Archive, orphan: Orphan, adopt: Adopt, quiet_seconds: float
) -> str:
    if studies.stored(connection, orphan.sop_instance_uid) is not None:
        return _set_aside(archive, orphan)  # unless it is the file of that row, which is young
    instance = adopt(orphan.path)
    if instance is None:
        return _set_aside(archive, orphan)
    return "recorded" if studies.record(connection, instance, quiet_seconds) else _CHANGED


def _finish_purge(connection: Connection, archive: Archive, orphan: Orphan) -> str:
    purged = select(Instance.path).where(
        Instance.sop_instance_uid == orphan.sop_instance_uid,
        Instance.state == InstanceState.PURGED,
    )
    if connection.execute(purged.with_for_update()).scalar_one_or_none() != orphan.path:
        return _CHANGED
    archive.retire([orphan.path])
    return "removed"


def _set_aside(archive: Archive, orphan: Orphan) -> str:
    """Set a file aside, unless it was just stored: until its row is committed nobody sees that."""
    aside = archive.set_aside(orphan.path, changed_before=time.time() - STALE_SECONDS)
    return "set aside" if aside else _CHANGED


def _orphan(kind: Kind, row: _Row) -> Orphan:
    return Orphan(
        kind=kind,
        path=row.path,
        sop_instance_uid=row.sop_instance_uid,
        study_uid=row.study_uid,
    )


def _trouble(archive: Archive, row: _Row) -> Kind | None:
    """What is wrong with the file of a row."""
    try:
        whole = archive.full_path(row.path).stat().st_size == row.size
    except FileNotFoundError:
        return Kind.MISSING
    return None if whole else Kind.DAMAGED


def _images(*conditions: ColumnElement[bool]) -> Select[Any, Any, Any, Any, Any]:
    return select(
        Instance.sop_instance_uid.label("key"),
        Instance.sop_instance_uid,
        Instance.study_uid,
        Instance.path,
        Instance.size,
    ).where(STORED, *conditions)


def _results(*conditions: ColumnElement[bool]) -> Select[Any, Any, Any, Any, Any]:
    return (
        select(
            Result.id.label("key"), Result.sop_instance_uid, Job.study_uid, Result.path, Result.size
        )
        .join(Job, Job.id == Result.job_id)
        .where(*conditions)
    )


def _rows(
    database: Database,
    query: Callable[..., Select[Any, Any, Any, Any, Any]],
    key: InstrumentedAttribute[str] | InstrumentedAttribute[int],
) -> Iterator[_Row]:
    """Rows in the order of a key, with no transaction open while the caller has one."""
    conditions: list[ColumnElement[bool]] = []
    while True:
        with database.read() as connection:
            page = query(*conditions).order_by(key).limit(_PAGE)
            rows = [_Row(**row._mapping) for row in connection.execute(page)]
        yield from rows
        if len(rows) < _PAGE:
            return
        conditions = [key > rows[-1].key]


Kinds = Callable[[Connection, Sequence[str]], Mapping[str, Kind | None]]
"""What is said of the files of these SOP Instance UIDs, by path; None of one that should be."""


def _image_kinds(connection: Connection, uids: Sequence[str]) -> Mapping[str, Kind | None]:
    of_state = {
        InstanceState.STORED: None,
        InstanceState.PURGED: Kind.LEFTOVER,
        InstanceState.LOST: Kind.UNRECORDED,
    }
    rows = connection.execute(
        select(Instance.path, Instance.state).where(Instance.sop_instance_uid.in_(uids))
    )
    return {row.path: of_state[InstanceState(row.state)] for row in rows}


def _result_kinds(connection: Connection, uids: Sequence[str]) -> Mapping[str, Kind | None]:
    rows = connection.execute(select(Result.path).where(Result.sop_instance_uid.in_(uids)))
    return dict.fromkeys(rows.scalars())


def _is_known(database: Database, row: _Row, kinds: Kinds) -> bool:
    """Ask again: retention may have come between the row and the look for its file."""
    with database.read() as connection:
        known = kinds(connection, [row.sop_instance_uid])
    return row.path in known and known[row.path] is None


def _unknown_files(
    database: Database, archive: Archive, folder: str, kinds: Kinds
) -> Iterator[Orphan]:
    """Files below a folder that no row says are here."""
    unknown = Kind.UNRECORDED if folder == "archive" else Kind.RESULT_UNRECORDED
    files = archive.files(folder, changed_before=time.time() - STALE_SECONDS)
    while paths := list(islice(files, _PAGE)):
        with database.read() as connection:
            known = kinds(connection, [PurePath(path).stem for path in paths])
        for path in paths:
            kind = known.get(path, unknown)
            if kind is not None:
                uid = PurePath(path).stem
                yield Orphan(kind=kind, path=path, sop_instance_uid=uid, study_uid=None)
