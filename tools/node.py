"""A wetread node of our own in a folder, run as a user runs it: ``wetread up`` and the CLI."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection

from db import stats
from db.engine import Database
from tools.ports import free_port
from wetread.config import load

_STOP_SECONDS = 40.0


class Node:
    """Writes a settings file and runs ``wetread up`` on it.

    Parameters
    ----------
    folder
        Where settings, data and log go.
    destinations
        (name, AE title, port) of each PACS on this machine.
    extra
        Further settings, TOML.
    web
        Whether it has a dashboard, on ``web_port``.
    """

    ae_title = "WETREAD"

    def __init__(
        self,
        folder: Path,
        destinations: Sequence[tuple[str, str, int]] = (),
        extra: str = "",
        *,
        web: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.web_port = free_port() if web else 0
        self.config = folder / "wetread.toml"
        self.log = folder / "wetread.log"
        self._process: subprocess.Popen[bytes] | None = None
        sections = [f'[node]\nhost = "127.0.0.1"\nport = {self.port}\n[log]\njson_lines = true\n']
        sections.append(f"[web]\nport = {self.web_port}\n" if web else "[web]\nenabled = false\n")
        for name, title, port in destinations:
            sections.append(
                f'[[destination]]\nname = "{name}"\nae_title = "{title}"\n'
                f'host = "127.0.0.1"\nport = {port}\n'
            )
        self.config.write_text("\n".join([*sections, extra]), "utf-8")

    def start(self) -> None:
        """Start all roles and wait for ``ready``."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wetread", "up", "-c", str(self.config)],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != b"ready":
            raise RuntimeError(f"wetread did not start:\n{self.log.read_text('utf-8')}")

    @property
    def web_url(self) -> str:
        """Where its dashboard is."""
        return f"http://127.0.0.1:{self.web_port}"

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        code = self._process.wait(_STOP_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        return code

    def kill(self) -> None:
        """Kill -9 the supervisor; its children find out and end."""
        assert self._process is not None
        left = children(self._process.pid)
        self._process.kill()
        self._process.communicate()
        self._process = None
        _wait_until_gone(left)

    def cut_off(self) -> None:
        """Kill -9 the supervisor and all roles at once, as a power cut does."""
        assert self._process is not None
        left = children(self._process.pid)
        self._process.kill()  # first, or it would start again what dies
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.communicate()
        self._process = None
        _wait_until_gone(left)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``wetread`` with these settings."""
        command = [sys.executable, "-m", "wetread", *arguments, "-c", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def json(self, *arguments: str) -> Any:
        """What a command says with ``--json``."""
        done = self.cli(*arguments, "--json")
        if done.returncode:
            raise RuntimeError(f"wetread {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout)

    def send(self, *paths: Path) -> subprocess.CompletedProcess[str]:
        """Send files to this node."""
        return self.cli(
            "send", *map(str, paths), "--to", f"{self.ae_title}@127.0.0.1:{self.port}", "--json"
        )

    def wait_for_jobs(
        self, studies: int, seconds: float = 60.0, jobs: int = 0
    ) -> list[dict[str, Any]]:
        """Wait until all is over that these studies bring.

        Parameters
        ----------
        studies
            So many studies must have jobs, and every job and delivery have come to an end.
        seconds
            How long to wait.
        jobs
            So many jobs there must be, if more than one per study.

        Returns
        -------
        list
            The jobs as ``wetread jobs list --json`` shows them, newest first.

        Raises
        ------
        TimeoutError
            It took longer; the message holds the jobs.
        """
        deadline = time.monotonic() + seconds
        database = Database(load(self.config).database.url)
        try:
            while True:
                with database.read() as connection:
                    found = stats.jobs(connection, limit=10_000)
                    over = all(_over(connection, each) for each in found)
                seen = {each["study_uid"] for each in found}
                if over and len(seen) >= studies and len(found) >= jobs:
                    return found
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{len(seen)} of {studies} studies: {found}")
                time.sleep(0.1)
        finally:
            database.close()

    def role_pids(self, role: str) -> list[int]:
        """Process IDs of a role."""
        assert self._process is not None
        return [pid for pid in children(self._process.pid) if f"\0{role}\0" in _command(pid)]

    def kill_role(self, role: str) -> None:
        """Kill -9 every process of a role; the supervisor starts it again."""
        for pid in self.role_pids(role):
            os.kill(pid, signal.SIGKILL)

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Log lines, optionally of one event."""
        lines = self.log.read_text("utf-8").splitlines()
        parsed = [json.loads(line) for line in lines if line.startswith("{")]
        return [each for each in parsed if name is None or each["event"] == name]


def _over(connection: Connection, job: dict[str, Any]) -> bool:
    if job["state"] in ("queued", "running"):
        return False
    found = stats.deliveries(connection, job["id"])
    return all(each["state"] not in ("pending", "sending") for each in found)


def children(pid: int) -> list[int]:
    """Process IDs of the children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # gone meanwhile
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def _wait_until_gone(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while any(_command(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {pids} outlive their supervisor")
        time.sleep(0.05)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
