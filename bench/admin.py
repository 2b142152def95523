"""How fast the screens of administrators are while the tables are large.

``python -m bench.admin [--instances 1000000] [--rounds 20]``

On PostgreSQL, a database as that of a node that ran for a hundred days: a million instances in
200,000 studies with a job each, 600,000 results and as many deliveries (``bench.big_node``), while
the ``web`` role of a real node runs on it. Each page of the dashboard is asked for in turn over
HTTP by a user who is logged in; each command runs as a process of its own, beside
``wetread --version``, which shows what Python's start alone costs. Printed are median and longest.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
from sqlalchemy import select

from bench.big_node import fill_node
from db import accounts, figures, metering, migrate
from db.accounts import Role
from db.engine import Database
from db.schema import Job
from tests.postgres import PostgresServer
from tools.ports import free_port
from wetread.passwords import hashed
from wetread.presence import TOTALS

_PASSWORD = "a password for the bench"
_CSRF = re.compile(r'name="csrf" value="([\w-]+)"')
_LOOK_SECONDS = 0.1


def page_paths(database: Database) -> list[str]:
    """The pages, and searches as people make them; the last of the table and one in the middle."""
    with database.read() as connection:
        job_id, study_uid = connection.execute(
            select(Job.id, Job.study_uid).where(Job.state == "done").order_by(Job.id.desc())
        ).first() or (1, "")
    return [
        "/",
        "/jobs",
        "/jobs?state=dead",
        "/jobs?model=cxr-covid&state=queued",
        f"/jobs/{job_id}",
        "/studies",
        "search A100000",
        "search family12345",
        f"/studies/{study_uid}",
        "/deliveries",
        "/deliveries?state=held",
        "/destinations",
        "/models",
        "/system",
        "/metrics",
        "/readyz",
    ]


def commands(study_uid: str) -> list[list[str]]:
    """What an administrator types."""
    return [
        ["--version"],
        ["status"],
        ["jobs", "list", "--limit", "50"],
        ["jobs", "list", "--state", "dead", "--limit", "50"],
        ["jobs", "list", "--accession", "A100000"],
        ["studies", "list", "--limit", "50"],
        ["studies", "show", study_uid],
        ["deliveries", "list", "--state", "held", "--limit", "50"],
    ]


@contextmanager
def node(url: str, folder: Path, port: int) -> Iterator[None]:
    """The dashboard's role, as 'wetread up' starts it."""
    settings = {
        "WETREAD_DATABASE__URL": url,
        "WETREAD_NODE__DATA_DIR": str(folder),
        "WETREAD_WEB__PORT": str(port),
        "WETREAD_DESTINATION": '[{"name": "pacs", "ae_title": "P", "host": "h", "port": 104}]',
    }
    os.environ.update(settings)
    role = subprocess.Popen([sys.executable, "-m", "wetread", "web"], stdout=subprocess.PIPE)
    try:
        assert role.stdout is not None
        role.stdout.readline()  # "ready"
        yield
    finally:
        role.terminate()
        role.wait()


def logged_in(base: str) -> requests.Session:
    """A browser of an administrator."""
    session = requests.Session()
    fields = {"name": "bench", "password": _PASSWORD, "next": "/"}
    answer = session.post(f"{base}/login", data=fields, headers={"Origin": base})
    answer.raise_for_status()
    return session


def _settle(database: Database) -> None:
    """Wait until all is counted that a node which has run for long has counted before."""
    while True:
        metering.run(database, older=0)
        with database.read() as connection:
            counted = [figures.shown(connection, each) for each in (metering.PASS, TOTALS)]
        if all(each is not None and each.value is not None for each in counted):
            return
        time.sleep(_LOOK_SECONDS)


def laps(names: Sequence[str], run: Callable[[str], None], rounds: int) -> None:
    """Run each in turn, and print how long it took."""
    seconds: dict[str, list[float]] = {each: [] for each in names}
    for turn in range(rounds + 1):  # the first warms up
        for each in names:
            began = time.perf_counter()
            run(each)
            if turn:
                seconds[each].append((time.perf_counter() - began) * 1000)
    for name, took in seconds.items():
        shown = name if len(name) < 50 else f"{name[:47]}..."
        print(f"{shown:<52}{statistics.median(took):>8.0f}{max(took):>8.0f}", flush=True)


def measure(url: str, folder: Path, rounds: int) -> None:
    """Print both tables."""
    database = Database(url)
    with database.write() as connection:
        accounts.add(connection, "bench", Role.ADMIN, hashed(_PASSWORD))
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with node(url, folder, port):
        session = logged_in(base)
        paths = page_paths(database)

        token = _CSRF.findall(session.get(f"{base}/studies").text)[-1]

        def page(path: str) -> None:
            if path.startswith("search "):
                fields = {"csrf": token, "words": path.removeprefix("search ")}
                answer = session.post(f"{base}/studies", fields, headers={"Origin": base})
            else:
                answer = session.get(base + path)
            if answer.status_code not in (200, 503):  # not ready: no role but this one runs
                raise RuntimeError(f"{path}: {answer.status_code}")

        _settle(database)
        print(f"{'page':<52}{'ms':>8}{'longest':>8}")
        laps(paths, page, rounds)
        study_uid = next(each for each in paths if each.startswith("/studies/")).split("/")[-1]

        def command(line: str) -> None:
            subprocess.run(
                [sys.executable, "-m", "wetread", *line.split()],
                stdout=subprocess.DEVNULL, check=True,
            )  # fmt: skip

        print(f"{'command':<52}{'ms':>8}{'longest':>8}")
        laps([" ".join(each) for each in commands(study_uid)], command, max(3, rounds // 4))
    database.close()


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--instances", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--url", help="a database that was filled before")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="wetread-bench-") as folder:
        if chosen.url:
            measure(chosen.url, Path(folder), chosen.rounds)
            return
        with PostgresServer() as server:
            url = server.new_database()
            database = Database(url)
            migrate.upgrade(database)
            database.close()
            began = time.perf_counter()
            fill_node(url, chosen.instances)
            print(f"{chosen.instances:,} instances in {time.perf_counter() - began:.0f} s")
            measure(url, Path(folder), chosen.rounds)


if __name__ == "__main__":
    main()
