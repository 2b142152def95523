"""The log file: whole lines of several processes, rotated, read back, and no role's trouble."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.commandline import CommandLine
from wetread import log, log_reading
from wetread.cli import main
from wetread.log_reading import Wanted
from wetread.sections import Log


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A log file; what the test configures is undone."""
    yield tmp_path / "wetread-data" / "log" / "wetread.log"
    structlog.reset_defaults()


def write(file: Path, *lines: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as opened:
        opened.writelines(json.dumps(line) + "\n" for line in lines)


def line(number: int, **fields: Any) -> dict[str, Any]:
    stamp = f"2026-03-01T03:00:{number:02}.000000Z"
    return {"event": "job.done", "level": "info", "role": "work", "timestamp": stamp} | fields


def test_a_role_writes_to_the_file_what_it_says(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure(Log(), "work", file=file)
    told = structlog.get_logger("test")
    told.info("job.done", job_id=7, study_uid="1.2")
    told.debug("not.asked.for")
    (written,) = map(json.loads, file.read_text("utf-8").splitlines())
    assert written["pid"] == os.getpid()
    assert {"event", "level", "role", "timestamp", "host", "job_id", "study_uid"} < set(written)
    assert "job.done" in capsys.readouterr().err
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_stops_nobody(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wetread-data").write_text("a file where the folder should be")
    log.configure(Log(), "work", file=file)
    structlog.get_logger("test").info("job.done")
    said = capsys.readouterr().err
    assert "log.file_unusable" in said
    assert "job.done" in said


_WRITER = """
import sys
from pathlib import Path
import structlog
from wetread import log
from wetread.sections import Log
log.FULL_BYTES, log.KEPT = 4000, int(sys.argv[3])
log.configure(Log(), sys.argv[2], file=Path(sys.argv[1]))
for number in range(200):
    structlog.get_logger().info("x", number=number)
"""


def begin(file: Path, role: str, keep: int) -> subprocess.Popen[bytes]:
    """Start a process that writes 200 lines."""
    environment = os.environ | {"PYTHONPATH": str(Path(main.__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(file), role, str(keep)],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_two_processes_share_a_file_and_old_ones_go(file: Path) -> None:
    writers = [begin(file, role, 1000) for role in ("one", "two")]
    assert [each.wait(30) for each in writers] == [0, 0]
    for role in ("one", "two"):
        found = log_reading.last(file, Wanted(role=role), 1000)
        assert [each["number"] for each in found] == list(range(200))
    assert begin(file, "three", 3).wait(30) == 0
    logs = [each for each in file.parent.iterdir() if each.suffix != ".lock"]
    assert len(logs) == 4
    assert all(each.stat().st_size <= 4000 for each in logs)
    assert log_reading.last(file, Wanted(), 1)[0]["number"] == 199


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ([], [1, 2, 3, 4, 5, 6]),
        (["--lines", "2"], [5, 6]),
        (["--lines", "0"], []),
        (["--level", "warning"], [4, 5]),
        (["--event", "delivery."], [5]),
        (["--job", "7"], [2]),
        (["--study", "1.2"], [2, 3]),
        (["--role", "deliver"], [5]),
        (["--since", "2026-03-01T03:00:04Z"], [4, 5, 6]),
    ],
)
def test_lines_are_found_across_rotated_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    file: Path, options: list[str], numbers: list[int],
) -> None:  # fmt: skip
    wetread = CommandLine(monkeypatch, capsys, tmp_path)
    assert wetread("logs", "--json").out == ""
    write(file.with_name("wetread.log.000009"), line(1), line(2, job_id=7, study_uid="1.2"))
    write(file.with_name("wetread.log.000010"), line(3, study_uid="1.2"))
    write(file, line(4, level="error"))
    with file.open("a") as opened:
        opened.write("no JSON\n[]\n")
    write(file, line(5, level="warning", role="deliver", event="delivery.failed"), line(6))
    done = wetread("logs", "--json", *options)
    found = [int(json.loads(each)["timestamp"][17:19]) for each in done.out.splitlines()]
    assert (done.code, found) == (0, numbers)
    plain = wetread("logs", *options).out.splitlines()
    assert [int(each[17:19]) for each in plain] == numbers


def test_wrong_levels_and_no_file_are_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wetread = CommandLine(monkeypatch, capsys, tmp_path)
    assert wetread("logs", "--level", "loud").code == 2
    (tmp_path / "wetread.toml").write_text('[log]\nfile = ""\n')
    done = wetread("logs")
    assert (done.code, done.err) == (1, "wetread: no log file is kept: [log] file is empty\n")


def test_what_comes_is_followed_across_a_rotation(file: Path) -> None:
    write(file, line(1))
    stop = threading.Event()
    coming = log_reading.follow(file, Wanted(role="work"), stop)
    write(file, line(2), line(3, role="deliver"))
    assert next(coming)["timestamp"][17:19] == "02"
    write(file, line(4))
    file.rename(file.with_name("wetread.log.000001"))
    write(file, line(5))
    assert [next(coming)["timestamp"][17:19] for _ in range(2)] == ["04", "05"]
    with file.open("a") as opened:  # half a line is not a line yet
        opened.write('{"event": "x", "role": "work", ')
        opened.flush()
        finisher = threading.Timer(0.4, lambda: write_end(opened.name))
        finisher.start()
        assert next(coming)["event"] == "x"
        finisher.join()
    stop.set()
    assert list(coming) == []


def write_end(name: str) -> None:
    with Path(name).open("a") as opened:
        opened.write('"level": "info"}\n')


def test_a_file_that_is_not_there_yet_is_waited_for(file: Path) -> None:
    stop = threading.Event()
    coming = log_reading.follow(file, Wanted(), stop)
    later = threading.Timer(0.3, write, (file, line(1)))
    later.start()
    assert next(coming)["event"] == "job.done"
    later.join()
    stop.set()
    assert list(coming) == []
