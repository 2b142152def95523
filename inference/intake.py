"""Turns a due study into one job per fitting model, or a reason why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import structlog
from pydicom import Dataset
from sqlalchemy.exc import SQLAlchemyError

from db import disabled, identities, jobs, outbox, studies
from db.archive import Archive
from db.engine import Database
from db.errors import trace, where
from db.identities import Person
from db.jobs import ModelRef
from db.retry import RetryPolicy
from db.schema import InstanceState
from db.studies import DueStudy, StoredInstance
from inference import person, routing
from inference.errors import ArchiveError, PixelError
from inference.files import read_file
from inference.notices import Notices
from inference.package import Package
from inference.passed_over import to_record
from inference.routing import Routed
from sr.findings import NotAssessed
from sr.reasons import Reason

_log = structlog.get_logger(__name__)
_AWAY_SECONDS = 30.0
_DISABLED = Reason("the model is disabled")
_LOST, _PURGED = InstanceState.LOST, InstanceState.PURGED


class Intake:
    """Routes studies.

    Parameters
    ----------
    database, archive
        The surroundings.
    packages
        The models there are, by name and version.
    notices
        Says why a study was not processed.
    retry
        What happens after an error that nobody foresaw.
    urgent_callers
        AE titles of those whose studies are urgent.
    """

    def __init__(
        self,
        database: Database,
        archive: Archive,
        packages: Mapping[ModelRef, Package],
        notices: Notices,
        retry: RetryPolicy,
        urgent_callers: Collection[str] = (),
    ) -> None:
        self._database = database
        self._archive = archive
        self._packages = packages
        self._notices = notices
        self._retry = retry
        self._urgent_callers = urgent_callers
        self._failures = Counter[str]()  # by study; a process that starts again counts again

    def route(self, due: DueStudy) -> bool:
        """Route one study; False if another worker has, or it has to wait.

        A fault of ours must not hold up the studies behind it: the study is tried again with
        backoff, and then it is said that it was not processed.

        Raises
        ------
        SQLAlchemyError
            The database is away, which is no study's fault.
        """
        try:
            routed = self._route(due)
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the queue
            return self._fail(due, error)
        del self._failures[due.study_uid]
        return routed

    def _fail(self, due: DueStudy, error: Exception) -> bool:
        """Try again later, or give the study up."""
        self._failures[due.study_uid] += 1
        attempt = self._failures[due.study_uid]
        reason = Reason("internal error at {place}", place=where(error))
        last = self._retry.exhausted(attempt)
        _log.error(
            "study.failed", study_uid=due.study_uid, reason=reason, attempt=attempt, last=last
        )
        if last:
            del self._failures[due.study_uid]
            return self._give_up(due, reason, trace(error))
        with self._database.write() as connection:
            return studies.postpone(connection, due, self._retry.wait(attempt))

    def _give_up(self, due: DueStudy, reason: Reason, traceback: str) -> bool:
        with self._database.read() as connection:
            instances = studies.instances(connection, due.study_uid)
        unread = NotAssessed(images=max(1, len(instances)), reason=reason)
        routes = dict.fromkeys(self._packages, Routed((), (unread,)))
        return self._record(due, instances, routes, (), traceback)

    def _route(self, due: DueStudy) -> bool:
        with self._database.read() as connection:
            instances = studies.instances(connection, due.study_uid)
            missing = studies.missing(connection, due.study_uid)
            off = {each.name for each in disabled.disabled(connection)}
        try:
            headers = self._headers(instances)
        except ArchiveError as error:
            _log.error("study.postponed", study_uid=due.study_uid, reason=str(error))
            with self._database.write() as connection:
                return studies.postpone(connection, due, _AWAY_SECONDS)
        lost = _not_here(len(instances) - len(headers) + missing[_LOST], missing[_PURGED])
        routes = self._routes(headers, off)
        if not self._record(due, instances, routes, lost, whose=person.person_of(headers)):
            return False
        for ref, routed in routes.items():
            _log.info(
                "study.routed",
                study_uid=due.study_uid,
                model=ref.name,
                images=len(routed.fitting),
                reason=routed.reason,
                unreadable=len(instances) - len(headers) + missing[_LOST],
                purged=missing[_PURGED],
            )
        return True

    def _headers(self, instances: Sequence[StoredInstance]) -> list[Dataset]:
        headers = []
        for each in instances:
            try:
                path = self._archive.full_path(each.path)
                headers.append(read_file(path, [*routing.ELEMENTS, *person.ELEMENTS]))
            except PixelError as error:
                _log.error(
                    "instance.unreadable",
                    sop_instance_uid=each.sop_instance_uid,
                    study_uid=each.study_uid,
                    reason=str(error),
                )
        return headers

    def _routes(self, headers: Sequence[Dataset], off: Collection[str]) -> dict[ModelRef, Routed]:
        """What each model reads; of a head CT the chest model has nothing to say.

        Only where no model reads the study's modality does each say so. A model that is ``off``
        says that of what it would have read.
        """
        routes = {
            ref: _unread(routed) if ref.name in off else routed
            for ref, each in self._packages.items()
            for routed in [routing.route(each, headers)]
        }
        concerned = {ref: routed for ref, routed in routes.items() if routed.concerned}
        return concerned or routes

    def _record(
        self,
        due: DueStudy,
        instances: Sequence[StoredInstance],
        routes: Mapping[ModelRef, Routed],
        lost: tuple[NotAssessed, ...],
        traceback: str | None = None,
        whose: Person | None = None,
    ) -> bool:
        """Write jobs, reasons, and the notice that tells them, in one transaction."""
        by_uid = {each.sop_instance_uid: each for each in instances}
        reasons = {ref: _why_not(each, lost) for ref, each in routes.items() if not each.fitting}
        told = [(self._packages[ref].algorithm, each) for ref in reasons for each in reasons[ref]]
        post = self._notices.make(due.study_uid, instances, told)
        with self._database.write() as connection:
            if not studies.take(connection, due, len(instances)):
                return False
            if whose is not None:
                identities.record(connection, due.study_uid, whose)
            skipped = []
            for ref, routed in routes.items():
                if routed.fitting:
                    fitting = [by_uid[uid] for uid in routed.fitting]
                    left = to_record([*routed.passed_over, *lost])
                    priority = self._priority(fitting)
                    jobs.enqueue(connection, due.study_uid, ref, fitting, priority, left)
                else:
                    why = "; ".join(reasons[ref])
                    skipped.append(
                        jobs.skip(connection, due.study_uid, ref, instances, why, traceback)
                    )
            said_now = [each for each in skipped if each is not None]
            if said_now:
                outbox.post(connection, said_now[0], post.results, post.letters)
        return True

    def _priority(self, instances: Sequence[StoredInstance]) -> int:
        urgent = any(each.calling_ae in self._urgent_callers for each in instances)
        return jobs.URGENT if urgent else jobs.ROUTINE


def _unread(routed: Routed) -> Routed:
    """What a model that is disabled does with a study."""
    if not routed.fitting:
        return routed
    left = NotAssessed(images=len(routed.fitting), reason=_DISABLED)
    return replace(routed, fitting=(), passed_over=(left,))


def _not_here(lost: int, purged: int) -> tuple[NotAssessed, ...]:
    """What is told of images that came and cannot be read: files gone bad, and retention."""
    told = []
    if lost:
        reason = Reason("{count} archived file{s} cannot be read", count=lost, s="s"[: lost - 1])
        told.append(NotAssessed(images=lost, reason=reason))
    if purged:
        reason = Reason(
            "{count} archived file{s} had been deleted before", count=purged, s="s"[: purged - 1]
        )
        told.append(NotAssessed(images=purged, reason=reason))
    return tuple(told)


def _why_not(routed: Routed, lost: Sequence[NotAssessed]) -> list[Reason]:
    reasons = [each.reason for each in (*routed.passed_over, *lost)]
    return reasons or [routing.NO_IMAGES]
