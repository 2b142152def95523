"""P-DATA-TF PDUs taken apart as their bytes come (PS3.8 section 9.3.5); knows no socket."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

P_DATA_TF = 0x04
PDU_TYPES = range(0x01, 0x08)  # PS3.8 section 9.3.1
HEADER_BYTES = 6  # of a PDU as of a PDV

_PDU_HEADER = struct.Struct(">BxI")  # PS3.8 table 9-22: type, reserved, length
_PDV_HEADER = struct.Struct(">IBB")  # PS3.8 table 9-23: length, context ID, control header
_CONTEXT_AND_CONTROL = 2  # bytes that the length of a PDV counts besides its data
_SHORTEST_PDU = HEADER_BYTES  # one PDV without data
_COMMAND, _LAST = 0x01, 0x02  # PS3.8 Annex E.2


class MalformedPDU(ValueError):
    """Bytes that are no P-DATA-TF where one should be; the message says what is wrong."""


class Fragment(NamedTuple):
    """A piece of a command set or data set.

    ``data`` looks into the bytes that were fed, and holds only as long as they stay there.
    """

    context_id: int
    command: bool
    last: bool
    data: memoryview


class OtherPDU(NamedTuple):
    """A PDU that is no P-DATA-TF begins; none of its bytes were taken."""

    kind: int


class PDataReader:
    """Takes P-DATA-TF PDUs apart, however they were cut.

    Parameters
    ----------
    maximum_length
        No PDU may be longer (PS3.8 Annex D.1), bytes after its header; 0 for any length.
    """

    def __init__(self, maximum_length: int = 0) -> None:
        self._maximum = maximum_length
        self._header = b""  # of a PDU or PDV, not complete yet
        self._pdu_left = 0
        self._pdv_left = 0
        self._in_pdv = False
        self._context_id = 0
        self._control = 0
        self._view = memoryview(b"")
        self._at = 0

    @property
    def between_pdus(self) -> bool:
        """Whether what was given out ends with a PDU, and nothing of the next has come."""
        return not self._pdu_left and not self._in_pdv and not self._header

    def feed(self, view: memoryview) -> Iterator[Fragment | OtherPDU]:
        """Give out what these bytes hold.

        After an ``OtherPDU`` nothing further comes: see ``rest``.

        Raises
        ------
        MalformedPDU
            The lengths do not add up, or a PDU is longer than allowed.
        """
        self._view, self._at = view, 0
        while True:
            if self._in_pdv:
                if self._pdv_left and self._at == len(view):
                    return
                yield self._fragment()
                continue
            header = self._next_header()
            if header is None:
                return
            if self._pdu_left:
                self._begin_pdv(header)
                continue
            kind, length = _PDU_HEADER.unpack(header)
            if kind != P_DATA_TF:
                self._header = bytes(header)
                yield OtherPDU(kind)
                return
            self._begin_pdu(length)

    def rest(self) -> bytes:
        """What was fed and not given out, as a reader that starts anew must see it.

        Between two PDVs it begins with a header for what is left of their PDU. Not to be asked for
        within a PDV.
        """
        assert not self._in_pdv
        header = _PDU_HEADER.pack(P_DATA_TF, self._pdu_left) if self._pdu_left else b""
        return header + self._header + bytes(self._view[self._at :])

    def _fragment(self) -> Fragment:
        data = self._view[self._at : self._at + self._pdv_left]
        self._at += len(data)
        self._pdv_left -= len(data)
        self._pdu_left -= len(data)
        self._in_pdv = self._pdv_left > 0
        last = not self._in_pdv and bool(self._control & _LAST)
        return Fragment(self._context_id, bool(self._control & _COMMAND), last, data)

    def _next_header(self) -> bytes | memoryview | None:
        piece = self._view[self._at : self._at + HEADER_BYTES - len(self._header)]
        self._at += len(piece)
        if len(piece) == HEADER_BYTES:
            return piece
        self._header += bytes(piece)
        if len(self._header) < HEADER_BYTES:
            return None
        header, self._header = self._header, b""
        return header

    def _begin_pdu(self, length: int) -> None:
        if length < _SHORTEST_PDU:
            raise MalformedPDU("a P-DATA-TF holds no PDV")
        if self._maximum and length > self._maximum:
            raise MalformedPDU(f"a PDU of {length} bytes; {self._maximum} were negotiated")
        self._pdu_left = length

    def _begin_pdv(self, header: bytes | memoryview) -> None:
        length, self._context_id, self._control = _PDV_HEADER.unpack(header)
        self._pdu_left -= HEADER_BYTES
        self._pdv_left = length - _CONTEXT_AND_CONTROL
        left_after = self._pdu_left - self._pdv_left
        if self._pdv_left < 0 or left_after < 0 or 0 < left_after < HEADER_BYTES:
            raise MalformedPDU("the length of a PDV does not fit its PDU")
        self._in_pdv = True


def command_pdus(context_id: int, command: bytes, maximum_length: int = 0) -> bytes:
    """Wrap a command set.

    Parameters
    ----------
    context_id
        Presentation context.
    command
        Encoded command set.
    maximum_length
        What the peer takes, bytes after the PDU's header; 0 for any length.
    """
    room = max(1, maximum_length - HEADER_BYTES) if maximum_length else len(command)
    pdus = []
    for start in range(0, len(command), room):
        piece = command[start : start + room]
        control = _COMMAND | (_LAST if start + room >= len(command) else 0)
        length = len(piece) + _CONTEXT_AND_CONTROL
        pdus += [_PDU_HEADER.pack(P_DATA_TF, length + 4)]
        pdus += [_PDV_HEADER.pack(length, context_id, control), piece]
    return b"".join(pdus)
