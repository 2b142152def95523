"""The archive: whole files under their names, or nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.archive import Archive
from db.errors import InvalidUID
from db.retry import RetryPolicy


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "data")


def files(archive: Archive) -> list[str]:
    return sorted(
        str(each.relative_to(archive.root)) for each in archive.root.rglob("*") if each.is_file()
    )


def test_write_gives_the_bytes_back(archive: Archive) -> None:
    path = archive.instance_path("1.2.3", "1.2.3.4")
    assert archive.write(path, [b"abc", memoryview(b"def")]) == 6
    assert archive.full_path(path).read_bytes() == b"abcdef"
    assert files(archive) == [path]


def test_each_attempt_of_a_job_has_its_own_folder(archive: Archive) -> None:
    assert archive.result_path(7, 1, "2.25.1") != archive.result_path(7, 2, "2.25.1")


@pytest.mark.parametrize("uid", ["", "..", "1..2", "1.2/3", "1.2\0", "a", "1" * 65, ".1", "1."])
def test_what_is_no_uid_becomes_no_path(archive: Archive, uid: str) -> None:
    with pytest.raises(InvalidUID, match="Study Instance UID"):
        archive.instance_path(uid, "1.2")
    with pytest.raises(InvalidUID, match="SOP Instance UID"):
        archive.instance_path("1.2", uid)
    with pytest.raises(InvalidUID, match="SOP Instance UID"):
        archive.result_path(1, 1, uid)


def test_staged_bytes_that_are_not_published_are_gone(archive: Archive) -> None:
    with archive.stage([b"abc"]) as staged:
        assert staged.size == 3
        assert len(files(archive)) == 1
    assert files(archive) == []


def test_a_source_that_breaks_off_leaves_nothing(archive: Archive) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"abc"
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        archive.write("archive/x.dcm", chunks())
    assert files(archive) == []


def test_a_name_that_cannot_be_given_leaves_nothing(archive: Archive) -> None:
    (archive.root / "archive").write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        archive.write("archive/1/x.dcm", [b"abc"])
    assert files(archive) == ["archive"]


def test_sweep_takes_only_what_is_old_and_half_written(archive: Archive) -> None:
    archive.write("archive/x.dcm", [b"whole"])
    spool = archive.root / "spool"
    for name in ("old.part", "new.part"):
        (spool / name).write_bytes(b"half")
    two_hours_ago = time.time() - 7200
    os.utime(spool / "old.part", (two_hours_ago, two_hours_ago))
    assert archive.sweep() == 1
    assert files(archive) == ["archive/x.dcm", "spool/new.part"]


def test_many_writers_make_one_folder(archive: Archive) -> None:
    failed: list[BaseException] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        try:
            archive.write(f"archive/aa/bb/cc/{number}.dcm", [b"x"])
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(files(archive)) == 8


@given(
    st.integers(1, 10_000),
    st.floats(0, 1000, allow_nan=False),
    st.floats(0, 1e6, allow_nan=False),
)
def test_waits_grow_and_stay_within_bounds(made: int, first: float, longest: float) -> None:
    policy = RetryPolicy(attempts=5, first_seconds=first, longest_seconds=longest)
    wait = policy.wait(made)
    assert 0 <= wait <= longest
    if first <= longest:
        assert wait >= first / 2
