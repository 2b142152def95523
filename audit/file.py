"""Appends messages to a file, one per line, and goes on in a new one when it is full.

Any number of processes may write the same file: each line is written in one piece under a lock.
A line is in the hands of the operating system when ``write`` returns, so it survives the death of
the process; ``sync`` puts it on the disk, and whoever owns the sink calls it once a second. Nothing
is deleted unless ``keep`` says so: how long an audit trail must be kept is the site's to say.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from audit.private import make_folder, open_private


class FileSink:
    """Writes to ``path``; a full file is renamed to ``path`` with the next number behind it.

    Parameters
    ----------
    path
        Where to write; its folder is made.
    limit_bytes
        No file grows beyond it, unless one message alone does.
    keep
        How many full files stay, the newest; None for all.
    """

    def __init__(self, path: Path, limit_bytes: int, keep: int | None = None) -> None:
        self._path = path
        self._limit = limit_bytes
        self._keep = keep
        self._lock = threading.Lock()
        self._unsynced = False
        make_folder(path.parent)
        self._guard = open_private(path.with_name(path.name + ".lock"), 0)
        self._file = open_private(path, os.O_APPEND)

    def write(self, message: str, _at: datetime) -> None:
        """Append one message.

        Raises
        ------
        OSError
            The disk is full, or the file cannot be written.
        """
        line = message.encode("utf-8") + b"\n"
        with self._lock, self._alone():
            self._follow()
            size = os.fstat(self._file).st_size
            if size and size + len(line) > self._limit:
                self._rotate()
                size = 0
            self._append(line, size)
            self._unsynced = True

    def sync(self) -> None:
        """Put what was written on the disk.

        Raises
        ------
        OSError
            The disk does not take it.
        """
        with self._lock:
            if not self._unsynced:
                return
            self._unsynced = False
            file = os.dup(self._file)
        try:
            os.fsync(file)  # without the lock: nobody waits for the disk
        finally:
            os.close(file)

    def close(self) -> None:
        """Put all on the disk and close."""
        try:
            self.sync()
        finally:
            os.close(self._file)
            os.close(self._guard)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process writes or renames meanwhile; the lock dies with its process."""
        fcntl.flock(self._guard, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._guard, fcntl.LOCK_UN)

    def _append(self, line: bytes, size: int) -> None:
        try:
            if os.write(self._file, line) == len(line):
                return
        except OSError:
            os.ftruncate(self._file, size)
            raise
        os.ftruncate(self._file, size)  # half a line would spoil the next one
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def _follow(self) -> None:
        """Open the file anew if another process renamed it, or a person moved it away."""
        try:
            current = self._path.stat()
        except FileNotFoundError:
            self._reopen()
            return
        ours = os.fstat(self._file)
        if (current.st_ino, current.st_dev) != (ours.st_ino, ours.st_dev):
            self._reopen()

    def _rotate(self) -> None:
        os.fsync(self._file)
        full = full_files(self._path)
        number = _number(full[-1]) + 1 if full else 1
        self._path.rename(self._path.with_name(f"{self._path.name}.{number:06d}"))
        self._reopen()
        if self._keep is not None:
            for each in full[: max(0, len(full) + 1 - self._keep)]:
                each.unlink(missing_ok=True)

    def _reopen(self) -> None:
        file = open_private(self._path, os.O_APPEND)
        os.close(self._file)
        self._file = file


def full_files(path: Path) -> list[Path]:
    """The full files beside one that is written, oldest first."""
    beside = path.parent.glob(f"{path.name}.*")
    return sorted((each for each in beside if each.suffix[1:].isdecimal()), key=_number)


def _number(full: Path) -> int:
    return int(full.suffix[1:])
