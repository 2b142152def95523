"""How many are there: asked of each, so that one that ended in whatever way is never forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

# Address and port of the peer, as ``socket.accept`` gives them.
Connection = tuple[Any, ...]


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
        self._waiting: dict[Connection, Callable[[], bool]] = {}
        self._lock = threading.Lock()

    def enter(self, connection: Connection) -> bool:
        """Let a connection in if there is room; ``leave`` must follow."""
        address = connection[0]
        with self._lock:
            self._waiting = {key: still for key, still in self._waiting.items() if still()}
            from_there = sum(1 for key in self._waiting if key[0] == address)
            if len(self._waiting) >= self._limit or from_there >= self._per_address:
                return False
            self._waiting[connection] = _until_it_leaves
            return True

    def follow(self, connection: Connection, still_waiting: Callable[[], bool]) -> None:
        """Ask this, from now on, whether a connection is no association yet."""
        with self._lock:
            self._waiting[connection] = still_waiting

    def leave(self, connection: Connection) -> None:
        """Note that a connection is closed, unless it is followed."""
        with self._lock:
            if self._waiting.get(connection) is _until_it_leaves:
                del self._waiting[connection]


def _until_it_leaves() -> bool:
    return True
