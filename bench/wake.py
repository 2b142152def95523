"""How soon an idle worker begins with a job, and what idling costs.

``python -m bench.wake [--rounds 40] [--seconds 20] [--only KIND]``

A node with one process of each role has read one study. In each round, after a pause of random
length, that study's job is made dead and queued again as ``wetread jobs retry`` does; what is
measured is from its ``run_at`` to its ``started_at``, by one clock; the aim is 50 ms.
Then the processor time of each process is taken while nothing happens.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

from sqlalchemy import select, update

from bench.full_table import environment
from bench.latency import ArrivalClock
from db import jobs
from db.engine import Database
from db.schema import Job, JobState
from tests.postgres import PostgresServer
from tools.node import Node
from wetread.config import load
from wetread.phantom import write_study

_AIM_SECONDS = 0.05
_ROLES = ("receive", "work", "deliver")


def latencies(database: Database, job_id: int, rounds: int) -> list[float]:
    """Seconds from queueing to start, one per round."""
    random = Random(1)
    found = []
    for _ in range(rounds):
        time.sleep(random.uniform(0.2, 0.7))
        with database.write() as connection:
            connection.execute(update(Job).values(state=JobState.DEAD))
            jobs.retry(connection, job_id)
        found.append(_started(database, job_id))
    return found


def _started(database: Database, job_id: int) -> float:
    while True:
        with database.read() as connection:
            times = connection.execute(
                select(Job.started_at, Job.run_at).where(
                    Job.id == job_id, Job.state == JobState.DONE
                )
            ).one_or_none()
        if times is not None and times.started_at is not None:
            return float(times.started_at - times.run_at)
        time.sleep(0.1)


def idle_shares(node: Node, seconds: float) -> dict[str, float]:
    """Part of a core that each role takes while nothing happens."""
    pids = {role: node.role_pids(role)[0] for role in _ROLES}
    before = {role: _cpu_seconds(pid) for role, pid in pids.items()}
    time.sleep(seconds)
    return {role: (_cpu_seconds(pids[role]) - before[role]) / seconds for role in _ROLES}


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process (proc(5), ``stat``)."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(kind: str, rounds: int, seconds: float) -> None:
    """Measure on one kind of database, and print it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wetread-wake-")))
        url = f"sqlite:///{folder / 'wetread.db'}"
        if kind == "postgresql":
            url = stack.enter_context(PostgresServer()).new_database()
        stack.enter_context(environment(WETREAD_DATABASE__URL=url))
        pacs = ArrivalClock()
        stack.callback(pacs.close)
        node = stack.enter_context(Node(folder / "node", [("pacs", "PACS", pacs.port)]))
        node.send(*write_study(folder / "study", seed=1, rows=512))
        job_id = int(node.wait_for_jobs(1)[0]["id"])
        database = Database(load(node.config).database.url)
        stack.callback(database.close)
        found = sorted(latencies(database, job_id, rounds))
        print(f"\n{kind}: {rounds} rounds")
        within = sum(each <= _AIM_SECONDS for each in found) / len(found)
        print(
            f"  from queued to started: median {1000 * statistics.median(found):.0f} ms, ", end=""
        )
        print(
            f"longest {1000 * found[-1]:.0f} ms, {within:.0%} within {1000 * _AIM_SECONDS:.0f} ms"
        )
        for role, share in sorted(idle_shares(node, seconds).items()):
            print(f"  idle {role:<10}{100 * share:6.2f} % of a core")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="this database alone")
    chosen = parser.parse_args()
    for kind in [chosen.only] if chosen.only else ["sqlite", "postgresql"]:
        measure(kind, chosen.rounds, chosen.seconds)


if __name__ == "__main__":
    main()
