"""Removes what the site does not want kept: received images first, later all of a study.

A study goes as a whole, and only when nothing is under way with it. Its rows and its files cannot
change in one transaction, so this is the order of steps:

1. The study's row is locked. Receivers lock it before they record an instance, and routing before
   it makes a job, so nothing comes in between; that the study is finished is seen after that.
2. The rows say ``purged``; nothing is committed yet.
3. The files are renamed into ``purged/`` in the data folder, and that folder is synced.
4. Commit.
5. The audit trail is told, and the files are erased.

Killed before 4, it leaves files in ``purged/`` whose rows say ``stored``, and ``recover`` puts them
back; killed after it, files whose rows say ``purged``, and ``recover`` erases them.

So no row says of a file that is gone for good that it is here, and no file outlives its row unseen.
Erasing first would leave rows that lie; committing first would let an instance that is sent again
at that moment be stored under a name that is about to be removed.

Of a purged study stay the rows: what came when, what was read and why not, where the results went.
An instance that is sent again is new: it is stored, and its study due. That reads nothing twice,
because a job of the same images is known; a model or version that is new here does read it. A late
image is read without those that were purged, and its report says so.

When the results go as well, the study is forgotten with all its rows. The same order holds, with
``purged`` replaced by no row. A request for storage commitment may name images of several studies,
and is forgotten by its own age.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from db import commitment, identities
from db.archive import Archive
from db.engine import Database, now
from db.schema import (
    SETTLED,
    WAITING,
    Delivery,
    DeliveryForm,
    DeliveryState,
    Instance,
    InstanceState,
    Job,
    JobInput,
    JobState,
    Result,
    Study,
)
from db.studies import STORED

_log = structlog.get_logger(__name__)

_DAY_SECONDS = 86_400.0
RECOVERED = 1.1
"""Of the mark must be free before it is enough, as for taking images again."""

_PAGE = 100  # studies looked for at once
_PAUSE_SECONDS = 0.05  # after each study: who waits for SQLite's one writer looks every 0.1 s


class Rule(StrEnum):
    """Why a study's files go."""

    AGE = "age"
    """It is older than images are kept; nothing is under way with it."""
    DELIVERED = "delivered"
    """Also, every result of it has arrived, and no job of it has been given up."""
    DISK = "disk"
    """It is the oldest of which every job is done or cannot be, and the disk is nearly full."""
    FORGOTTEN = "forgotten"
    """It is older than results are kept."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is kept how long; 0 is for ever.

    Attributes
    ----------
    source_days
        Images, since the study's last one came.
    delivered_days
        The same for a study whose results have all arrived.
    mark_bytes
        With less free disk, the oldest studies go until a tenth more than that is free.
    result_days
        Results and rows, since the study's last image came; its images go by then as well. And
        requests for storage commitment, since they were reported or given up.
    """

    source_days: float = 0.0
    delivered_days: float = 0.0
    mark_bytes: int = 0
    result_days: float = 0.0

    @property
    def rules(self) -> dict[Rule, float]:
        """The rules that go by age, with the days of each; of an image's two the sooner."""
        ages = [days for days in (self.source_days, self.result_days) if days]
        days = {
            Rule.AGE: min(ages, default=0.0),
            Rule.DELIVERED: self.delivered_days,
            Rule.FORGOTTEN: self.result_days,
        }
        return {rule: each for rule, each in days.items() if each}

    @property
    def removes(self) -> bool:
        """Whether anything is ever removed."""
        return bool(self.rules or self.mark_bytes)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A study that may go.

    Attributes
    ----------
    files, size
        How many images of it are here, and their bytes; of its results, if it is forgotten.
    """

    study_uid: str
    last_received_at: float
    files: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What has left the archive and waits to be erased.

    Attributes
    ----------
    classes
        How many instances of each SOP class.
    size
        Bytes.
    paths
        See ``Archive.retired_path``.
    """

    study_uid: str
    rule: Rule
    classes: Mapping[str, int]
    size: int
    paths: tuple[str, ...]


class Retention:
    """Removes what a policy does not keep; any number of processes and hosts may do so at once.

    Parameters
    ----------
    policy, database, archive
        What to remove, and where.
    free_bytes
        Says how much of the disk is free.
    tell
        Is told of each study after its rows are committed and before its files are erased.
    """

    def __init__(
        self,
        policy: Policy,
        database: Database,
        archive: Archive,
        free_bytes: Callable[[], int],
        tell: Callable[[Removed], None] = lambda _: None,
    ) -> None:
        self._policy = policy
        self._database = database
        self._archive = archive
        self._free_bytes = free_bytes
        self._tell = tell
        self._stuck = False

    def run_once(self, stop: threading.Event) -> list[Removed]:
        """Remove all that may go now; what a crash left behind comes first.

        Raises
        ------
        OSError, SQLAlchemyError
            The disk or the database refuses; the next call goes on from there.
        """
        recover(self._database, self._archive)
        if self._policy.result_days:
            self._forget_requests(self._policy.result_days, stop)
        removed = []
        for rule, days in self._policy.rules.items():
            removed += self._remove(rule, days, stop)
        if self._disk_is_below(self._policy.mark_bytes):
            removed += self._remove(Rule.DISK, 0.0, stop)
            self._say_if_stuck()
        return removed

    def _remove(self, rule: Rule, days: float, stop: threading.Event) -> list[Removed]:
        removed = []
        enough = self._policy.mark_bytes * RECOVERED
        for each in candidates(self._database, rule, days):
            if stop.is_set() or (rule is Rule.DISK and not self._disk_is_below(enough)):
                break
            gone = take_out(self._database, self._archive, each.study_uid, rule)
            if gone is not None:
                self._erase(gone)
                removed.append(gone)
                stop.wait(_PAUSE_SECONDS)
        return removed

    def _forget_requests(self, days: float, stop: threading.Event) -> None:
        """Remove requests for storage commitment that ended so long ago; they have no files."""
        while not stop.is_set():
            with self._database.read() as connection:
                before = now(connection) - days * _DAY_SECONDS
                ids = commitment.finished(connection, before)
            if not ids:
                return
            with self._database.write() as connection:
                forgotten = commitment.forget(connection, ids)
            if not forgotten:
                return  # another process is at it
            _log.info("commitments.forgotten", commitments=forgotten)
            stop.wait(_PAUSE_SECONDS)

    def _erase(self, gone: Removed) -> None:
        _log.info(
            "study.purged",
            study_uid=gone.study_uid,
            rule=gone.rule.value,
            files=len(gone.paths),
            bytes=gone.size,
        )
        self._tell(gone)
        for path in gone.paths:
            self._archive.erase(path)

    def _disk_is_below(self, mark: float) -> bool:
        return bool(mark) and self._free_bytes() < mark

    def _say_if_stuck(self) -> None:
        """Say once that the disk is below the mark and nothing may go."""
        stuck = self._disk_is_below(self._policy.mark_bytes)
        if stuck and not self._stuck:
            _log.error("retention.stuck", reason="the disk is below its mark and nothing may go")
        self._stuck = stuck


def candidates(database: Database, rule: Rule, days: float) -> Iterator[Candidate]:
    """Studies that may go by a rule, those first whose last image came longest ago.

    No transaction is open while the caller has one of them.
    """
    last = (-1.0, "")
    while True:
        with database.read() as connection:
            before = now(connection) - days * _DAY_SECONDS
            rows = connection.execute(_page(rule, before, last)).all()
        yield from (Candidate(**row._mapping) for row in rows)
        if len(rows) < _PAGE:
            return
        last = (rows[-1].last_received_at, rows[-1].study_uid)


def take_out(database: Database, archive: Archive, study_uid: str, rule: Rule) -> Removed | None:
    """Take a study's files out of the archive; None if it may not go by that rule any more.

    Whoever calls this erases them; see the head of this module.

    Raises
    ------
    OSError
        The disk refuses; ``recover`` puts back what was moved.
    """
    try:
        with database.write() as connection:
            if not _locked(connection, study_uid, rule):
                return None
            leave = _forget if rule is Rule.FORGOTTEN else _purge
            rows = leave(connection, study_uid)
            archive.retire(row.path for row in rows)
    except IntegrityError:
        # An image came again under another study, whose jobs still refer to this one.
        _log.warning("study.kept", study_uid=study_uid, reason="another study refers to it")
        return None
    return Removed(
        study_uid=study_uid,
        rule=rule,
        classes=Counter(row.sop_class_uid for row in rows),
        size=sum(row.size for row in rows),
        paths=tuple(row.path for row in rows),
    )


def recover(database: Database, archive: Archive) -> None:
    """Put back or erase what a crash left on its way out.

    What another process is taking out this moment is waited for: it holds the rows.

    Raises
    ------
    OSError
        The disk refuses.
    """
    for path in archive.retired():
        with database.write() as connection:
            if _is_wanted(connection, path):
                archive.reinstate(path)
                _log.warning("file.reinstated", path=path)
            else:
                archive.erase(path)


def _page(rule: Rule, before: float, last: tuple[float, str]) -> Select[str, float, int, int]:
    place = tuple_(Study.last_received_at, Study.study_uid)
    files = _results_of(Study.study_uid) if rule is Rule.FORGOTTEN else _images_of(Study.study_uid)
    counted = files.with_only_columns(func.count()).scalar_subquery()
    size_column = Result.size if rule is Rule.FORGOTTEN else Instance.size
    size = files.with_only_columns(func.coalesce(func.sum(size_column), 0)).scalar_subquery()
    return (
        select(Study.study_uid, Study.last_received_at, counted.label("files"), size.label("size"))
        .where(
            _may_go(rule),
            Study.last_received_at < before,
            Study.last_received_at >= last[0],  # said apart, for the index
            place > last,
        )
        .order_by(Study.last_received_at, Study.study_uid)
        .limit(_PAGE)
    )


def _may_go(rule: Rule) -> ColumnElement[bool]:
    """Whether a rule lets a study go, but for its age."""
    if rule is Rule.FORGOTTEN:
        return and_(Study.purged_at.is_not(None), _is_finished())
    conditions = [Study.purged_at.is_(None), _is_finished()]
    if rule is not Rule.AGE:
        # A job that was given up can be tried again by hand, and needs the images for that.
        conditions.append(~_has_job(Job.state == JobState.DEAD))
    if rule is Rule.DELIVERED:
        conditions.append(~_has_delivery(Delivery.state.not_in(SETTLED)))
    return and_(*conditions)


def _locked(connection: Connection, study_uid: str, rule: Rule) -> bool:
    """Lock a study; False if somebody else has, or if it may not go."""
    study = select(Study.study_uid).where(Study.study_uid == study_uid)
    lock = study.with_for_update(skip_locked=True)
    if connection.execute(lock).one_or_none() is None:
        return False
    # Asked after the lock, for what was true before it need not be any more.
    return connection.execute(study.where(_may_go(rule))).one_or_none() is not None


def _is_finished() -> ColumnElement[bool]:
    """Whether nothing is under way with a study; its results may have to be sent again."""
    to_send = Delivery.state.in_((*WAITING, DeliveryState.HELD))
    return and_(
        Study.due_at.is_(None),
        ~_has_job(Job.state.in_((JobState.QUEUED, JobState.RUNNING))),
        ~_has_delivery(or_(to_send, Delivery.commit_at.is_not(None))),
    )


def _has_job(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(Job.id).where(Job.study_uid == Study.study_uid, condition).exists()


def _has_delivery(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return (
        select(Delivery.id)
        .join(Job, Job.id == Delivery.job_id)
        .where(Job.study_uid == Study.study_uid, condition)
        .exists()
    )


def _images_of(study_uid: object) -> Select[str, str, int]:
    return select(Instance.path, Instance.sop_class_uid, Instance.size).where(
        Instance.study_uid == study_uid, STORED
    )


def _results_of(study_uid: object) -> Select[str, str, int]:
    return (
        select(Result.path, Result.sop_class_uid, Result.size)
        .join(Job, Job.id == Result.job_id)
        .where(Job.study_uid == study_uid)
    )


def _purge(connection: Connection, study_uid: str) -> Sequence[Row[str, str, int]]:
    """Stored to purged, for all instances of a study; return what they were."""
    rows = connection.execute(_images_of(study_uid)).all()
    connection.execute(
        update(Instance)
        .where(Instance.study_uid == study_uid, STORED)
        .values(state=InstanceState.PURGED)
    )
    connection.execute(
        update(Study).where(Study.study_uid == study_uid).values(purged_at=now(connection))
    )
    return rows


def _forget(connection: Connection, study_uid: str) -> Sequence[Row[str, str, int]]:
    """Remove all rows of a purged study; return what its results were."""
    rows = connection.execute(_results_of(study_uid)).all()
    identities.forget(connection, study_uid)
    jobs = select(Job.id).where(Job.study_uid == study_uid)
    deliveries = select(Delivery.id).where(Delivery.job_id.in_(jobs))
    results = select(Result.id).where(Result.job_id.in_(jobs))
    for statement in (
        delete(DeliveryForm).where(
            or_(DeliveryForm.delivery_id.in_(deliveries), DeliveryForm.result_id.in_(results))
        ),
        delete(Delivery).where(Delivery.job_id.in_(jobs)),
        delete(Result).where(Result.job_id.in_(jobs)),
        delete(JobInput).where(JobInput.job_id.in_(jobs)),
        delete(Job).where(Job.study_uid == study_uid),
        delete(Instance).where(Instance.study_uid == study_uid),
        delete(Study).where(Study.study_uid == study_uid),
    ):
        connection.execute(statement)
    return rows


def _is_wanted(connection: Connection, path: str) -> bool:
    """Whether a row says that a file is here; waits for whoever changes that row."""
    uid = PurePath(path).stem
    image = select(Instance.path).where(Instance.sop_instance_uid == uid, STORED)
    result = select(Result.path).where(Result.sop_instance_uid == uid)
    return any(
        path in connection.execute(query.with_for_update()).scalars() for query in (image, result)
    )
