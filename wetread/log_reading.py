"""Reads what roles wrote to the log file, newest file first, and goes on with what comes."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from audit.file import full_files

LEVELS = ("debug", "info", "warning", "error", "critical")
_LOOK_SECONDS = 0.25

Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which lines are wanted; what is None is not asked for.

    Attributes
    ----------
    level
        At least so grave; one of ``LEVELS``.
    event
        How the event's name begins.
    job_id, study_uid, role
        What the line is about, and who wrote it.
    since
        Not older, seconds since 1970.
    """

    level: str = "debug"
    event: str | None = None
    job_id: int | None = None
    study_uid: str | None = None
    role: str | None = None
    since: float | None = None

    def matches(self, line: Line) -> bool:
        """Whether a line is wanted, its age aside."""
        level = line.get("level")
        grave = level not in LEVELS or LEVELS.index(level) >= LEVELS.index(self.level)
        fields = {"job_id": self.job_id, "study_uid": self.study_uid, "role": self.role}
        return (
            grave
            and str(line.get("event", "")).startswith(self.event or "")
            and all(line.get(name) == asked for name, asked in fields.items() if asked is not None)
        )

    def too_old(self, line: Line) -> bool:
        """Whether a line is older than what is wanted."""
        return self.since is not None and _moment(line) < self.since


def last(file: Path, wanted: Wanted, count: int) -> list[Line]:
    """The last lines that are wanted, oldest first, out of this file and the full ones beside it.

    Raises
    ------
    OSError
        The file is there and cannot be read.
    """
    found = deque[Line]()
    for line in _backwards(file):
        if wanted.too_old(line):
            break
        if wanted.matches(line):
            found.appendleft(line)
            if len(found) == count:
                break
    return list(found)


def follow(file: Path, wanted: Wanted, stop: threading.Event) -> Iterator[Line]:
    """Lines that are wanted, as they are written from now on, until ``stop`` is set.

    A file that is full is read to its end before the next one.

    Raises
    ------
    OSError
        The file is there and cannot be read.
    """
    opened = _open(file)
    if opened is not None:
        opened.seek(0, os.SEEK_END)
    return _coming(file, opened, wanted, stop)  # from here on, not from the first that is taken


def _coming(
    file: Path, opened: BinaryIO | None, wanted: Wanted, stop: threading.Event
) -> Iterator[Line]:
    rest = b""
    try:
        while not stop.is_set():
            # Looked at before it is read: what is written until it is renamed is not missed then.
            renamed = opened is not None and _renamed(file, opened)
            content = rest + (opened.read() if opened is not None else b"")
            *lines, rest = content.split(b"\n")
            yield from (line for each in lines if (line := _parsed(each)) and wanted.matches(line))
            if renamed or opened is None:
                if opened is not None:
                    opened.close()
                opened = _open(file)
            if not lines:
                stop.wait(_LOOK_SECONDS)
    finally:
        if opened is not None:
            opened.close()


def _backwards(file: Path) -> Iterator[Line]:
    for each in [file, *reversed(full_files(file))]:
        try:
            content = each.read_bytes()
        except FileNotFoundError:  # none was written yet, or it was old and is removed
            continue
        yield from (line for raw in reversed(content.split(b"\n")) if (line := _parsed(raw)))


def _open(file: Path) -> BinaryIO | None:
    try:
        return file.open("rb")
    except FileNotFoundError:
        return None


def _renamed(file: Path, opened: BinaryIO) -> bool:
    try:
        return not os.path.samestat(file.stat(), os.fstat(opened.fileno()))
    except FileNotFoundError:
        return True


def _parsed(raw: bytes) -> Line | None:
    """A line as it was written; None for what somebody else wrote there."""
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _moment(line: Line) -> float:
    try:
        return datetime.fromisoformat(str(line.get("timestamp"))).timestamp()
    except ValueError:
        return 0.0
