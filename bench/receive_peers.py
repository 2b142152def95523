"""The receivers that are compared, each a process with a folder of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Self

from tools.orthanc import Orthanc
from tools.ports import free_port

NAMES = ("wetread", "storescp", "orthanc", "pynetdicom")
_START_SECONDS = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What a process has used so far."""

    cpu_seconds: float
    peak_megabytes: float


class Receiver:
    """A running receiver.

    Parameters
    ----------
    name
        One of ``NAMES``.
    folder
        Where it keeps what it gets.
    nodelay
        Whether DCMTK and Orthanc turn Nagle's algorithm off; Debian's builds leave it on.
    associations
        How many will come at once: ``storescp`` forks for more than one.
    """

    def __init__(self, name: str, folder: Path, *, nodelay: bool, associations: int) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self.ae_title = name.upper()
        self._folder = folder
        self._environment = os.environ | {"TCP_NODELAY": "1" if nodelay else "0"}
        self._orthanc: Orthanc | None = None
        if name == "orthanc":
            self._start_orthanc()
            return
        command = {
            "wetread": self._wetread,
            "storescp": lambda: self._storescp(associations),
            "pynetdicom": self._pynetdicom,
        }[name]()
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            command, env=self._environment, stdout=self._log, stderr=self._log
        )
        self.pid = self._process.pid
        self._wait()

    def cost(self) -> Cost:
        """What it has used so far, with its children that have ended."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        status = Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines()
        (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
        return Cost(sum(map(int, fields[11:15])) / _TICKS, int(peak) / 1024)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._orthanc is not None:
            self._orthanc.stop()
            return
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def _wetread(self) -> list[str]:
        config = self._folder / "wetread.toml"
        config.write_text(f'[node]\nhost = "127.0.0.1"\nport = {self.port}\n', "utf-8")
        return [sys.executable, "-m", "wetread", "receive", "-c", str(config)]

    def _storescp(self, associations: int) -> list[str]:
        kept = self._folder / "kept"
        kept.mkdir()
        fork = ["--fork"] if associations > 1 else []
        return ["storescp", "+B", *fork, "-od", str(kept), str(self.port)]

    def _pynetdicom(self) -> list[str]:
        kept = str(self._folder / "kept")
        return [sys.executable, "-m", "pynetdicom", "storescp", str(self.port), "-q", "-od", kept]

    def _start_orthanc(self) -> None:
        given = os.environ.get("TCP_NODELAY")
        os.environ["TCP_NODELAY"] = self._environment["TCP_NODELAY"]
        try:
            self._orthanc = Orthanc(self._folder / "orthanc")
            self._orthanc.start()
        finally:
            if given is None:
                del os.environ["TCP_NODELAY"]
            else:
                os.environ["TCP_NODELAY"] = given
        assert self._orthanc._process is not None
        self.pid, self.port = self._orthanc._process.pid, self._orthanc.port

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    time.sleep(0.2)
                    return
            time.sleep(0.05)
        raise RuntimeError((self._folder / "log").read_text("utf-8"))
