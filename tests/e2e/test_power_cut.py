"""The power fails while instances come: whatever was answered with Success is there afterwards.

The data folder lies on a file system of its own, in a file. A shutdown that does not flush its log
(the call that file system tests use, xfs_io's ``shutdown -f`` without ``-f``) loses everything that
was not brought to the disk; mounting it again replays its journal, as after a power cut.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import studies
from db.archive import Archive
from db.engine import Database
from tests.console import Console
from tests.receivable import STUDY
from tools.ports import free_port
from wetread.config import load

_MEGABYTES = 800  # none of it is written but what is used
_CUTS = 3
_GOING_DOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
_NO_LOG_FLUSH = 2


class Disk:
    """A file system whose power can be cut."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._image = folder / "image"
        self.root = folder / "disk"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(_MEGABYTES * 1_000_000)
        _run(f"mkfs.{kind}", "-q", str(self._image))

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.root))

    def cut(self) -> None:
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _GOING_DOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        _run("umount", str(self.root))


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    if shutil.which(f"mkfs.{request.param}") is None:
        pytest.skip(f"there is no mkfs.{request.param}")
    made = Disk(tmp_path, request.param)
    try:
        made.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file can be mounted here: {error.stderr.strip()}")
    yield made
    made.unmount()


class Receiver:
    """``wetread receive`` on a data folder."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.port = free_port()
        self.config = folder / "wetread.toml"
        settings = (
            f'host = "127.0.0.1"\nport = {self.port}\ndata_dir = "{data}"\nfree_megabytes = 0\n'
        )
        self.config.write_text(f"[node]\n{settings}", "utf-8")
        self._log = folder / "log"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wetread", "receive", "-c", str(self.config)],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, self._log.read_text("utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.mark.timeout(180)
def test_nothing_acknowledged_is_lost(disk: Disk, tmp_path: Path) -> None:
    receiver, stop = Receiver(tmp_path, disk.root / "data"), threading.Event()
    consoles = [Console(receiver.port, number, stop) for number in range(1, 5)]
    receiver.start()
    for each in consoles:
        each.start()
    try:
        for turn in range(_CUTS):
            time.sleep(1 + 0.17 * turn)
            disk.cut()
            receiver.kill()
            disk.unmount()
            disk.mount()
            _check(receiver, consoles)
            receiver.start()
    finally:
        stop.set()
        for each in consoles:
            each.join()
        receiver.kill()
    _check(receiver, consoles)


def _check(receiver: Receiver, consoles: list[Console]) -> None:
    settings = load(receiver.config)
    database, archive = Database(settings.database.url), Archive(settings.node.data_dir)
    with database.read() as connection:
        rows = {each.sop_instance_uid: each for each in studies.instances(connection, STUDY)}
    database.close()
    acknowledged = {uid: data for each in consoles for uid, data in each.acknowledged.items()}
    assert len(acknowledged) > 20
    for uid, row in rows.items():
        assert archive.full_path(row.path).stat().st_size == row.size, uid
    for uid, data in acknowledged.items():
        assert archive.full_path(rows[uid].path).read_bytes().endswith(data), uid


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
