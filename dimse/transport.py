"""The socket of an association, which others than pynetdicom may read from in between.

It leans on how pynetdicom 3.0 uses its socket; ``tests/network/test_upper_layer.py`` fails where
that changes.
"""

from __future__ import annotations

import select
import ssl
import time

from pynetdicom.transport import AssociationSocket

CONNECTION_CLOSED = "Evt17"  # PS3.8 table 9-10
_DISCARDED_BYTES = 256 * 1024
_LONGEST_PDU = 4 * 1024 * 1024  # bytes that a PDU read by pynetdicom may have


class PushBackSocket(AssociationSocket):
    """A socket that can be given bytes back, and whose reads come to an end."""

    _pushed = b""

    def push_back(self, data: bytes) -> None:
        """Let these bytes be read before any from the peer."""
        self._pushed = data + self._pushed

    @property
    def holds(self) -> bool:
        """Whether bytes were given back that nobody has read yet."""
        return bool(self._pushed)

    @property
    def ready(self) -> bool:
        """Whether there is something to read; select() would fail for descriptors over 1023."""
        return self.is_ready_within(0)

    def is_ready_within(self, seconds: float) -> bool:
        """Whether there is something to read by then."""
        if self._pushed:
            return True
        if self.socket is None or not self._is_connected:
            return False
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        try:
            poll = select.poll()
            poll.register(self.socket, select.POLLIN)
            return bool(poll.poll(1000 * seconds))
        except (OSError, ValueError):
            self.event_queue.put(CONNECTION_CLOSED)
            return False

    def discard_waiting(self) -> bool:
        """Read and forget some of what has come, without waiting; whether there was anything."""
        if self.socket is None or not self.is_ready_within(0):
            return False
        if self._pushed:
            self._pushed = b""
            return True
        try:
            self.socket.setblocking(False)
            return bool(self.socket.recv(_DISCARDED_BYTES))
        except OSError:  # nothing whole of TLS, or the connection is gone
            return False

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes, or fewer if the peer closes the connection.

        Raises
        ------
        OSError
            They are too many, or take too long to come: a peer must not hold this thread for ever.
        """
        if nr_bytes > _LONGEST_PDU:
            raise OSError(f"a PDU of {nr_bytes} bytes")
        data = bytearray(self._pushed[:nr_bytes])
        self._pushed = self._pushed[nr_bytes:]
        connection = self.socket
        if connection is None:
            return data
        timeout = self.assoc.network_timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while len(data) < nr_bytes:
                if deadline is not None:
                    connection.settimeout(max(0.001, deadline - time.monotonic()))
                piece = connection.recv(nr_bytes - len(data))
                if not piece:
                    break
                data += piece
        finally:
            connection.settimeout(timeout)
        return data
