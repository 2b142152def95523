"""Those who connect and never become an association: they take nobody's place for long."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from db import migrate
from db.archive import Archive
from db.engine import Database
from dimse.transport import PushBackSocket
from scp.rejection import Rejection
from scp.server import Receiver
from scp.settings import ReceiverSettings

LIMIT = 8


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    database = Database(f"sqlite:///{tmp_path / 'wetread.db'}")
    migrate.upgrade(database)
    settings = ReceiverSettings(
        ae_title="WETREAD", host="127.0.0.1", port=0, maximum_associations=LIMIT
    )
    with Receiver(settings, database, Archive(tmp_path / "data")) as listening:
        yield listening
    database.close()


def call(receiver: Receiver) -> Association:
    ae = AE("CONSOLE")
    ae.add_requested_context(Verification)
    return ae.associate("127.0.0.1", receiver.port, ae_title="WETREAD")


def connect(receiver: Receiver) -> socket.socket:
    return socket.create_connection(("127.0.0.1", receiver.port), timeout=10)


def alive(receiver: Receiver) -> int:
    assert receiver._server is not None
    return len(receiver._server.active_associations)


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def request(identity: bytes) -> bytes:
    """An A-ASSOCIATE-RQ with this user identity item (PS3.7 Table D.3-14)."""
    context = item(0x30, b"1.2.840.10008.1.1") + item(0x40, b"1.2.840.10008.1.2")
    user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3") + identity
    body = (
        struct.pack(">HH", 1, 0) + b"WETREAD".ljust(16) + b"CT1".ljust(16) + bytes(32)
        + item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, b"\1\0\0\0" + context)
        + item(0x50, user)
    )  # fmt: skip
    return struct.pack(">BBI", 1, 0, len(body)) + body


def test_a_connection_that_asks_for_nothing_costs_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred of them took a whole core, for as long as they were allowed to stay."""
    looks, whole = 0, PushBackSocket.is_ready_within

    def counted(self: PushBackSocket, seconds: float) -> bool:
        nonlocal looks
        looks += 1
        return whole(self, seconds)

    monkeypatch.setattr(PushBackSocket, "is_ready_within", counted)
    with connect(receiver):
        wait_until(lambda: looks > 0)
        before = looks
        time.sleep(1)
        assert looks - before < 20
    association = call(receiver)
    assert association.is_established
    association.release()


def test_a_closed_connection_is_gone_at_once(receiver: Receiver) -> None:
    scanners = [connect(receiver) for _ in range(LIMIT)]
    wait_until(lambda: alive(receiver) == LIMIT)
    for each in scanners:
        each.close()
    wait_until(lambda: alive(receiver) == 0)
    association = call(receiver)
    assert association.is_established
    association.release()


def test_connections_that_ask_for_nothing_take_no_place_of_an_association(
    receiver: Receiver,
) -> None:
    held = [call(receiver) for _ in range(LIMIT - 2)]
    idle = [connect(receiver) for _ in range(LIMIT - 1)]
    wait_until(lambda: alive(receiver) == len(held) + len(idle))
    held += [call(receiver), call(receiver)]
    assert all(each.is_established for each in held)
    refused = call(receiver)
    answer = refused.acceptor.primitive
    assert answer is not None
    assert (answer.result, answer.result_source, answer.diagnostic) == Rejection.FULL.value[:3]
    held.pop().release()
    held.append(wait_for_room(receiver))
    for each in held:
        each.release()
    for connection in idle:
        connection.close()


def test_one_address_does_not_hold_all_connections(receiver: Receiver) -> None:
    with structlog.testing.capture_logs() as logged:
        idle = [connect(receiver) for _ in range(LIMIT)]
        wait_until(lambda: alive(receiver) == LIMIT)
        with connect(receiver) as one_more:
            assert one_more.recv(1) == b""
        assert alive(receiver) == LIMIT
        (line,) = (each for each in logged if each["event"] == "connection.refused")
        assert line["reason"] == "too many connections that ask for nothing"
        with socket.socket() as neighbour:
            neighbour.bind(("127.0.0.2", 0))
            neighbour.connect(("127.0.0.1", receiver.port))
            wait_until(lambda: alive(receiver) == LIMIT + 1)
    for each in idle:
        each.close()
    wait_until(lambda: alive(receiver) == 0)
    call(receiver).release()


def wait_for_room(receiver: Receiver) -> Association:
    deadline = time.monotonic() + 5
    while not (association := call(receiver)).is_established:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return association


@pytest.mark.parametrize(
    "identity",
    [
        item(0x58, struct.pack(">BBH", 9, 0, 4) + b"anna" + b"\0\0"),  # a type that is none
        item(0x58, struct.pack(">BBH", 2, 0, 400) + b"anna"),  # longer than there is
        item(0x58, b""),
        item(0x58, struct.pack(">BBH", 2, 0, 4) + b"\xff\xfe\0\x80" + struct.pack(">H", 9)),
    ],
)
def test_an_identity_that_cannot_be_read_ends_that_connection_alone(
    receiver: Receiver, identity: bytes
) -> None:
    with connect(receiver) as peer:
        peer.sendall(request(identity))
        answer = peer.recv(100)
    assert answer[:1] in (b"\x07", b"\x02", b""), answer  # an abort, or it was ignored
    wait_until(lambda: alive(receiver) == 0)
    association = call(receiver)
    assert association.is_established
    association.release()


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)
