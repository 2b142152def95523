"""The audit file: whole lines, private, rotated, never deleted, shared by processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.file import FileSink
from audit.spool import Spool

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "audit.xml"


@pytest.fixture
def sink(path: Path) -> Iterator[FileSink]:
    made = FileSink(path, 100)
    yield made
    made.close()


def test_one_message_per_line_for_the_owner_alone(sink: FileSink, path: Path) -> None:
    previous = os.umask(0)  # whatever the umask is
    try:
        sink.write("<a/>", AT)
        sink.write("<b>\u00fc</b>", AT)
        FileSink(path.with_name("other.xml"), 100).close()
    finally:
        os.umask(previous)
    assert path.read_text("utf-8") == "<a/>\n<b>\u00fc</b>\n"
    for each in path.parent.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    path = tmp_path / "audit" / "audit.xml"
    sink = FileSink(path, 100)
    for _ in range(4):
        sink.write("x" * 60, AT)
    sink.close()
    spool = Spool(tmp_path / "audit" / "spool", 5, 60.0)
    spool.put(b"12345")
    spool.put(b"lost")
    made = list(tmp_path.rglob("*"))
    assert len(made) == 1 + 2 + 3 + 1 + 2
    assert {each.stat().st_uid for each in made} == {12345}


def test_a_full_file_gets_the_next_number_and_stays(sink: FileSink, path: Path) -> None:
    for number in range(10):
        sink.write(f"<message number='{number}'>{'x' * 20}</message>", AT)
    kept = sorted(path.parent.glob("audit.xml.0*"))
    assert [each.name for each in kept] == [
        f"audit.xml.{number:06d}" for number in range(1, len(kept) + 1)
    ]
    assert all(each.stat().st_size <= 100 for each in [*kept, path])
    lines = "".join(each.read_text() for each in [*kept, path]).splitlines()
    assert [line.split("'")[1] for line in lines] == [str(number) for number in range(10)]
    # What the site moved away does not come back as a number used twice.
    kept[0].unlink()
    for _ in range(4):
        sink.write("y" * 60, AT)
    assert not kept[0].exists()


def test_a_message_larger_than_a_file_is_written_all_the_same(sink: FileSink, path: Path) -> None:
    sink.write("x" * 500, AT)
    sink.write("y", AT)
    assert path.read_text() == "y\n"
    assert path.with_name("audit.xml.000001").read_text() == "x" * 500 + "\n"


def test_a_file_that_was_moved_away_is_written_anew(sink: FileSink, path: Path) -> None:
    sink.write("one", AT)
    path.rename(path.with_name("taken"))
    sink.write("two", AT)
    assert path.read_text() == "two\n"
    assert path.with_name("taken").read_text() == "one\n"


def test_a_file_is_gone_on_with_after_a_restart(path: Path) -> None:
    for text in ("one", "two"):
        sink = FileSink(path, 100)
        sink.write(text, AT)
        sink.sync()
        sink.close()
    assert path.read_text() == "one\ntwo\n"


def test_a_disk_that_is_full_leaves_no_half_line(
    sink: FileSink, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink.write("one", AT)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, content: write(file, content[:3]))
    with pytest.raises(OSError, match="No space left"):
        sink.write("lost", AT)
    monkeypatch.undo()
    sink.write("two", AT)
    assert path.read_text() == "one\ntwo\n"


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from audit.file import FileSink
sink = FileSink(Path(sys.argv[1]), 2000)
for number in range(300):
    sink.write(f"<m who='{sys.argv[2]}' number='{number}'>" + "x" * 60 + "</m>", datetime.now(UTC))
sink.close()
"""


def test_processes_share_a_file_and_its_rotation(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], cwd=Path.cwd())
        for name in "ab"
    ]
    assert [each.wait(30) for each in writers] == [0, 0]
    files = [*sorted(path.parent.glob("audit.xml.0*")), path]
    assert all(each.stat().st_size <= 2000 for each in files)
    lines = "".join(each.read_text() for each in files).splitlines()
    for name in "ab":
        numbers = [line.split("'")[3] for line in lines if f"who='{name}'" in line]
        assert numbers == [str(number) for number in range(300)]
    assert all(line.endswith("</m>") for line in lines)
