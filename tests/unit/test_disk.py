"""The disk guard: when it says no, how often it looks, and what it logs."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from scp.disk import DiskGuard, free_bytes

MARK = 1000


class Disk:
    """A disk of any size, a clock that is set, and a count of looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 10 * MARK
        self.looks = 0
        self.seconds = 0.0
        self.away = False
        monkeypatch.setattr("scp.disk.os.statvfs", self._statvfs)

    def _statvfs(self, _folder: Path) -> SimpleNamespace:
        self.looks += 1
        if self.away:
            raise FileNotFoundError
        return SimpleNamespace(f_bavail=self.free, f_frsize=1)

    def guard(self, mark: int = MARK) -> DiskGuard:
        return DiskGuard(Path("data"), mark, clock=lambda: self.seconds)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_below_the_mark_there_is_no_room(disk: Disk) -> None:
    guard = disk.guard()
    assert guard()
    disk.free, disk.seconds = MARK, 1.0
    assert guard()
    disk.free, disk.seconds = MARK - 1, 2.0
    assert not guard()


def test_it_says_yes_again_only_well_above_the_mark_and_logs_each_change_once(disk: Disk) -> None:
    guard = disk.guard(1_000_000_000)
    answers = []
    with capture_logs() as logs:
        for megabytes in (2000, 999, 1001, 998, 1099, 1100, 1001, 999):
            disk.free = megabytes * 1_000_000
            answers.append(guard())
            disk.seconds += 1.0
    assert answers == [True, False, False, False, False, True, True, False]
    assert [(each["event"], each["free_megabytes"]) for each in logs] == [
        ("disk.low", 999),
        ("disk.recovered", 1100),
        ("disk.low", 999),
    ]
    assert {each["mark_megabytes"] for each in logs} == {1000}


def test_it_looks_once_a_second_however_often_it_is_asked(disk: Disk) -> None:
    guard = disk.guard()
    threads = [threading.Thread(target=lambda: [guard() for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert disk.looks == 1
    disk.seconds = 0.9
    guard()
    assert disk.looks == 1
    disk.seconds = 1.0
    guard()
    assert disk.looks == 2


def test_a_mark_of_nothing_turns_it_off(disk: Disk) -> None:
    disk.free = 0
    assert disk.guard(0)()
    assert disk.looks == 0


def test_a_folder_that_is_away_changes_no_answer(disk: Disk) -> None:
    guard = disk.guard()
    disk.away = True
    assert guard()
    disk.away, disk.free, disk.seconds = False, 0, 1.0
    assert not guard()
    disk.away, disk.seconds = True, 2.0
    assert not guard()


def test_the_free_space_of_a_real_disk(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    assert 0 <= free_bytes(tmp_path) <= disk.f_blocks * disk.f_frsize
    with pytest.raises(OSError, match="nowhere"):
        free_bytes(tmp_path / "nowhere")
