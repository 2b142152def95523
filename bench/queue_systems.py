"""The queues that ``bench.queue`` compares: how each is filled, and how its workers take jobs.

What one job costs, with a job that does nothing:

wetread
    What ``inference.worker.Worker.work_once`` does around the reading: ``db.claimer`` claims in one
    transaction, which counts as the claim together with its look for stranded jobs once a second,
    and ``db.jobs.finish`` ends each job in a transaction of its own. No results are stored or
    posted, no heartbeat is due, and no study is routed. ``x10`` claims up to ten jobs at once. The
    commit of a claim does not wait for the disk, that of a finished job does.
procrastinate
    Its worker, ``concurrency=1`` and without LISTEN, that is ``fetch_job`` and ``finish_job``, a
    transaction each; triggers write two events. (With ten jobs at once in a process it is not
    faster: it fetches one at a time.)
pgqueuer
    Its worker over asyncpg and uvloop: ``dequeue`` and ``log_jobs``, a transaction each, which
    moves the job from its table to its log. ``x1`` is ``batch_size=1``; ``x10``, its default, takes
    ten at once and finishes up to ten in one transaction, so that ten are read again if it dies.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg
from sqlalchemy import text

from bench.full_table import NUMBERS, UID, settle
from db import jobs, migrate
from db.claimer import Claimer
from db.engine import Database
from db.jobs import ModelRef
from db.retry import RetryPolicy

_MODEL = ModelRef("bench", "1")
_RETRY = RetryPolicy(attempts=3, first_seconds=1.0, longest_seconds=60.0)
_LEASE_SECONDS = 60.0
_HUNDRED_DAYS = 8_640_000
_WATCH_SECONDS = 0.02


Start = Callable[[], float]
"""Waits until all workers have done their first job; returns when to stop."""


@dataclass
class Laps:
    """What a worker notes, by the clock that all processes share; its first job warms it up."""

    start: Start
    until: float = math.inf
    claims: list[tuple[float, float]] = field(default_factory=list)  # when it began, seconds
    done: list[float] = field(default_factory=list)  # when each job was finished

    def claimed(self, began: float) -> None:
        """A claim that found something."""
        self.claims.append((began, time.monotonic() - began))

    def finished(self, count: int = 1) -> None:
        """Jobs whose end the database has confirmed."""
        if self.until == math.inf:
            self.until = self.start()
        else:
            self.done += [time.monotonic()] * count

    async def watch(self, running: asyncio.Future[Any]) -> None:
        """Return when it is time to stop, or when what runs has ended."""
        while time.monotonic() < self.until and not running.done():
            await asyncio.sleep(_WATCH_SECONDS)


class System(Protocol):
    """A queue."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    @property
    def family(self) -> str:
        """Systems of one family work in the same tables."""

    def create(self, url: str, rows: int, *, waiting: bool) -> None:
        """Fill a new database with jobs that are done, or that wait."""

    def add(self, url: str, count: int) -> None:
        """Let further jobs wait."""

    def clear(self, url: str, rows: int) -> None:
        """Remove the jobs that were added to so many."""

    def work(self, url: str, laps: Laps) -> None:
        """Be a worker, until the time to stop or until no job is left."""


@dataclass(frozen=True)
class Wetread:
    """Our own, taking up to ``batch`` jobs at once."""

    batch: int
    family: str = "wetread"

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.family} x{self.batch}"

    def create(self, url: str, rows: int, *, waiting: bool) -> None:
        """Fill a new database: one job per study, spread over the last hundred days."""
        database = Database(url)
        migrate.upgrade(database)
        numbers = NUMBERS[database.engine.dialect.name].format(count=rows)
        at = f"{time.time() - _HUNDRED_DAYS} + n * {_HUNDRED_DAYS / rows}"
        ended = "null, null, 0, 'queued'" if waiting else f"{at}, {at}, 1, 'done'"
        with database.write() as connection:
            if not database.is_sqlite:  # as a copy is loaded: without looking for each study
                connection.execute(text("set local session_replication_role = replica"))
            connection.execute(
                text(
                    "insert into study (study_uid, first_received_at, last_received_at)"
                    f" select {UID.format(n='n')}, {at}, {at} from {numbers}"
                )
            )
            connection.execute(
                text(
                    "insert into job (id, study_uid, model, model_version, input_digest, priority,"
                    " created_at, run_at, started_at, finished_at, attempts, state)"
                    f" select n + 1, {UID.format(n='n')}, '{_MODEL.name}', '{_MODEL.version}', 'x',"
                    f" 0, {at}, {at}, {ended} from {numbers}"
                )
            )
            if not database.is_sqlite:
                connection.execute(text(f"alter sequence job_id_seq restart with {rows + 1}"))
        settle(database, "study", "job")
        database.close()

    def add(self, url: str, count: int) -> None:
        """Let further jobs wait."""
        database = Database(url)
        numbers = NUMBERS[database.engine.dialect.name].format(count=count)
        moment = time.time()
        with database.write() as connection:
            connection.execute(
                text(
                    "insert into job (study_uid, model, model_version, input_digest, priority,"
                    " created_at, run_at, attempts, state)"
                    f" select (select min(study_uid) from study), '{_MODEL.name}',"
                    f" '{_MODEL.version}', 'added ' || n, 0, {moment}, {moment}, 0, 'queued'"
                    f" from {numbers}"
                )
            )
        database.close()

    def clear(self, url: str, rows: int) -> None:
        """Remove the jobs that were added to so many."""
        database = Database(url)
        with database.write() as connection:
            connection.execute(text(f"delete from job where id > {rows}"))
        settle(database, "job")
        database.close()

    def work(self, url: str, laps: Laps) -> None:
        """Claim and finish as ``inference.worker`` does."""
        database = Database(url)
        claimer = Claimer(
            database,
            owner=f"bench-{time.monotonic_ns()}",
            models=[_MODEL],
            lease_seconds=_LEASE_SECONDS,
            retry=_RETRY,
            batches={_MODEL: self.batch},
        )
        while (began := time.monotonic()) < laps.until:
            claimer.stranded()
            claims = claimer.claim()
            if not claims:
                break
            laps.claimed(began)
            for each in claims:
                with database.write() as connection:
                    jobs.finish(connection, each)
                laps.finished()
        database.close()


@dataclass(frozen=True)
class Procrastinate:
    """Procrastinate."""

    name: str = "procrastinate"
    family: str = "procrastinate"

    def create(self, url: str, rows: int, *, waiting: bool) -> None:
        """Fill a new database: a job and its events, as they would have been written one by one."""
        import procrastinate

        with procrastinate.App(
            connector=procrastinate.SyncPsycopgConnector(conninfo=_conninfo(url))
        ).open() as app:
            app.schema_manager.apply_schema()
        state = "todo" if waiting else "succeeded"
        kinds = ("deferred",) if waiting else ("deferred", "started", "succeeded")
        _execute(
            url,
            "set session_replication_role = replica",
            "insert into procrastinate_jobs (queue_name, task_name, status, attempts)"
            f" select 'default', 'nothing', '{state}', {0 if waiting else 1}"
            f" from generate_series(1, {rows})",
            *(
                "insert into procrastinate_events (job_id, type)"
                f" select id, '{kind}' from procrastinate_jobs"
                for kind in kinds
            ),
            "vacuum analyze",
            "checkpoint",
        )

    def add(self, url: str, count: int) -> None:
        """Let further jobs wait."""
        _execute(
            url,
            "insert into procrastinate_jobs (queue_name, task_name)"
            f" select 'default', 'nothing' from generate_series(1, {count})",
        )

    def clear(self, url: str, rows: int) -> None:
        """Remove the jobs that were added to so many."""
        _execute(
            url,
            f"delete from procrastinate_jobs where id > {rows}",
            "vacuum analyze procrastinate_jobs, procrastinate_events",
            "checkpoint",
        )

    def work(self, url: str, laps: Laps) -> None:
        """Run its worker."""
        asyncio.run(self._work(url, laps))

    async def _work(self, url: str, laps: Laps) -> None:
        import procrastinate

        app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=_conninfo(url), min_size=2)
        )
        app.task(name="nothing")(_nothing)
        _clocked(app.job_manager, "fetch_job", laps)
        _counted(app.job_manager, "finish_job", laps)
        async with app.open_async():
            work = app.run_worker_async(
                concurrency=1, wait=False, listen_notify=False,
                install_signal_handlers=False,
            )  # fmt: skip
            running = asyncio.create_task(work)
            await laps.watch(running)
            running.cancel()
            await asyncio.wait([running])


@dataclass(frozen=True)
class Pgqueuer:
    """Pgqueuer, with so many jobs taken and finished at once."""

    batch: int
    family: str = "pgqueuer"

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.family} x{self.batch}"

    def create(self, url: str, rows: int, *, waiting: bool) -> None:
        """Fill a new database: jobs that wait, or the log of those that are done."""
        asyncio.run(self._install(url))
        kinds = ("queued",) if waiting else ("queued", "picked", "successful")
        _execute(
            url,
            *(
                "insert into pgqueuer_log (job_id, status, priority, entrypoint, aggregated)"
                f" select n, '{kind}', 0, 'nothing', true from generate_series(1, {rows}) n"
                for kind in kinds
            ),
            *([_PGQUEUER_ADD.format(count=rows)] if waiting else []),
            "vacuum analyze",
            "checkpoint",
        )

    def add(self, url: str, count: int) -> None:
        """Let further jobs wait."""
        _execute(url, _PGQUEUER_ADD.format(count=count))

    def clear(self, url: str, rows: int) -> None:
        """Remove the jobs that were added to so many."""
        _execute(
            url,
            "delete from pgqueuer",
            f"delete from pgqueuer_log where id > {3 * rows}",
            "vacuum analyze pgqueuer, pgqueuer_log",
            "checkpoint",
        )

    def work(self, url: str, laps: Laps) -> None:
        """Run its worker."""
        import uvloop

        uvloop.run(self._work(url, laps))

    async def _install(self, url: str) -> None:
        import asyncpg
        from pgqueuer.db import AsyncpgDriver
        from pgqueuer.queries import Queries

        connection = await asyncpg.connect(_conninfo(url))
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()

    async def _work(self, url: str, laps: Laps) -> None:
        import asyncpg
        from pgqueuer import PgQueuer
        from pgqueuer.db import AsyncpgDriver
        from pgqueuer.domain.types import QueueExecutionMode

        connection = await asyncpg.connect(_conninfo(url))
        manager = PgQueuer(AsyncpgDriver(connection)).qm
        manager.entrypoint("nothing")(_nothing_of)
        _clocked(manager.queries, "dequeue", laps)
        _counted(manager.queries, "log_jobs", laps)
        work = manager.run(batch_size=self.batch, mode=QueueExecutionMode.drain)
        running = asyncio.create_task(work)
        await laps.watch(running)
        manager.shutdown.set()
        await running


_PGQUEUER_ADD = (
    "insert into pgqueuer (priority, status, entrypoint)"
    " select 0, 'queued', 'nothing' from generate_series(1, {count})"
)


def peers() -> list[System]:
    """The other queues that are installed."""
    found: list[System] = []
    if importlib.util.find_spec("procrastinate"):
        found.append(Procrastinate())
    if importlib.util.find_spec("pgqueuer") and importlib.util.find_spec("asyncpg"):
        found += [Pgqueuer(1), Pgqueuer(10)]
    return found


async def _nothing() -> None:
    """The job."""


async def _nothing_of(_job: object) -> None:
    """The job."""


def _clocked(owner: Any, name: str, laps: Laps) -> None:
    """Note each call that finds something as a claim."""
    fetch: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def clocked(*given: Any, **named: Any) -> Any:
        began = time.monotonic()
        found = await fetch(*given, **named)
        if found:
            laps.claimed(began)
        return found

    setattr(owner, name, clocked)


def _counted(owner: Any, name: str, laps: Laps) -> None:
    """Note each call as the end of the job, or of each in the list, that it is given."""
    end: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def counted(*given: Any, **named: Any) -> Any:
        ended = await end(*given, **named)
        laps.finished(len(given[0]) if given else 1)
        return ended

    setattr(owner, name, counted)


def _conninfo(url: str) -> str:
    return url.replace("postgresql+psycopg:", "postgresql:")


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(_conninfo(url), autocommit=True) as connection:
        for each in statements:
            connection.execute(each.encode())
