"""What must hold of the receiver whatever it was told."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from db.engine import Database
from db.schema import Instance
from tools.fuzz.messages import SECRET
from tools.node import Node
from wetread.config import load

_SETTLE_SECONDS = 40.0  # the ARTIM timer runs for 30
_THREADS_PER_CONNECTION = 2
_KILOBYTES_PER_MEGABYTE = 1024
_COMES_AND_GOES = ("-wal", "-shm")  # beside an SQLite database


class Broken(Exception):
    """Something does not hold; the message says what."""


@dataclass(frozen=True)
class Cost:
    """What a process has: threads, open sockets, other open files, and memory in MB."""

    threads: int
    sockets: int
    files: int
    megabytes: float


@dataclass(frozen=True)
class Kept:
    """What is stored."""

    files: int
    rows: int
    conflicts: int


class Watch:
    """Looks at a node from outside.

    Parameters
    ----------
    node
        It runs, and has served every kind of request once.
    folder
        Nothing may appear in it beside what is there now, but for the data folder.
    """

    def __init__(self, node: Node, folder: Path) -> None:
        self._node = node
        self._folder = folder
        settings = load(node.config)
        self._data = settings.node.data_dir
        self._url = settings.database.url
        (self._process,) = node.role_pids("receive")
        self._outside = self._others()
        self._log_read = 0
        self.baseline = self._quiet_cost()

    def check(self, waiting: int = 0) -> tuple[Cost, Kept]:
        """Wait until the receiver is at rest but for so many connections, and look.

        Raises
        ------
        Broken
            See the message.
        """
        self._check_process()
        cost = self._settled(waiting)
        self._check_log()
        if self._others() != self._outside:
            raise Broken(f"outside of the data folder: {self._others() ^ self._outside}")
        return cost, self._check_kept()

    def _check_process(self) -> None:
        pids = self._node.role_pids("receive")
        if pids != [self._process]:
            raise Broken(f"the receiver was process {self._process}, now {pids}")

    def _settled(self, waiting: int) -> Cost:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            self._check_process()
            cost = _cost(self._process)
            spooled = [each.name for each in (self._data / "spool").iterdir()]
            more = (
                cost.threads > self.baseline.threads + _THREADS_PER_CONNECTION * waiting
                or cost.sockets > self.baseline.sockets + waiting
                or any("/spool/" in each for each in _opened(self._process))
            )
            if not more and not spooled:
                return cost
            if time.monotonic() > deadline:
                raise Broken(f"{cost}, at first {self.baseline}; in the spool: {spooled}")
            time.sleep(0.1)

    def _quiet_cost(self) -> Cost:
        """What it has once two looks agree."""
        before = _cost(self._process)
        while True:
            time.sleep(1.0)
            cost = _cost(self._process)
            if (cost.threads, cost.sockets) == (before.threads, before.sockets):
                return cost
            before = cost

    def _check_log(self) -> None:
        with self._node.log.open("rb") as log:
            log.seek(self._log_read)
            content = log.read()
        whole = content.rfind(b"\n") + 1
        self._log_read += whole
        for line in content[:whole].splitlines():
            if SECRET.encode() in line:
                raise Broken("a patient's name stands in the log")
            try:
                event = json.loads(line)
            except ValueError as error:
                raise Broken(f"in the log: {line[:500]!r}") from error
            if event["level"] in ("error", "critical") or "Traceback" in str(event):
                raise Broken(f"in the log: {event}")

    def _check_kept(self) -> Kept:
        database = Database(self._url)
        try:
            with database.read() as connection:
                asked = connection.execute(select(Instance.path, Instance.size))
                rows = {each.path: each.size for each in asked}
                count = len(rows)
        finally:
            database.close()
        archive = self._data / "archive"
        files = {
            str(each.relative_to(self._data)): each.stat().st_size
            for each in archive.rglob("*")
            if not each.is_dir()
        }
        if files != rows:
            differ = sorted(files.items() ^ rows.items())[:10]
            raise Broken(f"{len(files)} files and {count} rows differ in {differ}")
        conflicts = self._data / "conflicts"
        return Kept(len(files), count, len(list(conflicts.iterdir())) if conflicts.exists() else 0)

    def _others(self) -> frozenset[str]:
        """Every file but those in the archive, the spool and the conflicts."""
        ours = {self._data / name for name in ("archive", "spool", "conflicts")}
        found: set[str] = set()
        for folder, folders, files in os.walk(self._folder):
            below = Path(folder)
            folders[:] = [each for each in folders if below / each not in ours]
            found |= {str(below / each) for each in files if not each.endswith(_COMES_AND_GOES)}
        return frozenset(found)


def _cost(process: int) -> Cost:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines()
    )
    opened = list(_opened(process))
    sockets = sum(each.startswith("socket:") for each in opened)
    megabytes = int(status["VmRSS"].split()[0]) / _KILOBYTES_PER_MEGABYTE
    return Cost(int(status["Threads"]), sockets, len(opened) - sockets, megabytes)


def _opened(process: int) -> Iterator[str]:
    """What its file descriptors lead to."""
    for each in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield str(each.readlink())
