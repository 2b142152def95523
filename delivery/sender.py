"""C-STORE over an association of pynetdicom's, as fast as the peer takes it.

The file is read straight into the PDUs, whose headers stand in one reused buffer, and sent with few
calls; nothing is decoded, and no object has to fit into memory. Our own thread waits for the
response: pynetdicom looks for it every millisecond, and may lose it.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self, cast

from pynetdicom.association import Association

from delivery.lending import LendingSocket, NotLent
from dimse import command
from dimse.part10 import META_BYTES, FileMeta, read_meta
from dimse.pdata import Fragment, MalformedPDU, OtherPDU, PDataReader, command_pdus

_ESTABLISHED = "Sta6"  # PS3.8 table 9-5: ready for data transfer
_PDV_HEADER = struct.Struct(">BxIIBB")  # PS3.8 tables 9-22 and 9-23: PDU and PDV in one
_OVERHEAD = 6  # bytes of a PDU's length that are not data
_LAST = 0x02  # PS3.8 Annex E.2
_LONGEST_PDU = 131_072  # where a peer takes any length, or longer ones than help
_AT_ONCE = 262_144  # bytes of PDUs that go out in one call
_ROOM_FOR_COMMAND = 4096
_IOV_MAX = 1024  # pieces that one preadv takes
_ANSWER_BYTES = 65_536
_NOTICE_SECONDS = 0.2
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux


class LostAssociation(ConnectionError):
    """The association ended, or had to be ended, before the peer answered."""


class Sender:
    """Sends files over an association whose socket is a ``LendingSocket``.

    Used in a ``with`` block, within which the association is not used otherwise.

    Parameters
    ----------
    association
        Established.
    answer_seconds
        How long the peer may take to take some bytes, or to answer.
    """

    def __init__(self, association: Association, answer_seconds: float) -> None:
        self._association = association
        self._answer_seconds = answer_seconds
        self._contexts = {
            (str(each.abstract_syntax), str(each.transfer_syntax[0])): cast(int, each.context_id)
            for each in association.accepted_contexts
        }
        self._message_id = 0
        self._layout = _Layout(association.acceptor.maximum_length or 0)
        self._lent = ExitStack()
        self._connection: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def store(self, path: Path) -> int:
        """Send a file as it is and return the status.

        Raises
        ------
        ValueError
            It is no Part 10 file that says what it is, or the peer does not take it as it is;
            nothing was sent.
        OSError
            The file cannot be read; nothing was sent.
        LostAssociation
            There is no answer, and the association has ended.
        """
        with path.open("rb", buffering=0) as file:
            meta = read_meta(file.read(META_BYTES))
            context_id = self._contexts.get((meta.sop_class_uid, meta.transfer_syntax))
            if context_id is None:
                raise ValueError("the peer does not take this class in this transfer syntax")
            connection = self._borrowed()
            try:
                self._send(connection, file.fileno(), meta, context_id)
                return self._answer(connection)
            except (OSError, MalformedPDU, command.MalformedCommand) as error:
                self.give_back()
                self._end()
                raise LostAssociation(_why(error)) from error

    def give_back(self) -> None:
        """Let pynetdicom have the association; the next file takes it again."""
        if self._connection is None:
            return
        self._connection = None
        self._association.dul._idle_timer.restart()  # it ran on, but nobody was idle
        self._lent.close()

    def _end(self) -> None:
        """Let pynetdicom notice that the peer has ended the association, or end it ourselves."""
        deadline = time.monotonic() + _NOTICE_SECONDS
        while self._association.is_established and time.monotonic() < deadline:
            time.sleep(0.005)
        if self._association.is_established:
            self._association.abort()

    def _borrowed(self) -> socket.socket:
        if self._connection is not None:
            return self._connection
        if not self._association.is_established:
            raise LostAssociation("the connection was lost")
        self._association._reactor_checkpoint.clear()
        self._lent.callback(self._association._reactor_checkpoint.set)
        transport = cast(LendingSocket, self._association.dul.socket)
        try:
            connection = self._lent.enter_context(transport.borrowed())
            if self._association.dul.state_machine.current_state != _ESTABLISHED:
                raise NotLent("the association has ended")
        except NotLent as error:
            self._lent.close()
            raise LostAssociation(str(error)) from error
        connection.settimeout(self._answer_seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        return connection

    def _send(self, connection: socket.socket, file: int, meta: FileMeta, context_id: int) -> None:
        self._message_id = self._message_id % 0xFFFF + 1
        request = command.encode_store_request(
            self._message_id, meta.sop_class_uid, meta.sop_instance_uid
        )
        front = command_pdus(context_id, request, self._layout.maximum_length)
        at, end = meta.data_set_at, os.fstat(file).st_size
        while True:
            pdus, taken = self._layout.filled(file, at, end - at, context_id, front)
            connection.sendall(pdus)
            at, front = at + taken, b""
            if at == end:
                return

    def _answer(self, connection: socket.socket) -> int:
        """Wait for the response and return its status."""
        reader, response = PDataReader(), bytearray()
        buffer = memoryview(bytearray(_ANSWER_BYTES))
        while True:
            if _QUICKACK is not None:
                # A peer with Nagle's algorithm on sends a response in two segments, and the second
                # only when we have acknowledged the first.
                connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            count = connection.recv_into(buffer)
            if not count:
                raise ConnectionError("the peer closed the connection")
            for event in reader.feed(buffer[:count]):
                if isinstance(event, OtherPDU):
                    self._push_back(reader.rest())
                    raise ConnectionError("the peer ended the association")
                if _completes(event, response):
                    self._leave(reader.rest())
                    return command.store_status(command.parse(response), self._message_id)

    def _leave(self, more: bytes) -> None:
        """Let pynetdicom read what came behind a response: most likely that the peer leaves."""
        if more:
            self._push_back(more)
            self.give_back()

    def _push_back(self, data: bytes) -> None:
        cast(LendingSocket, self._association.dul.socket).push_back(data)


def _completes(fragment: Fragment, response: bytearray) -> bool:
    if not fragment.command:
        raise MalformedPDU("a data set where the response to C-STORE should come")
    response += fragment.data
    if len(response) > _ANSWER_BYTES:
        raise MalformedPDU("an endless command set")
    return fragment.last


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


class _Layout:
    """PDUs side by side in a buffer, between whose headers a file is read.

    Parameters
    ----------
    maximum_length
        What the peer takes, bytes after a PDU's header; 0 for any length.
    """

    def __init__(self, maximum_length: int) -> None:
        self.maximum_length = min(maximum_length or _LONGEST_PDU, _LONGEST_PDU)
        # Data sets have an even length, and so has each fragment of one (PS3.8 Annex E.1).
        self._piece = max(2, (self.maximum_length - _OVERHEAD) // 2 * 2)
        stride = _PDV_HEADER.size + self._piece
        count = min(max(1, _AT_ONCE // stride), _IOV_MAX)
        self._buffer = memoryview(bytearray(_ROOM_FOR_COMMAND + count * stride))
        self._headers = [_ROOM_FOR_COMMAND + number * stride for number in range(count)]
        starts = [at + _PDV_HEADER.size for at in self._headers]
        self._rooms = [self._buffer[at : at + self._piece] for at in starts]

    def filled(
        self, file: int, at: int, size: int, context_id: int, front: bytes
    ) -> tuple[memoryview, int]:
        """Read as much as fits, and return PDUs to send and how many bytes of the file they hold.

        Parameters
        ----------
        file, at
            Descriptor, and where in the file to read.
        size
            Bytes of the file from there on.
        context_id
            Presentation context.
        front
            PDUs to go before them.

        Raises
        ------
        OSError
            The file cannot be read, or has become shorter.
        """
        wanted = min(size, len(self._rooms) * self._piece)
        count = max(1, -(-wanted // self._piece))
        rooms = self._rooms[:count]
        rooms[-1] = rooms[-1][: wanted - (count - 1) * self._piece]
        if wanted and os.preadv(file, rooms, at) != wanted:
            raise OSError("the file became shorter while it was sent")
        for header, room in zip(self._headers, rooms, strict=False):
            self._write_header(header, len(room), context_id, last=False)
        if wanted == size:
            self._write_header(self._headers[count - 1], len(rooms[-1]), context_id, last=True)
        start = _ROOM_FOR_COMMAND - len(front)
        self._buffer[start:_ROOM_FOR_COMMAND] = front
        end = self._headers[count - 1] + _PDV_HEADER.size + len(rooms[-1])
        return self._buffer[start:end], wanted

    def _write_header(self, at: int, length: int, context_id: int, *, last: bool) -> None:
        control = _LAST if last else 0
        _PDV_HEADER.pack_into(
            self._buffer, at, 0x04, length + _OVERHEAD, length + 2, context_id, control
        )
