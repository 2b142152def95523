"""How many are there: asked of each, so that one that ended in whatever way is never forgotten."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable


class Presence:
    """Those who are inside, up to a limit; safe to share between threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside: list[Callable[[], bool]] = []
        self._lock = threading.Lock()

    def enter(self, present: Callable[[], bool]) -> bool:
        """Go in if there is room.

        Parameters
        ----------
        present
            Tells, from then on, whether it is still inside.
        """
        with self._lock:
            self._inside = [each for each in self._inside if each()]
            if len(self._inside) >= self._limit:
                return False
            self._inside.append(present)
            return True


class Lobby:
    """Connections that are no association yet: so many in all, and so many from one address.

    They are free for anyone to make, so they must not take the places of associations, nor one
    address those of all others.
    """

    def __init__(self, limit: int, per_address: int) -> None:
        self._limit = limit
        self._per_address = per_address
        self._opening: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, address: str, waiting: Iterable[str]) -> bool:
        """Let a connection in if there is room; ``leave`` must follow.

        Parameters
        ----------
        address
            Where it comes from.
        waiting
            Addresses of those who have left and are still no association.
        """
        with self._lock:
            there = self._opening + Counter(waiting)
            if there.total() >= self._limit or there[address] >= self._per_address:
                return False
            self._opening[address] += 1
            return True

    def leave(self, address: str) -> None:
        """Note that a connection is closed, or waits as an association from now on."""
        with self._lock:
            self._opening[address] -= 1
            if self._opening[address] <= 0:
                del self._opening[address]
