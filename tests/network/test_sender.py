"""The sending side against peers that do everything but what they should, and some that do."""

from __future__ import annotations

import inspect
import os
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom._globals import MODE_REQUESTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE

from delivery import sender as sending
from delivery.associate import Peer, associate
from delivery.send import SendOutcome, send
from delivery.sender import LostAssociation, Sender
from dimse.command import Elements, encode, store_request, store_response
from dimse.part10 import file_header
from dimse.pdata import command_pdus
from tests.receivable import prepared
from tests.scriptedscp import ABORT, RELEASE, Call, ScriptedSCP

_CONTEXT = 1
_A_ABORT, _RELEASE_RQ = 0x07, 0x05


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three instances, the second larger than what goes out at once."""
    return [write(tmp_path, number, size) for number, size in ((1, 3000), (2, 900_000), (3, 3000))]


def write(folder: Path, number: int, size: int) -> Path:
    one = prepared(number, size)
    path = folder / f"{number}.dcm"
    header = file_header(
        sop_class_uid=one.sop_class_uid,
        sop_instance_uid=one.sop_instance_uid,
        transfer_syntax=one.transfer_syntax,
        calling_ae="TEST",
    )
    path.write_bytes(header + bytes(one.data_set))
    return path


def answer(request: Elements, status: int = 0, comment: str = "") -> bytes:
    return command_pdus(_CONTEXT, store_response(store_request(request), status, comment))


def sent(scp: ScriptedSCP, files: Sequence[Path]) -> list[SendOutcome]:
    peer = Peer(ae_title="SCP", host="127.0.0.1", port=scp.port, calling_ae_title="WETREAD")
    return list(send(peer, files))


class Kept:
    """A script that stores."""

    def __init__(self, status: int = 0) -> None:
        self.received: dict[str, bytes] = {}
        self.longest = 0
        self._status = status

    def __call__(self, call: Call) -> None:
        for _ in range(3):
            request, data = call.receive()
            self.received[store_request(request).sop_instance_uid] = data
            call.socket.sendall(answer(request, self._status))
        call.until_closed()


@pytest.mark.parametrize("maximum_length", [0, 16, 100, 4096, 16384, 16385, 131_072, 1 << 30])
def test_what_is_sent_arrives(files: list[Path], maximum_length: int) -> None:
    kept = Kept()
    with ScriptedSCP(kept, maximum_length) as scp:
        assert [each.status for each in sent(scp, files)] == [0, 0, 0]
    assert kept.received == {
        one.sop_instance_uid: bytes(one.data_set)
        for one in (prepared(1, 3000), prepared(2, 900_000), prepared(3, 3000))
    }
    assert scp.calls[0].others == [_RELEASE_RQ]


def test_no_pdu_is_longer_than_the_peer_takes(files: list[Path]) -> None:
    longest = 0

    def measure(call: Call) -> None:
        nonlocal longest
        stream = call.socket.makefile("rb")
        while head := stream.read(6):
            kind, length = struct.unpack(">BxI", head)
            if kind != 0x04:
                return
            longest = max(longest, length)
            stream.read(length)

    with ScriptedSCP(measure, 5001) as scp, pytest.raises(LostAssociation):
        store(scp, files[1])
    assert longest == 5000  # even fragments: 4,994 and six bytes more


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007])
def test_a_warning_is_stored(files: list[Path], status: int) -> None:
    with ScriptedSCP(Kept(status)) as scp:
        assert all(each.stored and each.status == status for each in sent(scp, files))


def test_a_refusal_is_of_one_file(files: list[Path]) -> None:
    with ScriptedSCP(Kept(0xA700)) as scp:
        assert [each.reason for each in sent(scp, files)] == ["refused with status A700"] * 3


def test_an_answer_in_crumbs_is_read(files: list[Path]) -> None:
    def crumbs(call: Call) -> None:
        for _ in range(3):
            request, _ = call.receive()
            response = store_response(store_request(request), 0)
            for byte in command_pdus(_CONTEXT, response, 9):
                call.socket.sendall(bytes([byte]))
        call.until_closed()

    with ScriptedSCP(crumbs) as scp:
        assert all(each.stored for each in sent(scp, files))


def test_a_peer_that_goes_away_loses_the_rest(files: list[Path]) -> None:
    def leave(call: Call) -> None:
        request, _ = call.receive()
        call.socket.sendall(answer(request))
        call.receive()

    with ScriptedSCP(leave) as scp:
        first, second, third = sent(scp, files)
    assert first.stored
    assert second.reason.startswith("no answer: ")
    assert third.reason == "the connection was lost"


@pytest.mark.parametrize("last_word", [ABORT, RELEASE])
def test_a_peer_that_ends_the_association_instead_of_answering(
    files: list[Path], last_word: bytes
) -> None:
    def end(call: Call) -> None:
        call.receive()
        call.socket.sendall(last_word)
        call.until_closed()

    with ScriptedSCP(end) as scp:
        first, second, _ = sent(scp, files)
    assert first.reason == "no answer: the peer ended the association"
    assert second.reason == "the connection was lost"


@pytest.mark.parametrize("last_word", [ABORT, RELEASE])
def test_a_peer_that_leaves_with_its_answer(files: list[Path], last_word: bytes) -> None:
    def leave(call: Call) -> None:
        request, _ = call.receive()
        call.socket.sendall(answer(request) + last_word)
        call.until_closed()

    with ScriptedSCP(leave) as scp:
        first, second, _ = sent(scp, files)
    assert first.stored
    assert not second.stored
    assert second.reason in ("no answer: the association has ended", "the connection was lost")


def test_a_peer_that_aborts_while_it_is_sent_to(files: list[Path]) -> None:
    def abort(call: Call) -> None:
        call.socket.recv(100)
        call.socket.sendall(ABORT)

    with ScriptedSCP(abort) as scp:
        outcome, *_ = sent(scp, files[1:])
    assert outcome.status is None
    assert outcome.reason.startswith("no answer: ")


ANSWERS: dict[str, tuple[Callable[[Elements], bytes], str]] = {
    "to another request": (
        lambda request: encode(
            {0x0100: b"\x01\x80", 0x0120: b"\xe7\x03", 0x0800: b"\1\1", 0x0900: b"\0\0"}
        ),
        "a response to another request",
    ),
    "of another kind": (
        lambda request: encode({0x0100: b"\x30\x80", 0x0120: request[0x0110]}),
        "a command where the response to C-STORE should come",
    ),
    "without status": (
        lambda request: encode({0x0100: b"\x01\x80", 0x0120: request[0x0110]}),
        "element (0000,0900) is missing or has no 16 bits",
    ),
    "noise": (lambda _: b"noise", "the command set ends within an element"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_is_none_ends_the_association(files: list[Path], kind: str) -> None:
    build, reason = ANSWERS[kind]

    def nonsense(call: Call) -> None:
        request, _ = call.receive()
        call.socket.sendall(command_pdus(_CONTEXT, build(request)))
        call.until_closed()

    with ScriptedSCP(nonsense) as scp:
        outcome, *_ = sent(scp, files)
    assert outcome.reason == f"no answer: {reason}"
    assert scp.calls[0].others == [_A_ABORT]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.send.ANSWER_SECONDS", 0.3)


@pytest.mark.usefixtures("impatient")
def test_a_peer_that_never_answers(files: list[Path]) -> None:
    def silent(call: Call) -> None:
        call.receive()
        call.until_closed()

    with ScriptedSCP(silent) as scp:
        first, second, _ = sent(scp, files)
    assert first.reason == "no answer: no answer in time"
    assert second.reason == "the connection was lost"
    assert scp.calls[0].others == [_A_ABORT]


@pytest.mark.usefixtures("impatient")
@pytest.mark.timeout(40)
def test_a_peer_that_stops_reading(tmp_path: Path) -> None:
    over = threading.Event()
    large = write(tmp_path, 1, 60_000_000)

    def stop(_: Call) -> None:
        over.wait(30)

    with ScriptedSCP(stop) as scp:
        (outcome,) = sent(scp, [large])
        over.set()
    assert outcome.reason == "no answer: no answer in time"


def test_a_file_that_becomes_shorter_ends_the_association(tmp_path: Path) -> None:
    """Half an object is on its way, and the peer waits for the rest of it."""
    large = write(tmp_path, 1, 60_000_000)

    def truncate(call: Call) -> None:
        call.socket.recv(1000)
        os.truncate(large, 1_000_000)
        while call.socket.recv(1 << 20):
            pass

    with ScriptedSCP(truncate) as scp:
        (outcome,) = sent(scp, [large])
    assert outcome.reason == "no answer: the file became shorter while it was sent"


def test_a_file_that_is_gone_fails_alone(files: list[Path]) -> None:
    def remove(call: Call) -> None:
        for number in range(2):
            request, _ = call.receive()
            if not number:
                files[1].unlink()
            call.socket.sendall(answer(request))
        call.until_closed()

    with ScriptedSCP(remove) as scp:
        first, second, third = sent(scp, files)
    assert (first.stored, second.reason, third.stored) == (
        True,
        "not accepted: FileNotFoundError",
        True,
    )


def store(scp: ScriptedSCP, path: Path) -> int:
    peer = Peer(ae_title="SCP", host="127.0.0.1", port=scp.port, calling_ae_title="WETREAD")
    contexts = [(str(CTImageStorage), [str(ExplicitVRLittleEndian)])]
    with associate(peer, contexts) as association, Sender(association, 1.0) as sender:
        return sender.store(path)


def test_what_the_peer_does_not_take_as_it_is_is_not_begun(tmp_path: Path) -> None:
    (tmp_path / "odd.dcm").write_bytes(bytes(1000))
    with ScriptedSCP(Call.until_closed) as scp, pytest.raises(ValueError, match="no Part 10 file"):
        store(scp, tmp_path / "odd.dcm")
    assert scp.calls[0].others == [_RELEASE_RQ]


def test_nothing_is_left_running(files: list[Path]) -> None:
    before = threading.active_count()
    with ScriptedSCP(Kept()) as scp:
        sent(scp, files)
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)  # pynetdicom's threads end a moment after the release
    assert threading.active_count() == before


@pytest.fixture
def idle() -> Association:
    return Association(AE(), MODE_REQUESTOR)


def test_pynetdicom_is_as_it_was_read(idle: Association) -> None:
    """Where this fails, read delivery/lending.py and delivery/sender.py anew."""
    assert hasattr(idle, "_reactor_checkpoint")
    assert hasattr(idle.dul, "_idle_timer")
    assert "self._create_socket(" in inspect.getsource(AE.associate)
    assert "self.socket.ready" in inspect.getsource(DULServiceProvider._is_transport_event)
    assert ("Evt9", sending._ESTABLISHED) in TRANSITION_TABLE  # a P-DATA request may be made
