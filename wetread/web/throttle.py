"""Counts wrong passwords by who gives them, whether or not there is such an account."""

from __future__ import annotations

import threading
import time

from db.accounts import FORGET_SECONDS, wait_after

_REMEMBERED = 4096


class Throttle:
    """Says how long somebody must wait; remembers a few thousand, the latest.

    Parameters
    ----------
    spare
        Wrong passwords that are free besides those that every account has.
    """

    def __init__(self, spare: int = 0) -> None:
        self._spare = spare
        self._lock = threading.Lock()
        self._failures: dict[str, tuple[int, float]] = {}

    def wait_seconds(self, who: str) -> float:
        """How long no password of theirs is looked at."""
        with self._lock:
            count, at = self._failures.get(who, (0, 0.0))
        return wait_after(count - self._spare, time.monotonic() - at)

    def failed(self, who: str) -> None:
        """Count a wrong password."""
        moment = time.monotonic()
        with self._lock:
            count, at = self._failures.pop(who, (0, moment))
            if moment - at > FORGET_SECONDS:
                count = 0
            self._failures[who] = (count + 1, moment)
            if len(self._failures) > _REMEMBERED:
                del self._failures[next(iter(self._failures))]

    def succeeded(self, who: str) -> None:
        """Forget the wrong ones: a right one was given."""
        with self._lock:
            self._failures.pop(who, None)
