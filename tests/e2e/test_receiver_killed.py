"""kill -9 of receivers in a loop: whatever was answered with Success has its row and its bytes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from db import studies
from db.archive import Archive
from db.engine import Database
from tests.console import Console
from tests.receivable import STUDY
from tools.node import Node
from wetread.config import load

_KILLS = 6


@pytest.mark.timeout(180)
@pytest.mark.parametrize("receivers", [1, 2])
def test_nothing_acknowledged_is_lost(
    tmp_path: Path, receivers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WETREAD_NODE__RECEIVERS", str(receivers))
    monkeypatch.setenv("WETREAD_WORKER__PROCESSES", "0")
    node, stop = Node(tmp_path / "node"), threading.Event()
    consoles = [Console(node.port, number, stop) for number in range(1, 5)]
    with node:
        assert len(node.role_pids("receive")) == receivers
        for each in consoles:
            each.start()
        for turn in range(_KILLS):
            time.sleep(0.7 + 0.13 * turn)
            for pid in node.role_pids("receive")[:1]:
                os.kill(pid, signal.SIGKILL)
        time.sleep(2)
        stop.set()
        for each in consoles:
            each.join()
        settings = load(node.config)
    acknowledged = {uid: data for each in consoles for uid, data in each.acknowledged.items()}
    assert len(acknowledged) > 50
    database, archive = Database(settings.database.url), Archive(settings.node.data_dir)
    with database.read() as connection:
        rows = {each.sop_instance_uid: each for each in studies.instances(connection, STUDY)}
    database.close()
    for uid, row in rows.items():
        assert archive.full_path(row.path).stat().st_size == row.size, uid
    for uid, data in acknowledged.items():
        assert archive.full_path(rows[uid].path).read_bytes().endswith(data), uid
