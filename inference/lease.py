"""Keeps a job's lease alive while the job is worked on."""

from __future__ import annotations

import threading
from typing import Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db import jobs
from db.engine import Database
from db.errors import LeaseLost

_log = structlog.get_logger(__name__)


class Heartbeat:
    """Renews a claim three times per lease from a thread of its own, inside a ``with`` block.

    A lost lease is only logged here: whoever finishes the job finds out in the database.
    """

    def __init__(self, database: Database, claim: jobs.Claim, lease_seconds: float) -> None:
        self._database = database
        self._claim = claim
        self._lease_seconds = lease_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._lease_seconds / 3):
            try:
                with self._database.write() as connection:
                    jobs.renew(connection, self._claim, self._lease_seconds)
            except LeaseLost:
                _log.warning("job.lease_lost", job_id=self._claim.job_id)
                return
            except SQLAlchemyError as error:
                _log.warning("job.lease_not_renewed", error=type(error).__name__)
