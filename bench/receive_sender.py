"""A sender that costs next to nothing: prepared bytes over a socket, so the receiver is the limit.

``python -m bench.receive_sender PORT AE_TITLE FILE...`` associates, says ``ready``, waits for a
line on standard input, sends every file, and prints the seconds of each C-STORE, as JSON.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from dimse.command import encode_store_request, parse
from dimse.part10 import START_BYTES, data_set_offset
from dimse.pdata import command_pdus

_LONGEST_PDU = 131_072  # ours; a peer that takes less gets less
_IOV_MAX = 1000
_US = struct.Struct("<H")


@dataclass(frozen=True)
class Prepared:
    """A C-STORE request, but for its presentation context."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data_set: memoryview


def prepare(path: Path) -> Prepared:
    """Read a Part 10 file."""
    content = path.read_bytes()
    meta = dcmread(path, stop_before_pixels=True, specific_tags=[]).file_meta
    return Prepared(
        str(meta.MediaStorageSOPClassUID),
        str(meta.MediaStorageSOPInstanceUID),
        str(meta.TransferSyntaxUID),
        memoryview(content)[data_set_offset(content[:START_BYTES]) :],
    )


class RawSender:
    """One association.

    Parameters
    ----------
    port, ae_title
        The receiver, on this machine.
    objects
        What will be sent; their SOP classes and transfer syntaxes are proposed.
    """

    def __init__(self, port: int, ae_title: str, objects: Sequence[Prepared]) -> None:
        pairs = sorted({(each.sop_class_uid, each.transfer_syntax) for each in objects})
        self.contexts = {pair: 2 * number + 1 for number, pair in enumerate(pairs)}
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(_associate_request(ae_title, self.contexts))
        kind, accepted = self.read_pdu()
        if kind != 0x02:
            raise ConnectionError(f"PDU type {kind} instead of A-ASSOCIATE-AC")
        self.peer_maximum = min(_maximum_length(accepted) or _LONGEST_PDU, _LONGEST_PDU)
        self._message_id = 0

    def store(self, prepared: Prepared) -> int:
        """Send one object and return the status."""
        self.send(self.request(prepared))
        return self.answer()

    def request(self, prepared: Prepared) -> list[bytes | memoryview]:
        """Bytes of a C-STORE request and its data set."""
        self._message_id = self._message_id % 0xFFFF + 1
        context = self.contexts[prepared.sop_class_uid, prepared.transfer_syntax]
        command = encode_store_request(
            self._message_id, prepared.sop_class_uid, prepared.sop_instance_uid
        )
        parts: list[bytes | memoryview] = [command_pdus(context, command, self.peer_maximum)]
        step = self.peer_maximum - 6
        for start in range(0, len(prepared.data_set), step):
            piece = prepared.data_set[start : start + step]
            last = start + step >= len(prepared.data_set)
            length = len(piece)
            parts += [struct.pack(">BxIIBB", 4, length + 6, length + 2, context, 2 * last), piece]
        return parts

    def send(self, parts: Sequence[bytes | memoryview]) -> None:
        """Send all of it."""
        for start in range(0, len(parts), _IOV_MAX):
            some = parts[start : start + _IOV_MAX]
            sent = self.socket.sendmsg(some)
            if sent < sum(map(len, some)):
                self.socket.sendall(memoryview(b"".join(some))[sent:])

    def answer(self) -> int:
        """Wait for a response and return its status."""
        kind, content = self.read_pdu()
        if kind != 0x04:
            raise ConnectionError(f"PDU type {kind} instead of a response")
        return int(_US.unpack(parse(content[6:])[0x0900])[0])

    def read_pdu(self) -> tuple[int, bytes]:
        """Type and content of the next PDU."""
        kind, length = struct.unpack(">BxI", self._read(6))
        return kind, self._read(length)

    def release(self) -> None:
        """Release the association."""
        self.socket.sendall(struct.pack(">BxII", 5, 4, 0))
        self.read_pdu()
        self.socket.close()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            # Receivers with Nagle's algorithm on send a response in two segments.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionError("closed by the receiver")
            data += piece
        return data


def _associate_request(ae_title: str, contexts: dict[tuple[str, str], int]) -> bytes:
    """A-ASSOCIATE-RQ (PS3.8 section 9.3.2)."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for (sop_class, syntax), number in contexts.items():
        inner = _item(0x30, sop_class.encode()) + _item(0x40, syntax.encode())
        items += _item(0x20, struct.pack(">B3x", number) + inner)
    items += _item(
        0x50,
        _item(0x51, struct.pack(">I", _LONGEST_PDU))
        + _item(0x52, b"1.2.826.0.1.3680043.8.498.777.1"),
    )
    body = struct.pack(">HH16s16s32x", 1, 0, ae_title.ljust(16).encode(), b"BENCH".ljust(16))
    return struct.pack(">BxI", 1, len(body) + len(items)) + body + items


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def _maximum_length(accepted: bytes) -> int:
    """What an A-ASSOCIATE-AC says under Maximum Length (PS3.8 Annex D.1)."""
    at = 68
    while at < len(accepted):
        kind, length = struct.unpack_from(">BxH", accepted, at)
        if kind == 0x50:
            at += 4  # its sub-items follow
            continue
        if kind == 0x51:
            return int(struct.unpack_from(">I", accepted, at + 4)[0])
        at += 4 + length
    return 0


def main() -> None:
    """Send what the command line names."""
    port, ae_title, files = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    objects = [prepare(Path(each)) for each in files]
    sender = RawSender(port, ae_title, objects)
    print("ready", flush=True)
    sys.stdin.readline()
    seconds = []
    for each in objects:
        began = time.perf_counter()
        status = sender.store(each)
        seconds.append(time.perf_counter() - began)
        if status:
            raise SystemExit(f"status {status:04X}")
    print(json.dumps(seconds), flush=True)
    sender.release()


if __name__ == "__main__":
    main()
