"""How the association's thread and pynetdicom's take turns at the socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]
from pynetdicom.timer import Timer

from scp.upper_layer import ParkingDUL
from tests.rawpeer import N_ACTION_RQ, N_DELETE_RQ, normalized, pdu, pdv
from tests.receivable import COMMITMENT, ReceivingNode, prepared


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ReceivingNode]:
    """A receiver to which N-ACTION is known."""
    made = ReceivingNode(
        tmp_path,
        contexts=[build_context(StorageCommitmentPushModel, ExplicitVRLittleEndian)],
        handlers=[(evt.EVT_N_ACTION, lambda _event: (0x0000, None))],
    )
    with made.receiver:
        yield made
    made.database.close()


def test_a_thread_that_has_not_woken_up_yet_does_not_count_as_parked_again() -> None:
    """Else what it was given back, mostly a release request, stayed unread until a timeout."""
    dul = ParkingDUL.__new__(ParkingDUL)
    dul._turn, dul._idle_timer = threading.Condition(), Timer(60)
    dul._wanted = dul._parked = True
    dul.resume()
    assert not dul.park()


def test_an_association_that_was_aborted_ends_with_its_connection(node: ReceivingNode) -> None:
    """The upper layer reads nothing while a request is served: not so after an abort."""
    with node.peer(prepared(), COMMITMENT) as peer:
        request = pdu(pdv(3, 3, normalized(N_DELETE_RQ))) + pdu(pdv(3, 2, b""))
        peer.socket.sendall(request * 2)
        assert peer.read_pdu()[0] == 0x07
    server = node.receiver._server
    assert server is not None
    wait_until(lambda: not server.active_associations)  # or it would take 30 s


@pytest.mark.parametrize("more", [b"", b"\4\0\0\0\4\0", bytes(300_000)], ids=["", "half", "much"])
def test_what_comes_after_an_abort_is_not_waited_for(node: ReceivingNode, more: bytes) -> None:
    """Half a PDU held the place of the association for a minute."""
    with node.peer(prepared()) as peer:
        peer.socket.sendall(b"\x09\0\0\0\0\4" + more)
        assert peer.is_cut_off(10)
    server = node.receiver._server
    assert server is not None
    wait_until(lambda: not server.active_associations)


def test_requests_that_do_not_wait_for_answers_are_all_answered(node: ReceivingNode) -> None:
    with node.peer(prepared(), COMMITMENT) as peer:
        peer.socket.settimeout(10)
        request = pdu(pdv(3, 3, normalized(N_ACTION_RQ))) + pdu(pdv(3, 2, b""))
        peer.socket.sendall(request * 20 + peer.stream(prepared()))
        assert [peer.answer() for _ in range(21)] == [0] * 21
        peer.release()


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)
