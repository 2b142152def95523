"""Notices to destinations that want to know why a study was not processed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from pydicom import Dataset
from sqlalchemy.exc import SQLAlchemyError

from db import outbox
from db.archive import Archive
from db.engine import Database
from db.errors import where
from db.jobs import ModelRef
from db.outbox import Letter, StoredResult
from db.studies import StoredInstance
from inference.addressing import Profile, by_style
from inference.errors import ReadingError
from inference.files import read_header
from inference.results import Made, store
from sr.bundle import ResultObject
from sr.findings import Algorithm
from sr.identity import MANUFACTURER, Kind
from sr.notice import build_notice
from sr.patient import SourceError
from sr.reasons import Reason

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Post:
    """Objects in the archive, and letters that address them; both empty if there is nothing."""

    results: list[StoredResult]
    letters: list[Letter]


NOTHING = Post([], [])


class Notices:
    """Makes notices for the destinations whose profile asks for them.

    Parameters
    ----------
    database, archive
        Where the study lies and the notices go.
    profiles
        Of all destinations.
    """

    def __init__(self, database: Database, archive: Archive, profiles: Sequence[Profile]) -> None:
        self._database = database
        self._archive = archive
        self._profiles = [each for each in profiles if each.notices]

    def make(
        self,
        study_uid: str,
        instances: Sequence[StoredInstance],
        skipped: Sequence[tuple[Algorithm, Reason]],
    ) -> Post:
        """Write what says why some models did not process a study, unless it was said before.

        What stands in the way of a notice is logged; it must not hold up the study.
        """
        if not self._profiles or not skipped or not instances:
            return NOTHING
        try:
            return self._made(study_uid, instances, skipped)
        except (ReadingError, SourceError) as error:
            reason = str(error)
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - nor may a fault of ours
            reason = f"internal error at {where(error)}"
        _log.error("notice.failed", study_uid=study_uid, reason=reason)
        return NOTHING

    def _made(
        self,
        study_uid: str,
        instances: Sequence[StoredInstance],
        skipped: Sequence[tuple[Algorithm, Reason]],
    ) -> Post:
        sources = self._sources(instances)
        when = datetime.now(UTC).astimezone()
        made: list[Made] = []
        letters: list[Letter] = []
        for style, group in by_style(self._profiles):
            notice = build_notice(sources, skipped, when=when, style=style)
            uid = str(notice.SOPInstanceUID)
            if self._is_said(uid):
                continue
            result = ResultObject(kind=Kind.NOTICE, number=1, rank=0, dataset=notice)
            made.append(Made(result, style.key))
            letters += [
                Letter(destination=each.destination, kind=Kind.NOTICE.value, number=1, forms=(uid,))
                for each in group
            ]
        path_of = self._archive.notice_path
        return Post(store(self._archive, lambda uid: path_of(study_uid, uid), made), letters)

    def _is_said(self, uid: str) -> bool:
        with self._database.read() as connection:
            return outbox.own_instance(connection, uid)

    def _sources(self, instances: Sequence[StoredInstance]) -> list[Dataset]:
        """Return a header of each series: enough to say which study it is."""
        first = {each.series_uid: each for each in reversed(instances)}
        paths = [first[series].path for series in sorted(first)]
        return [read_header(self._archive.full_path(path)) for path in paths]


def unknown_model(ref: ModelRef) -> Algorithm:
    """Return what there is to say of a model that this worker does not have."""
    return Algorithm(name=ref.name, version=ref.version, manufacturer=MANUFACTURER, title=ref.name)
