"""What has no end, or leaves the data folder: cut off or refused, and the next peer is served."""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from bench.receive_sender import Prepared
from scp import association, upper_layer
from scp.gate import PeerGate, PeerRule
from scp.status import StoreStatus
from tests.rawpeer import N_ACTION_RQ, RawPeer, normalized, pdu, pdv
from tests.receivable import COMMITMENT, STUDY, ReceivingNode, prepared

LIMIT = 5000  # bytes that the peer may send in one object


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ReceivingNode]:
    """A receiver that knows storage commitment by name, and lets one peer in, with a limit."""
    rule = PeerRule(
        name="bench", ae_title="BENCH", called=frozenset(["WETREAD"]), object_bytes=LIMIT
    )
    made = ReceivingNode(
        tmp_path / "inside",
        gate=PeerGate("WETREAD", [rule]),
        contexts=[build_context(StorageCommitmentPushModel, ExplicitVRLittleEndian)],
        handlers=[(evt.EVT_N_ACTION, lambda _event: (0x0000, None))],
    )
    with made.receiver:
        yield made
    made.database.close()


def store_command(peer: RawPeer, sent: Prepared) -> bytes:
    """The PDU with the command set of a C-STORE request."""
    stream = peer.stream(sent)
    (length,) = struct.unpack_from(">I", stream, 2)
    return stream[: 6 + length]


def is_cut_off(peer: RawPeer, endless: bytes) -> bool:
    """Send the same bytes again and again, until the receiver says something: an abort."""
    deadline = time.monotonic() + 30
    while not select.select([peer.socket], [], [], 0)[0]:
        assert time.monotonic() < deadline, "taken without end"
        peer.socket.sendall(endless)
    return peer.read_pdu()[0] == 0x07


@pytest.mark.parametrize("empty", [b"", b"12345678"])
def test_a_command_set_without_end(node: ReceivingNode, empty: bytes) -> None:
    with node.peer() as peer:
        assert is_cut_off(peer, pdu(pdv(1, 1, empty)) * 100)
    assert_serving(node)


def test_empty_fragments_without_end(node: ReceivingNode) -> None:
    with node.peer() as peer:
        peer.socket.sendall(store_command(peer, prepared()))
        assert is_cut_off(peer, pdu(pdv(1, 0, b"")) * 100)
    assert_serving(node)


def test_some_empty_fragments_do_no_harm(node: ReceivingNode) -> None:
    sent = prepared()
    with node.peer() as peer:
        content = bytes(sent.data_set)
        peer.socket.sendall(store_command(peer, sent) + pdu(pdv(1, 0, b"")) * 100)
        peer.socket.sendall(pdu(pdv(1, 0, content)) + pdu(pdv(1, 2, b"")))
        assert peer.answer() == StoreStatus.SUCCESS
        peer.release()
    assert node.stored()[sent.sop_instance_uid].endswith(content)


def test_an_object_that_is_too_large_is_answered_and_one_without_end_cut_off(
    node: ReceivingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(association, "_PATIENCE_BYTES", 10 * LIMIT)
    with node.peer() as peer:
        assert peer.store(prepared(size=3 * LIMIT)) == StoreStatus.OUT_OF_RESOURCES
        peer.socket.sendall(store_command(peer, prepared()))
        assert is_cut_off(peer, pdu(pdv(1, 0, bytes(1000))))
    assert node.spooled() == []
    assert_serving(node)


@pytest.mark.parametrize(
    ("first", "endless"),
    [
        (pdu(pdv(3, 3, normalized(N_ACTION_RQ))), pdu(pdv(3, 0, bytes(60_000)))),
        (pdu(pdv(3, 3, normalized(N_ACTION_RQ))), pdu(*[pdv(3, 0, b"")] * 10_000)),
    ],
    ids=["data", "empty"],
)
def test_another_request_without_end(
    node: ReceivingNode, first: bytes, endless: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it would be kept in memory by pynetdicom."""
    monkeypatch.setattr(upper_layer, "_LONGEST_OTHER_MESSAGE", 1024 * 1024)
    with node.peer(prepared(), COMMITMENT) as peer:
        peer.socket.sendall(first)
        assert is_cut_off(peer, endless)
    assert_serving(node)


def test_an_answer_in_the_smallest_pieces(node: ReceivingNode) -> None:
    """A peer may take PDUs of one byte of a long answer each."""
    long = replace(prepared(), sop_instance_uid="9" * 60_000)
    with node.peer() as peer:
        peer.send(peer.request(long))
        assert peer.answer() == StoreStatus.CLASS_MISMATCH


@pytest.mark.parametrize("place", ["command", "data set", "both"])
@pytest.mark.parametrize(
    "uid", ["../../../outside", "/{folder}/outside", "1.2/../../../../outside", "..", "1.2\0.3"]
)
def test_no_identifier_leads_out_of_the_archive(
    node: ReceivingNode, uid: str, place: str, tmp_path: Path
) -> None:
    before = files(tmp_path)
    uid = uid.format(folder=tmp_path)
    content = bytes(prepared().data_set)
    if place != "command":
        content = content.replace(element(f"{STUDY}.1.1"), element(uid))
    sent = replace(
        prepared(),
        data_set=memoryview(content),
        sop_instance_uid=prepared().sop_instance_uid if place == "data set" else uid,
    )
    with node.peer() as peer:
        status = peer.store(sent)
        peer.release()
    expected = StoreStatus.CLASS_MISMATCH if place == "command" else StoreStatus.CANNOT_UNDERSTAND
    assert status == expected
    assert files(tmp_path) == before


def test_no_study_leads_out_of_the_archive(node: ReceivingNode, tmp_path: Path) -> None:
    before = files(tmp_path)
    content = bytes(prepared().data_set)
    at = content.index(b"\x20\x00\x0d\x00")
    (length,) = struct.unpack_from("<H", content, at + 6)
    hostile = b"../../../../outside "
    changed = content[: at + 6] + struct.pack("<H", len(hostile)) + hostile
    sent = replace(prepared(), data_set=memoryview(changed + content[at + 8 + length :]))
    with node.peer() as peer:
        assert peer.store(sent) == StoreStatus.CANNOT_UNDERSTAND
        peer.release()
    assert files(tmp_path) == before


def element(uid: str) -> bytes:
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return struct.pack("<HH2sH", 0x0008, 0x0018, b"UI", len(value)) + value


def files(folder: Path) -> set[str]:
    return {
        os.path.join(where, each)  # noqa: PTH118
        for where, _, names in os.walk(folder)
        for each in names
        if not each.endswith(("-wal", "-shm"))
    }


def assert_serving(node: ReceivingNode) -> None:
    with node.peer() as peer:
        assert peer.store(prepared()) == StoreStatus.SUCCESS
        peer.release()
    assert node.spooled() == []
