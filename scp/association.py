"""What is said on an established association: C-STORE and C-ECHO, as fast as bytes come.

Everything else is given back, byte for byte, to whoever speaks the rest of the standard.
"""

from __future__ import annotations

from collections.abc import Mapping

from dimse import command
from dimse.pdata import (
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
_LONGEST_COMMAND = 64 * 1024


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
        return self._reception is not None or bool(self._command) or not self._reader.between_pdus

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
        if not self._command:
            self._context_id = fragment.context_id
        self._check_context(fragment)
        self._command += fragment.data
        if len(self._command) > _LONGEST_COMMAND:
            raise MalformedPDU(f"a command set of over {_LONGEST_COMMAND} bytes")
        if not fragment.last:
            return None
        encoded = bytes(self._command)
        self._command.clear()
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
