"""The gate before real associations: each rejection as the peer sees it, and what is logged."""

from __future__ import annotations

import inspect
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    Verification,
)

from scp.access import Admitted, Caller
from scp.admission import caller_of
from scp.gate import PeerGate, PeerRule
from scp.passcode import hashed
from scp.rejection import Rejection
from tests.dicomfiles import as_file, image
from tests.guarded import Guarded

NO_STORAGE = (Verification, StorageCommitmentPushModel)
OFFERED = (*NO_STORAGE, CTImageStorage, MRImageStorage)
HERE = (ip_network("127.0.0.0/8"),)
PASSCODE = "open sesame"
HASH = hashed(PASSCODE.encode())


def rule(name: str = "ct", **given: Any) -> PeerRule:
    return PeerRule(
        **{"name": name, "ae_title": "CT1", "called": frozenset({"WETREAD"}), "networks": HERE}
        | given
    )


@pytest.fixture
def listen() -> Iterator[Callable[..., Guarded]]:
    """Start a server behind a gate with these rules."""
    with ExitStack() as stack:

        def start(*rules: PeerRule, gate: Any = None) -> Guarded:
            made = Guarded(gate or PeerGate("WETREAD", rules))
            return stack.enter_context(made.running())

        yield start


Listen = Callable[..., Guarded]


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """Everything that is logged."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def call(
    server: Guarded,
    calling: str = "CT1",
    called: str = "WETREAD",
    identity: UserIdentityNegotiation | None = None,
) -> Association:
    ae = AE(calling)
    ae.requested_contexts = []
    for each in OFFERED:
        ae.add_requested_context(each, ImplicitVRLittleEndian)
    items: list[Any] = [] if identity is None else [identity]
    return ae.associate("127.0.0.1", server.port, ae_title=called, ext_neg=items)


def user(name: str, passcode: str | None = None, answer: bool = False) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type = 1 if passcode is None else 2
    item.primary_field = name.encode()
    if passcode is not None:
        item.secondary_field = passcode.encode()
    item.positive_response_requested = answer
    return item


def token(kind: int) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type = kind
    item.primary_field = b"anna"
    return item


def answer(association: Association) -> tuple[int | None, int | None, int | None]:
    """Result, source and diagnostic of a rejection."""
    assert association.is_rejected
    primitive = association.acceptor.primitive
    assert primitive is not None
    return primitive.result, primitive.result_source, primitive.diagnostic


REJECTIONS: list[tuple[Rejection, dict[str, Any], dict[str, Any]]] = [
    (Rejection.CALLING_AE, {}, {"calling": "EVE"}),
    (Rejection.NETWORK, {"networks": (ip_network("10.0.0.0/8"),)}, {}),
    (Rejection.CALLED_AE, {}, {"called": "OTHER"}),
    (Rejection.CERTIFICATE, {"certificate": "ct1"}, {}),
    (Rejection.IDENTITY, {"user": "anna"}, {}),
    (Rejection.IDENTITY, {"user": "anna"}, {"identity": user("eve")}),
    (Rejection.IDENTITY, {"user": "anna", "passcode_hash": HASH}, {"identity": user("anna")}),
    (
        Rejection.IDENTITY,
        {"user": "anna", "passcode_hash": HASH},
        {"identity": user("anna", "a guess")},
    ),
    (Rejection.IDENTITY, {"user": "anna"}, {"identity": token(3)}),
    (Rejection.IDENTITY, {"user": "anna"}, {"identity": token(5)}),
]


@pytest.mark.parametrize(("expected", "given", "calling"), REJECTIONS)
def test_each_rejection(
    listen: Listen,
    logged: list[Any],
    expected: Rejection,
    given: dict[str, Any],
    calling: dict[str, Any],
) -> None:
    server = listen(rule(**given))
    assert answer(call(server, **calling)) == expected.value[:3]
    assert server.admitted() == [None]
    wait_until(lambda: server.rejected == 1)
    (line,) = [each for each in logged if each["event"] == "association.rejected"]
    assert line["reason"] == expected.reason
    assert (line["address"], line["log_level"]) == ("127.0.0.1", "warning")
    assert line["calling_ae"] == calling.get("calling", "CT1")
    assert line["called_ae"] == calling.get("called", "WETREAD")
    assert "guess" not in repr(logged)


def test_too_many_associations_and_none_forgotten(listen: Listen) -> None:
    server = listen(rule(associations=2), rule("mr", ae_title="MR1"))
    first, second = call(server), call(server)
    assert first.is_established
    assert second.is_established
    assert answer(call(server)) == Rejection.ASSOCIATIONS.value[:3]
    assert call(server, "MR1").is_established  # others are not concerned
    first.release()
    wait_until(lambda: not server.associations[0].is_alive())
    third = call(server)
    assert third.is_established
    assert answer(call(server)) == Rejection.ASSOCIATIONS.value[:3]
    for gone in (second, third):
        transport = gone.dul.socket
        assert transport is not None
        assert transport.socket is not None
        transport.socket.shutdown(socket.SHUT_RDWR)  # no release, no abort: the cable is cut
    wait_until(lambda: sum(each.is_alive() for each in server.associations) == 1)
    again = [call(server), call(server)]
    assert all(each.is_established for each in again)
    for each in again:
        each.abort()


def test_one_that_is_listed_comes_in_with_its_limits(listen: Listen) -> None:
    limits: dict[str, Any] = {"object_bytes": 5, "bytes_per_second": 7.0}
    server = listen(rule(**limits))
    association = call(server)
    assert association.send_c_echo().Status == 0
    association.release()
    assert server.admitted() == [Admitted(peer="ct", **limits)]


def test_without_rules_any_calling_title_comes_in_and_only_ours_is_called(listen: Listen) -> None:
    server = listen()
    assert call(server, "ANYBODY").is_established
    assert answer(call(server, called="OTHER")) == Rejection.CALLED_AE.value[:3]


def test_a_peer_may_call_another_title_where_the_settings_say_so(listen: Listen) -> None:
    server = listen(rule(called=frozenset({"OTHER"})))
    server.ae.require_called_aet = True  # the stock check must not stand in the way
    association = call(server, called="OTHER")
    assert association.is_established
    association.release()
    assert answer(call(server)) == Rejection.CALLED_AE.value[:3]


def test_only_the_classes_of_the_peer_are_accepted_and_all_are_answered(listen: Listen) -> None:
    server = listen(rule(sop_classes=frozenset({CTImageStorage})))
    association = call(server)
    accepted = {each.abstract_syntax for each in association.accepted_contexts}
    assert accepted == {*NO_STORAGE, CTImageStorage}
    (refused,) = association.rejected_contexts
    assert (refused.abstract_syntax, refused.result) == (MRImageStorage, 3)  # PS3.8 Table 9-18
    association.release()


def test_the_classes_of_one_peer_are_not_those_of_the_next(listen: Listen) -> None:
    server = listen(
        rule(sop_classes=frozenset({CTImageStorage})),
        rule("mr", ae_title="MR1", sop_classes=frozenset({MRImageStorage})),
    )
    for title, expected in (
        ("CT1", CTImageStorage),
        ("MR1", MRImageStorage),
        ("CT1", CTImageStorage),
    ):
        association = call(server, title)
        accepted = {each.abstract_syntax for each in association.accepted_contexts}
        assert accepted == {*NO_STORAGE, expected}
        association.release()


@pytest.mark.parametrize(
    ("given", "identity", "confirmed"),
    [
        ({"user": "anna"}, user("anna"), False),
        ({"user": "anna"}, user("anna", answer=True), True),
        ({"user": "anna"}, user("anna", "unasked", answer=True), True),
        ({"user": "anna", "passcode_hash": HASH}, user("anna", PASSCODE, answer=True), True),
        ({}, user("anybody", "unasked", answer=True), False),
        ({}, token(3), False),
    ],
)
def test_an_identity_is_confirmed_where_it_was_checked_and_that_is_asked_for(
    listen: Listen, given: dict[str, Any], identity: UserIdentityNegotiation, confirmed: bool
) -> None:
    association = call(listen(rule(**given)), identity=identity)
    assert association.is_established
    assert (association.acceptor.user_identity is not None) is confirmed
    association.release()


def test_a_passcode_is_nowhere_in_what_is_said(
    listen: Listen, logged: list[Any], caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    server = listen(rule(user="anna", passcode_hash=HASH))
    caplog.set_level(logging.INFO)
    call(server, identity=user("anna", PASSCODE)).release()
    call(server, identity=user("anna", f"{PASSCODE}!"))
    call(server, "EVE", identity=user("anna", PASSCODE))
    wait_until(lambda: server.rejected == 2)
    said = repr(logged) + caplog.text + "".join(capfd.readouterr())
    assert len(logged) == 2
    assert "sesame" not in said
    assert HASH not in said
    assert [caller_of(each).passcode for each in server.associations] == [b""] * 3
    assert [caller_of(each).user for each in server.associations] == ["anna"] * 3


class BrokenGate:
    def may_connect(self, _address: str) -> bool:
        return True

    def admit(self, _caller: Caller) -> Admitted:
        raise RuntimeError(f"a fault that quotes {PASSCODE}")


def test_a_gate_that_fails_stays_shut(listen: Listen, logged: list[Any]) -> None:
    assert answer(call(listen(gate=BrokenGate()))) == Rejection.FAULT.value[:3]
    assert [each["event"] for each in logged] == ["gate.trouble", "association.rejected"]
    assert "sesame" not in repr(logged)


def test_the_private_names_of_pynetdicom_are_where_they_were() -> None:
    """Fails when pynetdicom moves what the gate hooks in at: then nobody would be asked."""
    source = inspect.getsource(ACSE.negotiate_association)
    assert "self._negotiate_as_acceptor()" in source
    source = inspect.getsource(ACSE._negotiate_as_acceptor)
    for relied_on in (
        "self._check_user_identity()",
        "self.acceptor.supported_contexts",
        "assoc_rq.called_ae_title != self.acceptor.ae_title.strip()",
        "self.send_reject(*reject_assoc_rsd)\n"
        "            evt.trigger(self.assoc, evt.EVT_REJECTED, {})\n"
        "            self.assoc.kill()",
    ):
        assert relied_on in source, relied_on
    assert "self.acse.negotiate_association()" in inspect.getsource(Association.run_reactor)


needs_dcmtk = pytest.mark.skipif(
    shutil.which("storescu") is None, reason="DCMTK is not installed: apt-get install dcmtk"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    dataset: Dataset = image()
    dataset.SOPClassUID = CTImageStorage
    path = tmp_path / "image.dcm"
    path.write_bytes(as_file(dataset))
    return path


def dcmtk(program: str, server: Guarded, *arguments: str) -> str:
    done = subprocess.run(
        [program, *arguments[:-1], "127.0.0.1", str(server.port), *arguments[-1:]]
        if program == "storescu"
        else [program, *arguments, "127.0.0.1", str(server.port)],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    return done.stdout + done.stderr


@needs_dcmtk
def test_dcmtk_is_told_why(listen: Listen, file: Path) -> None:
    server = listen(rule(user="anna", passcode_hash=HASH, associations=1))
    ours = ("-aec", "WETREAD")
    assert "Calling AE Title Not Recognized" in dcmtk("echoscu", server, *ours, "-aet", "EVE")
    assert "Called AE Title Not Recognized" in dcmtk("echoscu", server, "-aec", "X", "-aet", "CT1")
    anna = (*ours, "-aet", "CT1", "-usr", "anna", "-rsp")
    assert "No Reason" in dcmtk("storescu", server, *anna, "-pwd", "a guess", str(file))
    assert server.stored == 0
    assert dcmtk("storescu", server, *anna, "-pwd", PASSCODE, str(file)) == ""
    assert server.stored == 1
    assert dcmtk("storescu", server, *ours, "-aet", "CT1", str(file)) != ""


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)
