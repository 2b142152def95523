"""Claim, read, build results, and commit job and outbox rows in one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import structlog
from pydicom import Dataset
from sqlalchemy import Connection

from db import dispatch, jobs, outbox, studies, superseding
from db.archive import Archive
from db.claimer import Claimer
from db.dispatch import Stranded
from db.engine import Database
from db.errors import LeaseLost, Overtaken, trace, where
from db.jobs import Claim, ModelRef
from db.outbox import Letter, StoredResult
from db.retry import RetryPolicy
from db.superseding import Predecessor
from db.wake import Topic, Waiter
from inference import study
from inference.addressing import Profile, addressed
from inference.errors import ArchiveError, PixelError, ReadingError
from inference.files import read_header
from inference.intake import Intake
from inference.notices import NOTHING, Notices, Post, unknown_model
from inference.opening import Opened, Opener
from inference.package import Package
from inference.passed_over import from_record
from inference.results import Made, build, store
from inference.runtime import Model
from inference.said import said
from inference.study import Seen
from inference.together import Read, read_together
from sr.findings import Reading
from sr.identity import Kind
from sr.patient import SourceError
from sr.reasons import Reason

_log = structlog.get_logger(__name__)
_POLL_SECONDS = 0.5  # for what comes with time alone: the end of a backoff or of a lease
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
    profiles
        What each destination gets.
    lease_seconds
        A worker that is silent for this long has lost its job.
    retry
        What happens after an error that a retry can mend.
    limits
        How many jobs of a model may be running at the same time, on all hosts together.
    batch
        How many jobs of a model are read together; 0 for its own batch on a GPU, and for one on
        the CPU, where more would be no faster.
    urgent_callers
        AE titles of those whose studies are urgent, whatever is seen in them.
    """

    owner: str
    profiles: tuple[Profile, ...]
    lease_seconds: float
    retry: RetryPolicy
    limits: Mapping[str, int] = field(default_factory=dict)
    batch: int = 0
    urgent_callers: frozenset[str] = frozenset()


class Worker:
    """Routes due studies and reads queued jobs.

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
        self._claimer = Claimer(
            database,
            owner=settings.owner,
            models=list(self._models),
            lease_seconds=settings.lease_seconds,
            retry=settings.retry,
            limits=settings.limits,
            batches={ref: self._at_once(model) for ref, model in self._models.items()},
        )
        self._notices = Notices(database, archive, settings.profiles)
        by_ref = {ref: model.package for ref, model in self._models.items()}
        self._intake = Intake(
            database, archive, by_ref, self._notices, settings.retry, settings.urgent_callers
        )
        self._opener = Opener(
            self._claimer, database, archive, self._models, settings.lease_seconds
        )
        for ref, model in self._models.items():
            _log.info("model.loaded", model=ref.name, version=ref.version, provider=model.provider)

    @property
    def providers(self) -> dict[ModelRef, str]:
        """The execution provider that each model really runs on, e.g. CUDAExecutionProvider."""
        return {ref: model.provider for ref, model in self._models.items()}

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; the jobs at hand are finished first."""
        with Waiter(self._database, Topic.JOBS) as waiter:
            while not stop.is_set():
                try:
                    busy = self.route_due() + self.work_once()
                    pause = 0.0 if busy else self._pause()
                except Exception as error:  # noqa: BLE001 - the supervised loop: the database may be away
                    _log.error("worker.trouble", error=where(error))
                    stop.wait(_TROUBLE_SECONDS)
                    continue
                if pause:
                    waiter.wait(pause, stop)
        self._opener.close()

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
        return sum(self._intake.route(each) for each in due)

    def work_once(self) -> int:
        """Claim jobs that can be read together, and read them; return how many."""
        for each in self._claimer.stranded():
            self._bury(each)
        batch = self._opener.take()
        if batch is None:
            return 0
        model = self._models[batch.jobs[0].claim.model]
        if self._opens_ahead(model) and batch.fresh:
            self._opener.open_ahead()
        try:
            for job, read in zip(batch.jobs, read_together(model, batch.jobs), strict=True):
                self._conclude(job, read, len(batch.jobs))
                batch.heartbeat.leave(job.claim)
        finally:
            batch.heartbeat.end()
        return len(batch.jobs)

    def _at_once(self, model: Model) -> int:
        """How many jobs are claimed together; a series is a batch of its own."""
        manifest = model.package.manifest
        if manifest.series is not None:
            return 1
        return self._settings.batch or (manifest.runtime.batch if model.on_gpu else 1)

    def _opens_ahead(self, model: Model) -> bool:
        """Whether decoding goes on beside the model; on the CPU it would but take time from it."""
        return model.on_gpu or self._settings.batch > 1

    def _conclude(self, job: Opened, read: Read, together: int) -> None:
        """Make results of what was read, or record why nothing was."""
        claim = job.claim
        try:
            if isinstance(read.reading, Exception):
                raise read.reading
            self._report(job, read.reading, read.seconds, together)
        except LeaseLost:
            _log.warning("job.discarded", job_id=claim.job_id, study_uid=claim.study_uid)
        except ArchiveError as error:
            self._postpone(claim, str(error))
        except PixelError as error:
            self._fail(claim, error.reason, error, retryable=error.retryable)
        except (ReadingError, SourceError) as error:
            retryable = isinstance(error, ReadingError) and error.retryable
            self._fail(claim, Reason("{error}", error=error), error, retryable=retryable)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the queue
            reason = Reason("internal error at {place}", place=where(error))
            self._fail(claim, reason, error, retryable=True)

    def _report(
        self, job: Opened, reading: Reading, inference_seconds: float, together: int
    ) -> None:
        claim, seen = job.claim, job.seen
        assert isinstance(seen, Seen)  # or there would be no reading
        manifest = self._models[claim.model].package.manifest
        watch = _Stopwatch(decode=job.decode_seconds, inference=inference_seconds)
        left = (*from_record(claim.not_assessed), *reading.not_assessed)
        reading = replace(reading, not_assessed=left)
        profiles, why_not = addressed(self._settings.profiles, reading)
        with watch.stage("results"):
            pictures = study.shown(manifest, seen, reading)
            # The job's own time, so that a job that ran twice makes the same bytes.
            when = datetime.fromtimestamp(claim.created_at, UTC).astimezone()
        built = partial(build, profiles, seen.sources, pictures, reading, when)
        finish = partial(
            jobs.finish,
            claim=claim,
            priority=_priority(reading),
            reason=why_not,
            answers=said(reading),
            batch=together,
        )
        stored = None
        while stored is None:
            stored = self._record(claim, built, finish, watch)
        _log.info(
            "job.done",
            job_id=claim.job_id,
            study_uid=claim.study_uid,
            model=claim.model.name,
            images=len(seen.sources),
            objects=len(stored),
            urgent=reading.urgency.urgent if reading.urgency else None,
            **watch.seconds,
        )

    def _record(
        self,
        claim: Claim,
        built: Callable[[Callable[[str], list[Dataset]]], tuple[list[Made], list[Letter]]],
        finish: Callable[[Connection], None],
        watch: _Stopwatch,
    ) -> list[StoredResult] | None:
        """Build, write and record the results; None if they have to name further predecessors."""
        with self._database.read() as connection:
            replaced = superseding.predecessors(connection, claim, _REPORTS)
        with watch.stage("results"):
            made, letters = built(partial(self._headers, replaced))
        with watch.stage("store"):
            with self._database.read() as connection:
                # The overlay of an image that was read before is there already.
                new = [each for each in made if not outbox.own_instance(connection, each.uid)]
            path_of = partial(self._archive.result_path, claim.job_id, claim.attempt)
            stored = store(self._archive, path_of, new)
            try:
                with self._database.write() as connection:
                    finish(connection)
                    superseding.withdraw(connection, claim, letters, _REPORTS, replaced)
                    to_post = [each for each in letters if not outbox.posted(connection, each)]
                    outbox.post(connection, claim.job_id, stored, to_post)
            except Overtaken:
                _log.info("job.overtaken", job_id=claim.job_id, study_uid=claim.study_uid)
                return None
        return stored

    def _headers(self, replaced: Sequence[Predecessor], style: str) -> list[Dataset]:
        """Return the reports that those of this style replace."""
        paths = [each.path for each in replaced if each.style == style]
        return [read_header(self._archive.full_path(path)) for path in paths]

    def _postpone(self, claim: Claim, reason: str) -> None:
        _log.error("job.postponed", job_id=claim.job_id, study_uid=claim.study_uid, reason=reason)
        with suppress(LeaseLost), self._database.write() as connection:
            jobs.postpone(connection, claim, reason, _AWAY_SECONDS)

    def _fail(self, claim: Claim, reason: Reason, error: Exception, *, retryable: bool) -> None:
        policy = self._settings.retry if retryable else None
        last = policy is None or policy.exhausted(claim.attempt)
        post = self._notice(claim.study_uid, claim.model, reason) if last else NOTHING
        try:
            with self._database.write() as connection:
                state = jobs.fail(connection, claim, reason, policy, trace(error))
                outbox.post(connection, claim.job_id, post.results, post.letters)
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

    def _bury(self, job: Stranded) -> None:
        """Give up a job that cost a worker with each attempt."""
        reason = Reason(dispatch.LEASE_LOST)
        post = self._notice(job.study_uid, job.model, reason)
        try:
            with self._database.write() as connection:
                dispatch.bury(connection, job)
                outbox.post(connection, job.job_id, post.results, post.letters)
        except LeaseLost:
            return  # another worker was faster
        _log.error("job.buried", job_id=job.job_id, study_uid=job.study_uid, reason=reason)

    def _notice(self, study_uid: str, ref: ModelRef, reason: Reason) -> Post:
        """Write what says that a job was given up, where a destination wants it."""
        with self._database.read() as connection:
            instances = studies.instances(connection, study_uid)
        model = self._models.get(ref)
        algorithm = unknown_model(ref) if model is None else model.package.algorithm
        return self._notices.make(study_uid, instances, [(algorithm, reason)])


class _Stopwatch:
    """Seconds spent in each named stage, for the log."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = {f"{name}_seconds": round(each, 4) for name, each in seconds.items()}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        key, seconds = f"{name}_seconds", time.perf_counter() - started
        self.seconds[key] = round(self.seconds.get(key, 0.0) + seconds, 4)


def _priority(reading: Reading) -> int | None:
    """Results of what cannot wait, or may not be able to, overtake others on their way out."""
    if reading.urgency is None or reading.urgency.urgent is False:
        return None
    return jobs.URGENT if reading.urgency.urgent else jobs.UNDECIDED
