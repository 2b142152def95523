"""Claims jobs and decodes their images, if need be while the model is at those before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db import jobs
from db.archive import Archive
from db.claimer import Claimer
from db.engine import Database
from db.errors import LeaseLost
from db.jobs import Claim, ModelRef
from inference import study
from inference.lease import Heartbeat
from inference.runtime import Model
from inference.study import Seen

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Opened:
    """A claimed job.

    Attributes
    ----------
    seen
        What its model sees of the study, or why it sees nothing.
    decode_seconds
        How long that took.
    """

    claim: Claim
    seen: Seen | Exception
    decode_seconds: float


@dataclass(frozen=True)
class Batch:
    """Jobs of one model that were claimed together; ``heartbeat`` holds their leases."""

    jobs: tuple[Opened, ...]
    heartbeat: Heartbeat

    @property
    def fresh(self) -> bool:
        """Whether none of them was tried before, and so none is known to kill workers."""
        return all(each.claim.attempt == 1 for each in self.jobs)


class Opener:
    """Opens one batch after the other, and one ahead where that is asked for.

    Parameters
    ----------
    claimer
        Claims the jobs of a batch.
    database, archive
        The surroundings.
    models
        The loaded models.
    lease_seconds
        How long a worker may be silent.
    """

    def __init__(
        self,
        claimer: Claimer,
        database: Database,
        archive: Archive,
        models: Mapping[ModelRef, Model],
        lease_seconds: float,
    ) -> None:
        self._claimer = claimer
        self._database = database
        self._archive = archive
        self._models = models
        self._lease_seconds = lease_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._ahead: Future[Batch | None] | None = None

    def take(self) -> Batch | None:
        """The batch that was opened ahead, or one that is opened now; None if there is no job."""
        ahead, self._ahead = self._ahead, None
        return (ahead and ahead.result()) or self._open(untried=False)

    def open_ahead(self) -> None:
        """Begin with the next batch.

        Only with jobs that were never tried before: one that kills the worker may cost others that
        it held an attempt, but not one after the other.
        """
        self._ahead = self._thread.submit(self._open, untried=True)

    def close(self) -> None:
        """Give back what was opened ahead, uncounted; without a database, its lease runs out."""
        ahead, self._ahead = self._ahead, None
        self._thread.shutdown()
        try:
            if ahead is not None and (batch := ahead.result()) is not None:
                self._give_back(batch)
        except SQLAlchemyError as error:
            _log.warning("job.not_given_back", error=type(error).__name__)

    def _give_back(self, batch: Batch) -> None:
        batch.heartbeat.end()
        for each in batch.jobs:
            with suppress(LeaseLost), self._database.write() as connection:
                jobs.give_back(connection, each.claim)

    def _open(self, *, untried: bool) -> Batch | None:
        claims = self._claimer.claim(untried=untried)
        if not claims:
            return None
        heartbeat = Heartbeat(self._database, claims, self._lease_seconds)
        return Batch(tuple(self._opened(each) for each in claims), heartbeat)

    def _opened(self, claim: Claim) -> Opened:
        started = time.perf_counter()
        seen: Seen | Exception
        try:
            seen = self._see(claim)
        except Exception as error:  # noqa: BLE001 - raised again where the job is concluded
            seen = error
        return Opened(claim, seen, time.perf_counter() - started)

    def _see(self, claim: Claim) -> Seen:
        with self._database.read() as connection:
            inputs = jobs.inputs(connection, claim.job_id)
        paths = [self._archive.full_path(path) for _, path in inputs]
        return study.load(self._models[claim.model].package.manifest, paths)
