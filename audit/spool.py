"""A folder of messages that wait for the audit server.

One file per message, written under another name and renamed, so that a process that is killed
leaves a whole message or none. The name begins with the time: names in order are messages in order.
Any number of processes put messages in; whoever holds ``sending`` takes them out.

A spool is bounded. When it is full, **the oldest are kept** and new ones are lost: the trail of a
break-in must not be pushed out by whatever its author does next. What is lost is counted, and told
to the server when it is back.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit.private import make_folder, open_private

_MESSAGE = ".msg"
_TEMPORARY = ".part"
_LOST = "lost"
_MEASURED_SECONDS = 5.0
_STALE_SECONDS = 3600.0


class Spool:
    """The folder.

    Parameters
    ----------
    folder
        Made if it is not there.
    limit_bytes
        What the messages may take together.
    limit_seconds
        No message is kept for longer.
    """

    def __init__(self, folder: Path, limit_bytes: int, limit_seconds: float) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._limit_seconds = limit_seconds
        self._lock = threading.Lock()
        self._count = 0
        self._size = 0
        self._measured_at = -_MEASURED_SECONDS
        make_folder(folder)

    @property
    def folder(self) -> Path:
        """Where the messages lie."""
        return self._folder

    def put(self, content: bytes) -> bool:
        """Keep a message; False, and it is counted as lost, if the spool is full.

        Raises
        ------
        OSError
            The disk is full, or the folder cannot be written.
        """
        with self._lock:
            self._measure()
            if self._size + len(content) > self._limit_bytes:
                self._add_lost(1)
                return False
            self._count += 1
            name = f"{time.time_ns():020d}-{os.getpid():07d}-{self._count:07d}-{len(content)}"
            self._write(name, content)
            self._size += len(content)
        return True

    def waiting(self) -> list[Path]:
        """The messages, oldest first."""
        return sorted(each for each in self._folder.iterdir() if each.suffix == _MESSAGE)

    def forget_old(self) -> int:
        """Remove messages that waited too long, and count them as lost; return how many."""
        too_old = time.time_ns() - int(self._limit_seconds * 1e9)
        gone = 0
        for path in self.waiting():
            if int(path.name.partition("-")[0]) >= too_old:
                break
            path.unlink(missing_ok=True)
            gone += 1
        if gone:
            self.count_lost(gone)
        self._sweep()
        return gone

    def count_lost(self, count: int) -> None:
        """Remember that messages were lost.

        Raises
        ------
        OSError
            Not even that could be written.
        """
        with self._lock:
            self._add_lost(count)

    def lost(self) -> int:
        """How many messages were lost and not told of yet."""
        try:
            return (self._folder / _LOST).stat().st_size
        except FileNotFoundError:
            return 0

    def told(self, count: int) -> None:
        """So many of the lost were told of."""
        with self._lock:
            remaining = self.lost() - count
            if remaining > 0:
                os.truncate(self._folder / _LOST, remaining)
            else:
                (self._folder / _LOST).unlink(missing_ok=True)

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """Whether the caller may send: one process at a time, or the order would be lost.

        The lock goes with the process that holds it, however that ends.
        """
        lock = open_private(self._folder / "lock", 0)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(lock)

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._folder / (name + _TEMPORARY)
        file = open_private(temporary, os.O_EXCL)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.rename(self._folder / (name + _MESSAGE))
            self._sync_names()
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _sync_names(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _measure(self) -> None:
        """Learn now and then what other processes put in and took out."""
        if time.monotonic() - self._measured_at < _MEASURED_SECONDS:
            return
        # A name holds its size, so that a full folder is not asked for every file.
        self._size = sum(int(each.stem.rpartition("-")[2]) for each in self.waiting())
        self._measured_at = time.monotonic()

    def _add_lost(self, count: int) -> None:
        """One byte for each: appending needs no lock between processes."""
        file = open_private(self._folder / _LOST, os.O_APPEND)
        try:
            os.write(file, b"." * count)
        finally:
            os.close(file)

    def _sweep(self) -> None:
        """Remove what a killed process left half written."""
        for path in self._folder.glob(f"*{_TEMPORARY}"):
            try:
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue
