"""How fast jobs are claimed and finished, beside other queues on the same PostgreSQL server.

``python -m bench.queue [--rounds 3] [--rows 1000000] [--only sqlite|postgresql] [--quick]``

1 and 8 worker processes take jobs that do nothing, out of a table of 1,000 jobs that are done
(``1k``), of a million that are done (``full``), and of a million that wait (``waiting``). What a
job costs each queue stands in ``bench/queue_systems.py``; ``x10`` says that ten are taken at once.
Those that are not installed are left out: ``pip install procrastinate 'pgqueuer[asyncpg]'``.

PostgreSQL runs with its default settings, so each commit of the others waits for the disk.

All queues have their turn in each round, so that a machine that changes its pace does so for all,
and each ratio is that of runs of one round. Before a run ``--jobs`` further jobs are put in where
none wait, and afterwards they are removed; it lasts ``--seconds`` from when each worker has done
its first, or until no job is left. Latency is that of claims that found something, with whatever a
worker asks before.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, product
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple

from bench.queue_systems import Laps, System, Wetread, peers
from tests.postgres import PostgresServer

_WORKERS = (1, 8)
_PATIENCE_SECONDS = 60.0


class Table(NamedTuple):
    """A table as the workers find it."""

    name: str
    rows: int
    waiting: bool


class Cell(NamedTuple):
    """What is measured in each round."""

    workers: int
    table: str
    system: str


class Told(NamedTuple):
    """What a worker's process says when it ends."""

    started: float
    stopped: float
    claims: list[tuple[float, float]]
    done: list[float]


class Outcome(NamedTuple):
    """One run."""

    per_second: float
    latencies: list[float]  # seconds


Outcomes = dict[Cell, list[Outcome]]


def run(system: System, url: str, workers: int, seconds: float) -> Outcome:
    """Let workers take jobs for so long."""
    context = multiprocessing.get_context("forkserver")
    barrier = context.Barrier(workers)
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    processes = [
        context.Process(target=_work, args=(system, url, barrier, seconds, theirs))
        for _, theirs in pipes
    ]
    for each in processes:
        each.start()
    for _, theirs in pipes:
        theirs.close()
    told: list[Told] = [ours.recv() for ours, _ in pipes]
    for each in processes:
        each.join()
    begin = max(each.started for each in told)
    end = min(begin + seconds, max(each.stopped for each in told))  # sooner if no job was left
    counted = sum(begin < moment <= end for each in told for moment in each.done)
    claims = [lap for each in told for lap in each.claims]
    latencies = [took for began, took in claims if begin <= began <= end]
    return Outcome(counted / (end - begin), latencies)


def _work(system: System, url: str, barrier: Barrier, seconds: float, parent: Connection) -> None:
    """Be one worker, in a process of its own."""
    started = []

    def start() -> float:
        barrier.wait(_PATIENCE_SECONDS)
        started.append(time.monotonic())
        return started[0] + seconds

    laps = Laps(start)
    system.work(url, laps)
    parent.send(Told(started[0], time.monotonic(), laps.claims, laps.done))


@contextmanager
def more_jobs(system: System, url: str, table: Table, jobs: int) -> Iterator[None]:
    """Put jobs in where none wait, and remove them afterwards."""
    if table.waiting:
        yield
        return
    system.add(url, jobs)
    yield
    system.clear(url, table.rows)


def show(outcomes: Outcomes, tables: Sequence[Table], systems: Sequence[System]) -> None:
    """Print what was measured; ratios are medians of those of each round."""
    ours, small = systems[0].name, tables[0].name
    print(
        f"{'workers':>7} {'table':<8} {'queue':<18}{'jobs/s':>8}{'p50 ms':>8}{'p99 ms':>8}"
        f"{ours + ' / it':>18}{'of ' + small:>8}"
    )
    for workers in _WORKERS:
        for table in tables:
            for system in systems:
                cell = Cell(workers, table.name, system.name)
                runs = outcomes[cell]
                latencies = sorted(each for one in runs for each in one.latencies) or [math.nan]
                p99 = latencies[int(0.99 * len(latencies))]
                print(
                    f"{workers:>7} {table.name:<8} {system.name:<18}"
                    f"{statistics.median(one.per_second for one in runs):>8.0f}"
                    f"{statistics.median(latencies) * 1000:>8.2f}{p99 * 1000:>8.2f}"
                    f"{_ratio(outcomes[cell._replace(system=ours)], runs):>18.2f}"
                    f"{_ratio(runs, outcomes[cell._replace(table=small)]):>8.2f}",
                    flush=True,
                )


def _ratio(some: Sequence[Outcome], others: Sequence[Outcome]) -> float:
    return statistics.median(
        one.per_second / other.per_second if other.per_second else math.inf
        for one, other in zip(some, others, strict=True)
    )


def measure(
    kind: str,
    systems: Sequence[System],
    tables: Sequence[Table],
    new_database: Callable[[], str],
    chosen: argparse.Namespace,
) -> None:
    """Fill the tables of one kind of database, compare, and print."""
    began = time.perf_counter()
    urls: dict[tuple[str, Table], str] = {}
    for system in systems:
        for table in tables:
            if (system.family, table) not in urls:
                url = urls[system.family, table] = new_database()
                system.create(url, table.rows, waiting=table.waiting)
    print(f"\n{kind}, filled in {time.perf_counter() - began:.0f} s", flush=True)
    outcomes: Outcomes = defaultdict(list)
    for _ in range(chosen.rounds):
        for workers, table, system in product(_WORKERS, tables, systems):
            url = urls[system.family, table]
            with more_jobs(system, url, table, chosen.jobs):
                outcome = run(system, url, workers, chosen.seconds)
            outcomes[Cell(workers, table.name, system.name)].append(outcome)
    show(outcomes, tables, systems)


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000, help="of a full table")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=1.0, help="of each run")
    arguments.add_argument("--jobs", type=int, default=4000, help="that wait before each run")
    arguments.add_argument("--quick", action="store_true", help="a tenth of the rows")
    arguments.add_argument("--folder", type=Path, help="where SQLite writes")
    arguments.add_argument("--only", choices=("sqlite", "postgresql"), help="this database alone")
    chosen = arguments.parse_args()
    rows = chosen.rows // (10 if chosen.quick else 1)
    tables = [Table("1k", 1000, False), Table("full", rows, False), Table("waiting", rows, True)]
    ours: list[System] = [Wetread(1), Wetread(10)]
    multiprocessing.get_context("forkserver").set_forkserver_preload(["bench.queue_systems"])
    print(f"{os.cpu_count()} cores; {chosen.rounds} rounds; {rows:,} rows in a full table")
    if chosen.only != "postgresql":
        with tempfile.TemporaryDirectory(prefix="wetread-bench-", dir=chosen.folder) as folder:
            files = (f"sqlite:///{folder}/{number}.db" for number in count())
            measure("SQLite", ours, tables, lambda: next(files), chosen)
    if chosen.only != "sqlite" and not PostgresServer.installed():
        print("\nPostgreSQL is not installed: apt-get install postgresql")
    elif chosen.only != "sqlite":
        with PostgresServer() as server:
            measure("PostgreSQL", [*ours, *peers()], tables, server.new_database, chosen)


if __name__ == "__main__":
    main()
