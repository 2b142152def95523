"""A C-STORE SCP that reads, answers Success and keeps nothing, so that the sender is the limit."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Self

from dimse.command import parse, store_request, store_response
from dimse.pdata import OtherPDU, PDataReader, command_pdus

_LONGEST_PDU = 131_072
_BUFFER = 1024 * 1024
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_RELEASE, _RELEASED = 0x05, struct.pack(">BxII", 6, 4, 0)


class Sink:
    """Listens on a free port; serves each connection in a thread."""

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:  # closed
                return
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accept(connection, _LONGEST_PDU)
        reader, request = PDataReader(), bytearray()
        buffer = memoryview(bytearray(_BUFFER))
        while count := connection.recv_into(buffer):
            for event in reader.feed(buffer[:count]):
                if isinstance(event, OtherPDU):
                    if event.kind == _RELEASE:
                        connection.sendall(_RELEASED)
                    return
                if event.command:
                    request += event.data
                elif event.last:
                    answer = store_response(store_request(parse(request)), 0)
                    request.clear()
                    connection.sendall(command_pdus(event.context_id, answer))
            if _QUICKACK is not None:
                connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def accept(connection: socket.socket, maximum_length: int) -> None:
    """Accept every context that is proposed, with its first transfer syntax."""
    kind, length = struct.unpack(">BxI", _read(connection, 6))
    assert kind == 1
    asked = _read(connection, length)
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    at = 68
    while at < len(asked):
        kind, length = struct.unpack_from(">BxH", asked, at)
        content = asked[at + 4 : at + 4 + length]
        if kind == 0x20:
            items += _item(0x21, content[:1] + bytes(3) + _first_syntax(content))
        at += 4 + length
    length_item = _item(0x51, struct.pack(">I", maximum_length))
    items += _item(0x50, length_item + _item(0x52, b"1.2.826.0.1.3680043.8.498.777.2"))
    body = asked[:68] + items
    connection.sendall(struct.pack(">BxI", 2, len(body)) + body)


def _first_syntax(context: bytes) -> bytes:
    """The first transfer syntax sub-item of a proposed presentation context, whole."""
    at = 4
    while True:
        kind, length = struct.unpack_from(">BxH", context, at)
        if kind == 0x40:
            return context[at : at + 4 + length]
        at += 4 + length


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("closed by the sender")
        data += piece
    return data
