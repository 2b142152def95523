"""Claim, read, build results, and commit job and outbox rows in one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from pydicom import Dataset

from db import jobs, outbox, studies
from db.archive import Archive
from db.engine import Database
from db.errors import LeaseLost, where
from db.jobs import Claim, ModelRef
from db.outbox import StoredResult
from db.retry import RetryPolicy
from db.studies import DueStudy, StoredInstance
from inference import routing, study
from inference.errors import ArchiveError, PixelError, ReadingError
from inference.files import read_file
from inference.lease import Heartbeat
from inference.package import Package
from inference.routing import Routed
from inference.runtime import Model
from sr.bundle import ResultObject, build_results
from sr.document import to_bytes
from sr.findings import Reading
from sr.identity import Kind
from sr.patient import SourceError

_log = structlog.get_logger(__name__)
_POLL_SECONDS = 0.05
_TROUBLE_SECONDS = 2.0
_AWAY_SECONDS = 30.0
_REPORTS = (Kind.REPORT.value, Kind.TEXT.value)


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """Settings of one worker.

    Attributes
    ----------
    owner
        Name under which leases are held, different for every worker.
    destinations
        Names of the destinations that get every result.
    lease_seconds
        A worker that is silent for this long has lost its job.
    retry
        What happens after an error that a retry can mend.
    """

    owner: str
    destinations: tuple[str, ...]
    lease_seconds: float
    retry: RetryPolicy


class Worker:
    """Routes due studies and reads queued jobs, one at a time.

    Parameters
    ----------
    settings, database, archive
        The surroundings.
    packages
        The models to read with; loaded and warmed up here.

    Raises
    ------
    ManifestError, ModelError
        A package cannot be used.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        database: Database,
        archive: Archive,
        packages: Sequence[Package],
    ) -> None:
        self._settings = settings
        self._database = database
        self._archive = archive
        self._models = {ModelRef(each.name, each.version): Model(each) for each in packages}
        for ref, model in self._models.items():
            _log.info("model.loaded", model=ref.name, version=ref.version, provider=model.provider)

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; the job at hand is finished first."""
        while not stop.is_set():
            try:
                busy = self.route_due() + self.work_once()
                pause = 0.0 if busy else self._pause()
            except Exception as error:  # noqa: BLE001 - the supervised loop: the database may be away
                _log.error("worker.trouble", error=where(error))
                stop.wait(_TROUBLE_SECONDS)
                continue
            stop.wait(pause)

    def _pause(self) -> float:
        """Seconds to idle: to the moment a study is due, or until the next look for jobs."""
        with self._database.read() as connection:
            to_next = studies.seconds_to_next(connection)
        if to_next is None or not self._models:
            return _POLL_SECONDS
        return min(max(to_next, 0.001), _POLL_SECONDS)

    def route_due(self) -> int:
        """Turn each due study into one job per fitting model, or a reason why not.

        Returns
        -------
        int
            How many studies were routed.
        """
        if not self._models:
            return 0  # nobody could say why not; a worker with models takes them
        with self._database.read() as connection:
            due = studies.due(connection)
        return sum(self._route(each) for each in due)

    def work_once(self) -> int:
        """Claim and read one job; return how many were claimed."""
        settings = self._settings
        with self._database.read() as connection:
            if not jobs.claimable(connection, list(self._models)):
                return 0
        with self._database.write() as connection:
            claim = jobs.claim(
                connection,
                settings.owner,
                list(self._models),
                settings.lease_seconds,
                settings.retry,
            )
        if claim is None:
            return 0
        with Heartbeat(self._database, claim, settings.lease_seconds):
            try:
                self._read(claim)
            except LeaseLost:
                _log.warning("job.discarded", job_id=claim.job_id, study_uid=claim.study_uid)
            except ArchiveError as error:
                self._postpone(claim, str(error))
            except ReadingError as error:
                self._fail(claim, str(error), retryable=error.retryable)
            except SourceError as error:
                self._fail(claim, str(error), retryable=False)
            except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the queue
                self._fail(claim, f"internal error at {where(error)}", retryable=True)
        return 1

    def _route(self, due: DueStudy) -> bool:
        with self._database.read() as connection:
            instances = studies.instances(connection, due.study_uid)
        try:
            headers = self._headers(instances)
        except ArchiveError as error:
            _log.error("study.postponed", study_uid=due.study_uid, reason=str(error))
            with self._database.write() as connection:
                return studies.postpone(connection, due, _AWAY_SECONDS)
        unreadable = len(instances) - len(headers)
        by_uid = {each.sop_instance_uid: each for each in instances}
        routes = self._routes(headers)
        with self._database.write() as connection:
            if not studies.take(connection, due):
                return False
            for ref, routed in routes.items():
                if routed.fitting:
                    fitting = [by_uid[uid] for uid in routed.fitting]
                    jobs.enqueue(connection, due.study_uid, ref, fitting)
                else:
                    reason = _why_not(routed.reason, len(headers), unreadable)
                    jobs.skip(connection, due.study_uid, ref, instances, reason)
        for ref, routed in routes.items():
            _log.info(
                "study.routed",
                study_uid=due.study_uid,
                model=ref.name,
                images=len(routed.fitting),
                reason=routed.reason,
                unreadable=unreadable,
            )
        return True

    def _routes(self, headers: Sequence[Dataset]) -> dict[ModelRef, Routed]:
        """What each model reads; of a head CT the chest model has nothing to say.

        Only where no model reads the study's modality does each say so.
        """
        routes = {ref: routing.route(model.package, headers) for ref, model in self._models.items()}
        concerned = {ref: routed for ref, routed in routes.items() if routed.concerned}
        return concerned or routes

    def _headers(self, instances: Sequence[StoredInstance]) -> list[Dataset]:
        headers = []
        for each in instances:
            try:
                path = self._archive.full_path(each.path)
                headers.append(read_file(path, routing.ELEMENTS))
            except PixelError as error:
                _log.error(
                    "instance.unreadable",
                    sop_instance_uid=each.sop_instance_uid,
                    reason=str(error),
                )
        return headers

    def _read(self, claim: Claim) -> None:
        model = self._models[claim.model]
        watch = _Stopwatch()
        with self._database.read() as connection:
            inputs = jobs.inputs(connection, claim.job_id)
            replaced = outbox.delivered_before(connection, claim, _REPORTS)
        with watch.stage("decode"):
            sources = [read_file(self._archive.full_path(path)) for _, path in inputs]
            sources.sort(key=_place_in_study)
            seen = study.decode(model.package.manifest, sources)
        with watch.stage("inference"):
            reading = study.read(model, seen)
        with watch.stage("results"):
            pictures = study.shown(model.package.manifest, sources, seen, reading)
            # The job's own time, so that a job that ran twice makes the same bytes.
            when = datetime.fromtimestamp(claim.created_at, UTC).astimezone()
            results = build_results(
                sources,
                pictures,
                reading,
                when=when,
                predecessors=[read_file(self._archive.full_path(path)) for path in replaced],
            )
        with watch.stage("store"):
            with self._database.read() as connection:
                new = [
                    each
                    for each in results.objects
                    # The overlay of an image that was read before is there already.
                    if not outbox.own_instance(connection, str(each.dataset.SOPInstanceUID))
                ]
            stored = [self._store(claim, each) for each in new]
            with self._database.write() as connection:
                jobs.finish(connection, claim, _priority(reading))
                outbox.post(connection, claim, stored, self._settings.destinations)
        _log.info(
            "job.done",
            job_id=claim.job_id,
            study_uid=claim.study_uid,
            model=claim.model.name,
            images=len(sources),
            objects=len(stored),
            urgent=reading.urgency.urgent if reading.urgency else None,
            **watch.seconds,
        )

    def _store(self, claim: Claim, result: ResultObject) -> StoredResult:
        uid = str(result.dataset.SOPInstanceUID)
        path = self._archive.result_path(claim.job_id, claim.attempt, uid)
        try:
            size = self._archive.write(path, [to_bytes(result.dataset)])
        except OSError as error:
            raise ArchiveError(f"results cannot be written: {error.strerror}") from error
        return StoredResult(
            kind=result.kind.value,
            number=result.number,
            rank=result.rank,
            sop_class_uid=str(result.dataset.SOPClassUID),
            sop_instance_uid=uid,
            path=path,
            size=size,
        )

    def _postpone(self, claim: Claim, reason: str) -> None:
        _log.error("job.postponed", job_id=claim.job_id, study_uid=claim.study_uid, reason=reason)
        with suppress(LeaseLost), self._database.write() as connection:
            jobs.postpone(connection, claim, reason, _AWAY_SECONDS)

    def _fail(self, claim: Claim, reason: str, *, retryable: bool) -> None:
        policy = self._settings.retry if retryable else None
        try:
            with self._database.write() as connection:
                state = jobs.fail(connection, claim, reason, policy)
        except LeaseLost:
            _log.warning("job.discarded", job_id=claim.job_id, study_uid=claim.study_uid)
            return
        _log.error(
            "job.failed",
            job_id=claim.job_id,
            study_uid=claim.study_uid,
            state=state.value,
            reason=reason,
        )


def _place_in_study(image: Dataset) -> tuple[int, int, str]:
    """Order of images as a viewer shows them; what states no number comes first."""
    uid = str(image.SOPInstanceUID)
    try:
        return int(image.get("SeriesNumber") or 0), int(image.get("InstanceNumber") or 0), uid
    except (ValueError, TypeError):  # values are parsed on access
        return 0, 0, uid


class _Stopwatch:
    """Seconds spent in each named stage, for the log."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[f"{name}_seconds"] = round(time.perf_counter() - started, 4)


def _priority(reading: Reading) -> int | None:
    """Results of what cannot wait, or may not be able to, overtake others on their way out."""
    if reading.urgency is None or reading.urgency.urgent is False:
        return None
    return jobs.URGENT if reading.urgency.urgent else jobs.UNDECIDED


def _why_not(reason: str, readable: int, unreadable: int) -> str:
    lost = f"{unreadable} archived file{'s' if unreadable > 1 else ''} cannot be read"
    if not readable:
        return lost
    return f"{reason}; {lost}" if unreadable else reason
