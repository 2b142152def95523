"""Waiting for SQLite's write lock, one after the other.

SQLite's own waiters sleep longer the longer they have waited, so whoever has just written is the
first to write again, and on a slow disk one of eight writers may wait for seconds. Here one alone
looks for the lock, and the others queue behind it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

_LOOK_SECONDS = 0.0005  # between the looks of the one whose turn is next


class Connection(sqlite3.Connection):
    """A connection whose writers take turns; arguments are those of ``sqlite3.connect``."""

    def __init__(self, database: str, timeout: float, *given: Any, **named: Any) -> None:
        super().__init__(database, timeout, *given, **named)
        self._folder = Path(database).absolute().parent
        self._timeout = timeout

    def begin_writing(self) -> None:
        """Begin a transaction that has the write lock.

        Raises
        ------
        sqlite3.OperationalError
            Another has had it for too long, or the folder cannot be opened.
        """
        until = time.monotonic() + self._timeout
        try:
            # The folder, as closing the database's file would release SQLite's locks.
            descriptor = os.open(self._folder, os.O_RDONLY)
        except OSError as error:
            raise sqlite3.OperationalError(f"{error.strerror}: {self._folder}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._begin_as_next(until)
        finally:
            os.close(descriptor)

    def _begin_as_next(self, until: float) -> None:
        self.execute("PRAGMA busy_timeout=0")
        try:
            while True:
                try:
                    self.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                        raise
                time.sleep(_LOOK_SECONDS)
        finally:
            self.execute(f"PRAGMA busy_timeout={round(self._timeout * 1000)}")
