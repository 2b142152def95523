"""The receiver against bytes: cut anywhere, broken, slow, many at once, other services between."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    StorageCommitmentPushModel,
    Verification,
)
from sqlalchemy import text

from db import stats
from dimse.command import encode
from scp.access import Admitted, Caller
from scp.header import Header
from scp.settings import ReceiverSettings
from scp.status import Answer, StoreStatus
from tests.rawpeer import pdu, pdv
from tests.receivable import ReceivingNode, data_set_of, prepared

RELEASE = struct.pack(">BxII", 5, 4, 0)
ABORT = struct.pack(">BxII", 7, 4, 0)


class Witness:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def accepted(self, caller: Caller, admitted: Admitted) -> None:
        self.told.append(("accepted", caller.calling_ae))

    def rejected(self, caller: Caller, reason: str) -> None:
        self.told.append(("rejected", reason))

    def received(
        self, caller: Caller, admitted: Admitted, header: Header | None, answer: Answer
    ) -> None:
        self.told.append(("received", answer.status))


class Limited:
    """A gate that lets everybody in, with limits."""

    def __init__(self, admitted: Admitted) -> None:
        self.admitted = admitted

    def admit(self, caller: Caller) -> Admitted:
        return self.admitted

    def may_connect(self, address: str) -> bool:
        return True


Make = Callable[..., ReceivingNode]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Starts receivers, and stops them."""
    made: list[ReceivingNode] = []

    def start(**given: Any) -> ReceivingNode:
        node = ReceivingNode(tmp_path / str(len(made)), **given)
        node.receiver.start()
        made.append(node)
        return node

    yield start
    for each in made:
        each.receiver.stop()
        each.database.close()


@pytest.fixture
def node(make: Make) -> ReceivingNode:
    """A receiver that listens."""
    return make()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingNode]:
    """One receiver for all examples of a property."""
    made = ReceivingNode(tmp_path_factory.mktemp("shared"))
    with made.receiver:
        yield made
    made.database.close()


_numbers = iter(range(1000, 1_000_000))


@given(st.lists(st.integers(0, 6000), max_size=6), st.integers(40, 3000))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_cut_of_the_stream_stores_the_same_bytes(
    shared: ReceivingNode, places: list[int], longest: int
) -> None:
    sent = prepared(next(_numbers))
    with shared.peer(sent) as peer:
        peer.peer_maximum = longest
        peer.send_cut(peer.stream(sent), places, pause_seconds=0.002)
        assert peer.answer() == 0
        peer.release()
    assert shared.stored()[sent.sop_instance_uid].endswith(bytes(sent.data_set))


def test_command_and_data_set_in_one_pdu(node: ReceivingNode) -> None:
    sent = prepared()
    with node.peer(sent) as peer:
        command = peer.stream(sent)[12 : 12 + struct.unpack(">I", peer.stream(sent)[6:10])[0] - 2]
        half = len(command) // 2
        content = bytes(sent.data_set)
        peer.socket.sendall(
            pdu(
                pdv(1, 1, command[:half]),
                pdv(1, 1, b""),
                pdv(1, 3, command[half:]),
                pdv(1, 0, content[:100]),
                pdv(1, 0, content[100:]),
                pdv(1, 2, b""),
            )
        )
        assert peer.answer() == 0
        peer.release()
    assert node.stored()[sent.sop_instance_uid].endswith(content)


def test_several_contexts_and_two_requests_in_one_segment(node: ReceivingNode) -> None:
    first, second = prepared(1), prepared(2, syntax=ImplicitVRLittleEndian)
    with node.peer(first, second) as peer:
        peer.socket.sendall(peer.stream(first) + peer.stream(second))
        assert [peer.answer(), peer.answer()] == [0, 0]
        peer.release()
    assert len(node.stored()) == 2


@pytest.mark.parametrize(
    "broken",
    [
        pdu(pdv(1, 2, b"a data set without a command")),
        pdu(pdv(99, 3, b"")),  # a context that nobody accepted
        pdu(pdv(1, 3, b"no command set")),
        pdu(pdv(1, 3, encode({0x0100: b"\1\0"}))),  # C-STORE-RQ, and nothing else in it
        struct.pack(">BxI", 4, 3) + b"abc",
        struct.pack(">BxIIBB", 4, 20, 200, 1, 3) + bytes(14),
        struct.pack(">BxI", 4, 1_000_000_000),  # longer than we take
        struct.pack(">BxI", 0x42, 4) + bytes(4),  # no PDU type of DICOM
        struct.pack(">BxI", 1, 0xFFFFFFFF),  # an A-ASSOCIATE-RQ of 4 GB
        pdu(pdv(1, 1, bytes(60_000))) * 2,  # an endless command set
    ],
)
def test_what_is_malformed_ends_the_association_and_nothing_else(
    node: ReceivingNode, broken: bytes
) -> None:
    with node.peer() as other, node.peer() as peer:
        peer.socket.sendall(broken)
        assert peer.is_cut_off()
        assert other.store(prepared()) == 0
        other.release()


@pytest.mark.parametrize("end", [b"", ABORT, RELEASE])
def test_an_object_that_breaks_off_leaves_nothing(node: ReceivingNode, end: bytes) -> None:
    sent = prepared(size=60_000)
    with node.peer(sent) as peer:
        peer.peer_maximum = 4096
        whole = peer.stream(sent)
        header = 12 + struct.unpack(">I", whole[6:10])[0] - 2
        peer.socket.sendall(whole[: header + 4102 * 5] + end)
        if end != RELEASE:
            peer.socket.close()
    wait_until(lambda: not node.spooled())
    assert node.stored() == {}
    with node.peer(sent) as peer:
        assert peer.store(sent) == 0


@pytest.mark.parametrize("sent_bytes", [3, 9, 200, 2000])
def test_a_peer_that_stalls_anywhere_is_cut_off(make: Make, sent_bytes: int) -> None:
    node = make(timeout=0.5)
    with node.peer() as peer:
        peer.socket.sendall(peer.stream(prepared())[:sent_bytes])
        assert peer.is_cut_off(seconds=10)
    assert node.spooled() == []


def test_a_peer_that_trickles_is_cut_off(make: Make) -> None:
    node = make(timeout=0.5, floor=1000.0)
    with node.peer() as peer:
        whole = peer.stream(prepared())
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011 - a broken pipe or a reset
            for each in whole:
                peer.socket.sendall(bytes([each]))
                time.sleep(0.02)
        assert time.monotonic() - began < 15


def test_a_data_set_of_a_refused_class_is_read_and_the_next_one_stored(make: Make) -> None:
    witness = Witness()
    node = make(gate=Limited(Admitted(object_bytes=5000)), observer=witness)
    large, small = prepared(1, size=300_000), prepared(2)
    with node.peer(large) as peer:
        peer.send(peer.request(large))
        assert peer.comment() == "larger than the 5000 bytes allowed"
        assert peer.store(small) == 0
        peer.release()
    assert list(node.stored()) == [small.sop_instance_uid]
    assert [each for each in witness.told if each[0] == "received"] == [
        ("received", StoreStatus.OUT_OF_RESOURCES),
        ("received", StoreStatus.SUCCESS),
    ]


def test_a_class_other_than_the_context_is_not_supported(node: ReceivingNode) -> None:
    with node.peer() as peer:
        other = replace(prepared(), sop_class_uid="1.2.840.10008.5.1.4.1.1.7")
        peer.contexts[other.sop_class_uid, other.transfer_syntax] = 1
        assert peer.store(other) == StoreStatus.NOT_SUPPORTED
        assert peer.store(prepared()) == 0


def test_a_rate_is_kept(make: Make) -> None:
    node = make(gate=Limited(Admitted(bytes_per_second=200_000)))
    with node.peer() as peer:
        began = time.monotonic()
        assert [peer.store(prepared(each, size=300_000)) for each in range(3)] == [0, 0, 0]
        assert 1.5 < time.monotonic() - began < 10  # 600 kB, of which a second's worth at once


def test_echoes_between_stores(node: ReceivingNode) -> None:
    ae = AE("CONSOLE")
    contexts = [build_context(Verification), build_context(CTImageStorage, ExplicitVRLittleEndian)]
    association = ae.associate("127.0.0.1", node.receiver.port, contexts, ae_title="WETREAD")
    for number in range(3):
        assert association.send_c_echo().Status == 0
        assert association.send_c_store(_dataset(number)).Status == 0
    association.release()
    assert len(node.stored()) == 3


def test_other_services_between_stores(make: Make) -> None:
    """N-ACTION and C-FIND are pynetdicom's; the stores after them are ours again."""

    def on_action(event: evt.Event) -> tuple[int, None]:
        assert event.action_information.TransactionUID == "1.2.3"
        return 0x0000, None

    def on_find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for number in range(3):
            match = Dataset()
            match.PatientID = str(number)
            yield 0xFF00, match

    commitment = build_context(StorageCommitmentPushModel)
    find = build_context(PatientRootQueryRetrieveInformationModelFind)
    node = make(
        contexts=[commitment, find],
        handlers=[(evt.EVT_N_ACTION, on_action), (evt.EVT_C_FIND, on_find)],
    )
    stock: list[object] = []
    server = node.receiver._server
    assert server is not None
    server.bind(evt.EVT_DIMSE_RECV, lambda event: stock.append(event.message))
    ae = AE("CONSOLE")
    contexts = [commitment, find, build_context(CTImageStorage, ExplicitVRLittleEndian)]
    association = ae.associate("127.0.0.1", node.receiver.port, contexts, ae_title="WETREAD")
    asked, query = Dataset(), Dataset()
    asked.TransactionUID = "1.2.3"
    query.QueryRetrieveLevel, query.PatientID = "PATIENT", ""
    for number in range(5):
        assert association.send_c_store(_dataset(number)).Status == 0
        status, _ = association.send_n_action(
            asked, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1"
        )
        assert status.Status == 0
        answers = list(association.send_c_find(query, PatientRootQueryRetrieveInformationModelFind))
        assert [each[0].Status for each in answers] == [0xFF00] * 3 + [0]
    assert association.send_c_store(_dataset(99)).Status == 0
    association.release()
    assert association.is_released
    assert len(node.stored()) == 6
    assert len(stock) <= 10 + 5  # a store right behind a query may be read by pynetdicom


def test_a_hundred_associations_are_held_at_once(make: Make) -> None:
    """A receiver as it comes; all associations stand before the first of them sends."""
    witness = Witness()
    node = make(associations=ReceiverSettings.maximum_associations, observer=witness)
    threads_before = threading.active_count()
    sent = {
        number: [prepared(100 * number + each, size=20_000) for each in range(5)]
        for number in range(1, 101)
    }
    together = threading.Barrier(len(sent) + 1, timeout=30)
    answers: list[int] = []

    def console(number: int) -> None:
        with node.peer(*sent[number]) as peer:
            together.wait()  # all are accepted
            together.wait()  # and seen to stand
            answers.extend(peer.store(each) for each in sent[number])
            peer.release()

    threads = [threading.Thread(target=console, args=(number,)) for number in sent]
    for thread in threads:
        thread.start()
    together.wait()
    wait_until(lambda: node.standing() == len(sent))
    together.wait()
    for thread in threads:
        thread.join()
    assert answers == [0] * 500
    assert {each for each, _ in witness.told} == {"accepted", "received"}
    stored = {uid: data_set_of(file) for uid, file in node.stored().items()}
    assert stored == {
        each.sop_instance_uid: each.data_set for mine in sent.values() for each in mine
    }
    assert node.spooled() == []
    wait_until(lambda: threading.active_count() == threads_before)


def test_one_association_too_many_is_rejected(make: Make) -> None:
    witness = Witness()
    node = make(associations=2, observer=witness)
    with node.peer(), node.peer(), pytest.raises(ConnectionError, match="PDU type 3"):
        node.peer()
    wait_until(lambda: "rejected" in [each[0] for each in witness.told])


def test_a_stored_file_that_is_missing_is_restored(node: ReceivingNode) -> None:
    sent = prepared()
    with node.peer(sent) as peer:
        assert peer.store(sent) == 0
        (file,) = (node.folder / "data" / "archive").rglob("*.dcm")
        file.unlink()
        with node.database.write() as connection:  # it was routed meanwhile
            connection.execute(text("update study set due_at = null"))
        assert peer.store(sent) == 0
        assert file.read_bytes().endswith(bytes(sent.data_set))
        peer.release()
    with node.database.read() as connection:
        (study,) = stats.studies(connection)
    assert (study["instances"], study["lost"]) == (1, 0)
    assert study["due_at"] is not None  # what was read without it is read again


def test_a_conflict_is_answered_and_set_aside_once(node: ReceivingNode) -> None:
    sent, other = prepared(), prepared(size=4000)
    with node.peer(sent) as peer:
        assert peer.store(sent) == 0
        for _ in range(2):
            peer.send(peer.request(other))
            assert peer.comment() == "other bytes under a known UID; set aside in conflicts/"
        peer.release()
    assert node.stored()[sent.sop_instance_uid].endswith(bytes(sent.data_set))
    (aside,) = (node.folder / "data" / "conflicts").iterdir()
    assert aside.read_bytes().endswith(bytes(other.data_set))
    assert node.spooled() == []


def test_stopping_aborts_a_peer_in_the_middle(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scp.server._DRAIN_SECONDS", 0.2)
    node = make()
    with node.peer() as peer:
        peer.socket.sendall(peer.stream(prepared(size=60_000))[:1000])
        wait_until(lambda: bool(node.spooled()))
        node.receiver.stop()
        assert peer.is_cut_off()
    assert node.spooled() == []


def _dataset(number: int) -> Dataset:
    sent = prepared(number)
    read = read_dataset(BytesIO(bytes(sent.data_set)), is_implicit_VR=False, is_little_endian=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return FileDataset("", read, file_meta=meta, is_implicit_VR=False, is_little_endian=True)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)
