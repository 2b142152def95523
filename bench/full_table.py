"""Whether a table that is full already makes the receiver slower.

``python -m bench.full_table [--rows 1000000] [--rounds 5] [--quick] [--only KIND]``

On SQLite and on PostgreSQL two databases stand side by side: one empty, one with a million
instances of 200 per study, under UIDs that are spread as random ones are, so that new rows go
anywhere into the indexes. A receiver of its own process takes 2,000 tiny objects and 500 CT over 1
and 4 associations into the one and the other in turn; then the rows are deleted and the next round
begins. The ratio is that of neighbouring runs, so that a machine that changes its pace does so for
both. Last come the seconds and the memory of the commands that look at the whole table.

What was received stays until the end, for the reason that ``bench.receive`` gives (7 GB).
``--quick`` takes a tenth of the rows and of the objects. ``--folder`` says which file system is
measured; PostgreSQL's is that of temporary files. ``--only`` names one database, ``sqlite`` or
``postgresql``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydicom import dcmread
from sqlalchemy import delete, text

from bench.receive import WORKLOADS, raw_run, write_objects
from bench.receive_peers import Receiver
from db import migrate
from db.engine import Database
from db.schema import Instance, Study
from tests.postgres import PostgresServer

_PER_STUDY = 200

# Steps of the golden ratio: every UID once, spread evenly, 64 characters as pydicom makes them.
UID = (
    "'1.2.826.0.1.3680043.8.498.' || ({n} * 6180339887 % 9000000000 + 1000000000)"
    " || ({n} * 48271 % 2147483647 + 10000000000000) || ({n} + 10000000000000)"
)
NUMBERS = {
    "sqlite": (
        "(with recursive counted(n) as (select 0 union all select n + 1 from counted"
        " where n + 1 < {count}) select n from counted) numbers"
    ),
    "postgresql": "generate_series(0::bigint, {count} - 1) numbers(n)",
}
_STUDIES = """
insert into study (study_uid, first_received_at, last_received_at, due_at)
select {uid}, {at}, {at}, null from {numbers}
"""
_INSTANCES = """
insert into instance (sop_instance_uid, study_uid, series_uid, sop_class_uid, transfer_syntax_uid,
    modality, own, size, digest, path, calling_ae, received_at)
select {uid}, {study}, {series}, '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', 'CT',
    false, 526000, '', 'archive/a7/' || {study} || '/' || {uid} || '.dcm', 'CONSOLE', {at}
from {numbers}
"""


# The command line in a process that says at last how much memory it had.
_WATCHED = """
import atexit, sys
from wetread.cli.main import run

def tell():
    (peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(peak.split()[1], file=sys.stderr)

atexit.register(tell)
run()
"""


class Pair(NamedTuple):
    """The two databases of one kind, by URL."""

    kind: str
    empty: str
    full: str


class Seen(NamedTuple):
    """What a command took."""

    seconds: float
    peak_megabytes: float


def fill(url: str, rows: int, per_study: int = _PER_STUDY) -> None:
    """Put instances that came over the last hundred days into a database that is empty."""
    database = Database(url)
    dialect = database.engine.dialect.name
    parts = {
        "uid": UID.format(n="n"),
        "study": UID.format(n=f"(n / {per_study})"),
        "series": UID.format(n=f"(n / {per_study} + {rows})"),
        "at": f"{time.time() - 8_640_000} + n * {8_640_000 / rows}",
    }
    for statement, count in ((_STUDIES, -(-rows // per_study)), (_INSTANCES, rows)):
        numbers = NUMBERS[dialect].format(count=count)
        with database.write() as connection:
            connection.execute(text(statement.format(numbers=numbers, **parts)))
    settle(database, "study", "instance")
    database.close()


def forget(url: str, study_uid: str) -> None:
    """Delete what was received, and let the database tidy up after that."""
    database = Database(url)
    with database.write() as connection:
        connection.execute(delete(Instance).where(Instance.study_uid == study_uid))
        connection.execute(delete(Study).where(Study.study_uid == study_uid))
    settle(database, "study", "instance")
    database.close()


def settle(database: Database, *tables: str) -> None:
    """Do now what the database would do to these tables while the next run is measured."""
    statements = ["pragma wal_checkpoint(truncate)"]
    if not database.is_sqlite:
        statements = [f"vacuum analyze {', '.join(tables)}", "checkpoint"]
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        for each in statements:
            driver.execute(each)


@contextmanager
def environment(**settings: str) -> Iterator[None]:
    """Give settings to the programs that are started."""
    os.environ.update(settings)
    try:
        yield
    finally:
        for each in settings:
            del os.environ[each]


def receive(url: str, paths: Sequence[Path], folder: Path, associations: int) -> float:
    """Instances per second that a new receiver takes into a database."""
    with (
        environment(WETREAD_DATABASE__URL=url),
        Receiver("wetread", folder, nodelay=True, associations=associations) as receiver,
    ):
        outcome = raw_run(receiver, paths, associations)
    forget(url, str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID))
    return outcome.per_second


def look(url: str, folder: Path, command: Sequence[str]) -> Seen:
    """Run a command that shows something of a database."""
    with environment(WETREAD_DATABASE__URL=url, WETREAD_NODE__DATA_DIR=str(folder)):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _WATCHED, *command],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"wetread {' '.join(command)}: {done.stderr}")
    return Seen(time.perf_counter() - began, int(done.stderr.split()[-1]) / 1024)


def compare(pair: Pair, objects: dict[str, list[Path]], folder: Path, rounds: int) -> None:
    """Print one database's table."""
    print(f"\n{pair.kind}\n{'workload':<10}{'assoc.':>7}{'empty/s':>10}{'full/s':>10}{'ratio':>8}")
    for name, paths in objects.items():
        for associations in (1, 4):
            rates: dict[str, list[float]] = {pair.empty: [], pair.full: []}
            for turn in range(rounds + 1):  # the first warms up
                here = folder / f"{pair.kind}-{name}-{associations}-{turn}"
                for url in (pair.empty, pair.full) if turn % 2 else (pair.full, pair.empty):
                    into = here / ("empty" if url == pair.empty else "full")
                    rates[url].append(receive(url, paths, into, associations))
            empty, full = rates[pair.empty][1:], rates[pair.full][1:]
            ratios = [one / other for one, other in zip(full, empty, strict=True)]
            print(
                f"{name:<10}{associations:>7}{statistics.median(empty):>10.0f}"
                f"{statistics.median(full):>10.0f}{statistics.median(ratios):>8.2f}"
                f"   ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )
    print(f"{'command':<16}{'empty s':>10}{'full s':>10}{'empty MB':>10}{'full MB':>10}")
    for command in (("status",), ("studies", "list"), ("jobs", "list")):
        one, other = (look(url, folder, command) for url in (pair.empty, pair.full))
        print(
            f"{' '.join(command):<16}{one.seconds:>10.2f}{other.seconds:>10.2f}"
            f"{one.peak_megabytes:>10.0f}{other.peak_megabytes:>10.0f}",
            flush=True,
        )


def prepared(kind: str, empty: str, full: str, rows: int) -> Pair:
    """Make both databases of a kind."""
    for url in (empty, full):
        database = Database(url)
        migrate.upgrade(database)
        database.close()
    began = time.perf_counter()
    fill(full, rows)
    print(f"{kind}: {rows:,} instances filled in {time.perf_counter() - began:.0f} s", flush=True)
    return Pair(kind, empty, full)


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--quick", action="store_true", help="a tenth of rows and objects")
    arguments.add_argument("--folder", type=Path, help="where to write")
    arguments.add_argument("--only", choices=NUMBERS, help="this database alone")
    chosen = arguments.parse_args()
    share = 10 if chosen.quick else 1
    rows = chosen.rows // share
    with tempfile.TemporaryDirectory(prefix="wetread-bench-", dir=chosen.folder) as temporary:
        folder = Path(temporary)
        objects = {
            each.name: write_objects(each, folder / each.name, each.objects // share)
            for each in WORKLOADS
            if each.name in ("tiny", "CT")
        }
        if chosen.only != "postgresql":
            empty, full = (f"sqlite:///{folder / name}.db" for name in ("empty", "full"))
            pair = prepared("SQLite", empty, full, rows)
            compare(pair, objects, folder, chosen.rounds)
        if chosen.only != "sqlite" and not PostgresServer.installed():
            print("\nPostgreSQL is not installed: apt-get install postgresql")
        elif chosen.only != "sqlite":
            with PostgresServer() as server:
                pair = prepared("PostgreSQL", server.new_database(), server.new_database(), rows)
                compare(pair, objects, folder, chosen.rounds)


if __name__ == "__main__":
    main()
