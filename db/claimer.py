"""Claims jobs for one worker; what need not be done for each is done now and then."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from db import dispatch
from db.dispatch import NO_BATCHES, NO_LIMITS, Stranded
from db.engine import Database
from db.jobs import Claim, ModelRef
from db.retry import RetryPolicy

_LOOK_SECONDS = 1.0  # between two looks for leases that ran out
_CLAIMS_PER_OVERDUE = 4  # among so many, one that is overdue may overtake the urgent


class Claimer:
    """Claims jobs for one worker, one claim at a time.

    Parameters
    ----------
    database
        Where the jobs are.
    owner
        Name under which leases are held, different for every worker.
    models
        Those that the worker has loaded.
    lease_seconds
        A worker that is silent for this long has lost its jobs.
    retry
        How often a job is tried.
    limits, batches
        See ``db.dispatch.claim``.
    """

    def __init__(
        self,
        database: Database,
        *,
        owner: str,
        models: Sequence[ModelRef],
        lease_seconds: float,
        retry: RetryPolicy,
        limits: Mapping[str, int] = NO_LIMITS,
        batches: Mapping[ModelRef, int] = NO_BATCHES,
    ) -> None:
        self._database = database
        self._owner = owner
        self._models = models
        self._lease_seconds = lease_seconds
        self._retry = retry
        self._limits = limits
        self._batches = batches
        self._looks_at = 0.0
        self._claims = 0
        self._busy = False  # whether the last claim found something

    def stranded(self) -> list[Stranded]:
        """Take back jobs whose lease ran out; return those that have no attempt left.

        Looks about once a second, and returns nothing in between.
        """
        if time.monotonic() < self._looks_at:
            return []
        with self._database.read() as connection:
            stranded = dispatch.stranded(connection, self._retry)
        with self._database.write_hastily() as connection:
            dispatch.reclaim(connection, self._retry)
        self._looks_at = time.monotonic() + _LOOK_SECONDS
        return stranded

    def claim(self, *, untried: bool = False) -> list[Claim]:
        """Take the next job and what may be read with it; see ``db.dispatch.claim``.

        An idle worker only looks, and so holds up nobody who writes. A claim that a power cut
        undoes leaves its job queued, and whoever had it can record nothing: no need to wait for
        the disk.
        """
        if not self._busy:
            with self._database.read() as connection:
                if not dispatch.claimable(connection, self._models, self._limits):
                    return []
        with self._database.write_hastily() as connection:
            claims = dispatch.claim(
                connection,
                self._owner,
                self._models,
                self._lease_seconds,
                self._limits,
                batches=self._batches,
                overdue_first=(self._claims + 1) % _CLAIMS_PER_OVERDUE == 0,
                untried=untried,
            )
        self._busy = bool(claims)
        self._claims += self._busy
        return claims
