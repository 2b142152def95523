"""An association's socket, lent by pynetdicom to who sends faster.

pynetdicom negotiates, releases and aborts. In between its upper-layer thread (DUL) stands still
where it would look for bytes, and the borrower has the socket alone. What the borrower read and is
not for it is given back, and pynetdicom reads it first.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from pynetdicom.association import Association

from dimse.transport import PushBackSocket

_PARK_SECONDS = 2.0  # the thread looks every millisecond
_LAST_WORD_SECONDS = 2.0  # an abort or a release must not wait longer for a peer that reads nothing


class NotLent(ConnectionError):
    """The association has ended or is about to."""


class LendingSocket(PushBackSocket):
    """A socket that stands still on demand."""

    def __init__(self, assoc: Association, **given: Any) -> None:
        self._turn = threading.Condition()
        self._wanted = False
        self._parked = False
        super().__init__(assoc, **given)

    @property
    def ready(self) -> bool:
        """Whether pynetdicom's thread finds something to read; it waits here while we have it."""
        with self._turn:
            if self._wanted and not self.holds:
                self._parked = True
                self._turn.notify_all()
                self._turn.wait_for(lambda: not self._parked)
                return False
        return super().ready

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[socket.socket]:
        """Have the socket alone.

        Raises
        ------
        NotLent
            The thread has ended, or never comes to a stand.
        """
        with self._turn:
            self._wanted = True
            parked = self._turn.wait_for(lambda: self._parked, _PARK_SECONDS)
            connection = self.socket
        try:
            if not parked or connection is None:
                raise NotLent("the association has ended")
            yield connection
        finally:
            with contextlib.suppress(OSError):
                if connection is not None:
                    connection.settimeout(_LAST_WORD_SECONDS)
            with self._turn:
                # Not left to the thread when it wakes: who borrows again before that must wait
                # until it has read what it was given back.
                self._wanted = self._parked = False
                self._turn.notify_all()
