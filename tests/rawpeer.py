"""A sender that says exactly the bytes it is told to."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from bench.receive_sender import Prepared, RawSender
from db.verdict import PUSH_MODEL_INSTANCE
from dimse.command import encode, parse

_ABORT = 0x07
N_ACTION_RQ, N_DELETE_RQ = 0x0130, 0x0150  # PS3.7 Annex E.1


class RawPeer(RawSender):
    """An association whose bytes can be cut and broken."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, ConnectionError):
            self.socket.close()

    def stream(self, prepared: Prepared) -> bytes:
        """A whole C-STORE request as one run of bytes."""
        return b"".join(bytes(each) for each in self.request(prepared))

    def send_cut(self, stream: bytes, places: Sequence[int], pause_seconds: float = 0.0) -> None:
        """Send bytes in pieces, each a TCP segment of its own if there is a pause."""
        edges = [0, *sorted(min(each, len(stream)) for each in places), len(stream)]
        for start, end in pairwise(edges):
            self.socket.sendall(stream[start:end])
            time.sleep(pause_seconds)

    def pdus_until_closed(self, seconds: float = 20.0) -> list[int]:
        """Types of the PDUs that come until the connection is closed."""
        self.socket.settimeout(seconds)
        kinds = []
        with contextlib.suppress(ConnectionError):
            while True:
                kinds.append(self.read_pdu()[0])
        return kinds

    def is_cut_off(self, seconds: float = 20.0) -> bool:
        """Whether the receiver aborts, or just closes, within this time."""
        return set(self.pdus_until_closed(seconds)) <= {_ABORT}

    def comment(self) -> str:
        """Wait for a response and return its Error Comment."""
        _, content = self.read_pdu()
        return parse(content[6:]).get(0x0902, b"").decode("ascii").strip()


def pdv(context: int, control: int, data: bytes) -> bytes:
    """One PDV."""
    return struct.pack(">IBB", len(data) + 2, context, control) + data


def pdu(*pdvs: bytes) -> bytes:
    """One P-DATA-TF."""
    body = b"".join(pdvs)
    return struct.pack(">BxI", 4, len(body)) + body


def normalized(field: int) -> bytes:
    """The command set of a request about storage commitment, with a data set."""
    return encode(
        {
            0x0003: StorageCommitmentPushModel.encode(),
            0x0100: struct.pack("<H", field),
            0x0110: b"\1\0",
            0x0800: b"\1\0",
            0x1001: PUSH_MODEL_INSTANCE.encode(),
            0x1008: b"\1\0",
        }
    )
