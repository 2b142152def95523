"""Says no before the disk is full: a database that cannot write costs more than an image."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

MEGABYTE = 1_000_000
_CHECK_SECONDS = 1.0  # between two looks at the disk
_RECOVERED = 1.1  # of the mark must be free before data sets are taken again

_log = structlog.get_logger(__name__)


def free_bytes(folder: Path) -> int:
    """Bytes that this process may still write to the disk of a folder.

    Raises
    ------
    OSError
        There is no such folder.
    """
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


class DiskGuard:
    """Says whether there is room for another data set; safe to share between threads.

    It looks at most once a second. Once the free space falls below the mark, it says no until a
    tenth more than the mark is free, so that it does not say yes and no by turns.

    Parameters
    ----------
    folder
        The data folder.
    mark_bytes
        Below this much free space nothing is taken; 0 takes everything.
    clock
        Seconds from any start.
    """

    def __init__(
        self, folder: Path, mark_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._mark = mark_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._low = False
        self._look_at = -float("inf")

    def __call__(self) -> bool:
        """Whether there is room."""
        if self._mark and self._clock() >= self._look_at:
            with self._lock:
                if self._clock() >= self._look_at:  # nobody has looked meanwhile
                    self._look_at = self._clock() + _CHECK_SECONDS
                    self._look()
        return not self._low

    def _look(self) -> None:
        try:
            free = free_bytes(self._folder)
        except OSError:
            return  # the folder is away: whoever writes to it finds out, and says so
        low = free < (self._mark * _RECOVERED if self._low else self._mark)
        if low == self._low:
            return
        self._low = low
        details = {"free_megabytes": free // MEGABYTE, "mark_megabytes": self._mark // MEGABYTE}
        if low:
            _log.error("disk.low", **details)
        else:
            _log.warning("disk.recovered", **details)
