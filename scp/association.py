"""What is said on an established association: C-STORE and C-ECHO, as fast as bytes come.

Everything else is given back, byte for byte, to whoever speaks the rest of the standard.
"""

from __future__ import annotations

from collections.abc import Mapping

from dimse import command
from dimse.pdata import (
    HEADER_BYTES,
    PDU_TYPES,
    Fragment,
    MalformedPDU,
    OtherPDU,
    PDataReader,
    command_pdus,
)
from scp.line import Interrupted, Line
from scp.store import Context, Reception, Session, Store

_BUFFER_BYTES = 256 * 1024
_SMALLEST_READ = 32 * 1024  # with less room left in the buffer, it is emptied first
_LONGEST_COMMAND = 64 * 1024  # with the headers of its PDVs: empty ones must come to an end, too
_MOST_EMPTY = 1000  # PDVs without data in one data set
# An object that is too large is answered after its end, if that comes before so many times what the
# peer may send, or so many bytes.
_PATIENCE = 10
_PATIENCE_BYTES = 64 * 1024 * 1024


class Exchange:
    """Serves one association until something comes that is neither C-STORE nor C-ECHO.

    Parameters
    ----------
    line
        The peer.
    contexts
        Accepted presentation contexts by their ID.
    store
        Where data sets go.
    session
        Who sends.
    maximum_length
        Longest PDU that we announced.
    peer_maximum_length
        Longest PDU that the peer announced; 0 for any length.
    """

    def __init__(
        self,
        line: Line,
        contexts: Mapping[int, Context],
        store: Store,
        session: Session,
        *,
        maximum_length: int,
        peer_maximum_length: int,
    ) -> None:
        self._line = line
        self._contexts = contexts
        self._store = store
        self._session = session
        self._peer_maximum = peer_maximum_length
        self._reader = PDataReader(maximum_length)
        self._command = bytearray()
        self._taken = 0  # bytes of the command set under way, with the headers of its PDVs
        self._data_bytes = 0  # of the data set under way
        self._empty = 0  # PDVs without data in the data set under way
        self._context_id = 0  # of the message under way
        self._request: command.StoreRequest | None = None
        self._reception: Reception | None = None
        self._pieces: list[memoryview] = []  # of the data set, still in the buffer

    def serve(self) -> bytes:
        """Serve, and return what another must read before it reads from the socket.

        Raises
        ------
        PeerGone, PeerTooSlow
            See ``Line``.
        Interrupted
            In the middle of a message, which is lost.
        MalformedPDU, MalformedCommand
            The peer breaks the protocol.
        """
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        filled = 0
        try:
            while True:
                self._line.expect(more=self._midway)
                count = self._line.read(buffer[filled:])
                given_back = self._take(buffer[filled : filled + count])
                if given_back is not None:
                    return given_back
                filled += count
                if not self._pieces or filled > _BUFFER_BYTES - _SMALLEST_READ:
                    self._write_out()
                    filled = 0
        except Interrupted:
            if self._midway:
                raise
            return b""
        finally:
            self._pieces.clear()
            if self._reception is not None:
                self._reception.discard()

    @property
    def _midway(self) -> bool:
        return self._reception is not None or bool(self._taken) or not self._reader.between_pdus

    def _take(self, received: memoryview) -> bytes | None:
        for event in self._reader.feed(received):
            if isinstance(event, OtherPDU):
                if event.kind not in PDU_TYPES:
                    raise MalformedPDU(f"no PDU has type {event.kind:#04x}")
                return self._reader.rest()
            if event.command:
                foreign = self._on_command(event)
                if foreign is not None:
                    return foreign + self._reader.rest()
            else:
                self._on_data(event)
        return None

    def _on_command(self, fragment: Fragment) -> bytes | None:
        """Collect a command set and act on it; the PDUs of one that is not for us."""
        if self._reception is not None:
            raise MalformedPDU("a command within a data set")
        if not self._taken:
            self._context_id = fragment.context_id
        self._check_context(fragment)
        self._command += fragment.data
        self._taken += HEADER_BYTES + len(fragment.data)
        if self._taken > _LONGEST_COMMAND:
            raise MalformedPDU(f"a command set of over {_LONGEST_COMMAND} bytes")
        if not fragment.last:
            return None
        encoded = bytes(self._command)
        self._command.clear()
        self._taken = 0
        elements = command.parse(encoded)
        field = command.command_field(elements)
        if field == command.C_STORE_RQ:
            self._begin(command.store_request(elements))
        elif field == command.C_ECHO_RQ:
            self._send(command.echo_response(elements))
        else:
            return command_pdus(self._context_id, encoded)
        return None

    def _on_data(self, fragment: Fragment) -> None:
        if self._reception is None:
            raise MalformedPDU("a data set without a command")
        self._check_context(fragment)
        self._check_endless(fragment)
        self._pieces.append(fragment.data)
        if fragment.last:
            self._write_out()
            self._finish()

    def _begin(self, request: command.StoreRequest) -> None:
        context = self._contexts[self._context_id]
        self._request = request
        self._reception = self._store.begin(request, context, self._session)
        if not request.has_data_set:
            self._finish()

    def _finish(self) -> None:
        assert self._reception is not None
        assert self._request is not None
        answer = self._reception.finish()
        self._data_bytes = self._empty = 0
        self._send(command.store_response(self._request, answer.status, answer.comment))
        self._reception.discard()
        self._reception = None

    def _write_out(self) -> None:
        if self._pieces and self._reception is not None:
            self._reception.write(self._pieces)
        self._pieces.clear()

    def _send(self, response: bytes) -> None:
        self._line.send(command_pdus(self._context_id, response, self._peer_maximum))

    def _check_context(self, fragment: Fragment) -> None:
        if fragment.context_id not in self._contexts or fragment.context_id != self._context_id:
            raise MalformedPDU(f"presentation context {fragment.context_id} has no place there")

    def _check_endless(self, fragment: Fragment) -> None:
        self._data_bytes += len(fragment.data)
        self._empty += not fragment.data
        if self._empty > _MOST_EMPTY:
            raise MalformedPDU(f"over {_MOST_EMPTY} empty fragments in a data set")
        allowed = self._session.admitted.object_bytes
        if allowed is None:
            return
        longest = max(_PATIENCE * allowed, _PATIENCE_BYTES)
        if self._data_bytes > longest:
            raise MalformedPDU(f"over {longest} bytes of a data set; {allowed} are allowed")
