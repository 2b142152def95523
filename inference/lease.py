"""Keeps leases of jobs alive while the jobs are worked on."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db import jobs
from db.engine import Database
from db.errors import LeaseLost

_log = structlog.get_logger(__name__)


class Heartbeat:
    """Renews claims three times per lease from a thread of its own, from now on until ``end``.

    A lost lease is only logged here: whoever finishes the job finds out in the database.
    """

    def __init__(
        self, database: Database, claims: Sequence[jobs.Claim], lease_seconds: float
    ) -> None:
        self._database = database
        self._claims = set(claims)
        self._lease_seconds = lease_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
        self._thread.start()

    def leave(self, claim: jobs.Claim) -> None:
        """Renew this one no more: its job is finished."""
        self._claims.discard(claim)

    def end(self) -> None:
        """Renew none any more."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._lease_seconds / 3):
            for claim in tuple(self._claims):
                self._renew(claim)

    def _renew(self, claim: jobs.Claim) -> None:
        try:
            with self._database.write() as connection:
                jobs.renew(connection, claim, self._lease_seconds)
        except LeaseLost:
            if claim in self._claims:  # else it was finished this moment
                _log.warning("job.lease_lost", job_id=claim.job_id, study_uid=claim.study_uid)
                self.leave(claim)
        except SQLAlchemyError as error:
            _log.warning(
                "job.lease_not_renewed",
                job_id=claim.job_id,
                study_uid=claim.study_uid,
                error=type(error).__name__,
            )
