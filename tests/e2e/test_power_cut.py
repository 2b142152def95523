"""The power fails while instances come: whatever was answered with Success is there afterwards.

And while a whole node is at work: it is read, too, and each result reaches the PACS once.

The data folder lies on a file system of its own, in a file. A shutdown that does not flush its log
(the call that file system tests use, xfs_io's ``shutdown -f`` without ``-f``) loses everything that
was not brought to the disk; mounting it again replays its journal, as after a power cut.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.chaos.__main__ import run
from bench.chaos.faults import POWER_CUT
from db import studies
from db.archive import Archive
from db.engine import Database
from tests.console import Console
from tests.disk import Disk
from tests.receivable import STUDY
from tools.orthanc import Orthanc
from tools.ports import free_port
from wetread.config import load

_CUTS = 3


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


@pytest.mark.slow
@pytest.mark.timeout(300)  # a busy machine starts a node in half a minute
@pytest.mark.parametrize("disk", ["ext4"], indirect=True)
def test_a_whole_node_loses_nothing_and_doubles_nothing(disk: Disk, tmp_path: Path) -> None:
    if not Orthanc.installed():
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    outcome = run(tmp_path, "sqlite", number=6, seconds=10, seed=5, power_of=disk)
    assert outcome.acknowledged >= 6
    assert set(outcome.faults) == {POWER_CUT}
    assert outcome.faults[POWER_CUT] >= 3
    assert {what: whom for what, whom in outcome.verdict.losses.items() if whom} == {}
