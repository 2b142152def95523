"""A throw-away PostgreSQL server from Debian's binaries."""

from __future__ import annotations

import getpass
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import psycopg

from tools.node import children
from tools.ports import free_port


class PostgresServer:
    """Runs ``initdb`` and ``postgres`` in a temporary folder, as ``postgres`` if we are root.

    Parameters
    ----------
    durable
        Whether what is committed survives a power cut, which takes time.
    """

    def __init__(self, *, durable: bool = True) -> None:
        self._durable = durable
        self.port = free_port()
        self._numbers = itertools.count()
        self._folder = Path(tempfile.mkdtemp(prefix="wetread-pg-"))
        self._as_root = getpass.getuser() == "root"
        self._user = "postgres" if self._as_root else getpass.getuser()

    @staticmethod
    def _binaries() -> Path | None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if found:
            return found[-1].parent
        on_path = shutil.which("initdb")
        return Path(on_path).parent if on_path else None

    @classmethod
    def installed(cls) -> bool:
        """Whether the server can be started here."""
        return cls._binaries() is not None

    def __enter__(self) -> Self:
        if self._as_root:
            shutil.chown(self._folder, "postgres")
        self._call("initdb", "-D", f"{self._folder}/data", "-A", "trust", "-U", self._user, "-N")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder} -c max_connections=200"
        if not self._durable:
            options += " -c fsync=off"
        self._call(
            "pg_ctl", "-D", f"{self._folder}/data", "-l", f"{self._folder}/log", "-w",
            "-o", options, "start",
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop it; ``immediate`` is what a crash looks like."""
        self._call("pg_ctl", "-D", f"{self._folder}/data", "-m", mode, "-w", "stop")

    def kill(self) -> None:
        """Kill -9 the server and all its processes."""
        pid = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        for each in [pid, *children(pid)]:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.01)

    def new_database(self, template: str | None = None) -> str:
        """Create an empty database, or a copy of the one with that URL, and return its URL."""
        name = f"wetread_{next(self._numbers)}"
        like = "template0" if template is None else template.rpartition("/")[2]
        server = f"127.0.0.1:{self.port}"
        with psycopg.connect(
            f"postgresql://{self._user}@{server}/postgres", autocommit=True
        ) as connection:
            connection.execute(f"create database {name} template {like}")
        return f"postgresql+psycopg://{self._user}@{server}/{name}"

    def _call(self, program: str, *arguments: str) -> None:
        binaries = self._binaries()
        assert binaries is not None
        command = [str(binaries / program), *arguments]
        if self._as_root:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")
