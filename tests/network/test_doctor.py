"""What ``wetread doctor`` finds on the network: a PACS, TLS, an audit server, and their faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    BasicTextSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from scp.tls import server_context
from tests.auditserver import AuditServer
from tests.certificates import Authority
from tests.delivering import ALL_FORMS, Pacs
from tests.doctoring import fault, look, of, settings, worries
from tests.guarded import Guarded
from tests.webserver import WebServer, reply
from tools.ports import free_port
from wetread.doctor.finding import Verdict


def destination(port: int, **given: object) -> str:
    values: dict[str, object] = {
        "name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port,
        "check_patient": "off", **given,
    }  # fmt: skip
    return "[[destination]]\n" + "".join(f"{k} = {_toml(v)}\n" for k, v in values.items())


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'


def looked(folder: Path, text: str, check: str = "destinations") -> list[Any]:
    return look(settings(folder, text), check)


@contextmanager
def pacs_with(*classes: str, tls: Any = None) -> Iterator[Pacs]:
    """A PACS that offers more than storage."""
    made = Pacs(ALL_FORMS)
    for each in classes:
        made.ae.add_supported_context(each)
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_FIND, lambda _event: iter(()))]
    made.ae.start_server(
        ("127.0.0.1", made.port), block=False, evt_handlers=handlers, ssl_context=tls
    )
    try:
        yield made
    finally:
        made.ae.shutdown()


def test_a_pacs_that_takes_all(tmp_path: Path) -> None:
    classes = (StorageCommitmentPushModel, StudyRootQueryRetrieveInformationModelFind)
    with pacs_with(*classes) as pacs:
        text = destination(pacs.port, commitment=True, check_patient="required")
        found = of(looked(tmp_path, text), "destinations")
    assert {each.verdict for each in found} == {Verdict.OK}
    assert [each.found for each in found] == [
        f"PACS@127.0.0.1:{pacs.port} answers C-ECHO",
        "sr: Comprehensive 3D SR (Explicit VR Little Endian)",
        "text: Basic Text SR (Explicit VR Little Endian)",
        "sc: Secondary Capture Image (Explicit VR Little Endian)",
        "offers storage commitment",
        "answers C-FIND, so the patient is checked before a result is sent",
    ]


def test_a_destination_that_is_away(tmp_path: Path) -> None:
    port = free_port()
    found, remedy = fault(looked(tmp_path, destination(port)))
    assert found == f"127.0.0.1 refuses connections to port {port}: nobody listens there"
    assert "correct port in the settings, or start the service there" in remedy


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    found, remedy = fault(looked(tmp_path, destination(104, host="nobody.invalid")))
    assert found == "nobody knows the name nobody.invalid"
    assert "DNS" in remedy


def test_a_destination_with_another_ae_title(tmp_path: Path) -> None:
    with Pacs().running() as pacs:
        found, remedy = fault(looked(tmp_path, destination(pacs.port, ae_title="OTHER")))
    assert found == "association rejected: it has another AE title"
    assert "correct ae_title: it does not go by OTHER" in remedy


def test_a_destination_that_does_not_know_us(tmp_path: Path) -> None:
    pacs = Pacs()
    pacs.ae.require_calling_aet = ["SOMEBODY"]
    with pacs.running():
        found, remedy = fault(looked(tmp_path, destination(pacs.port)))
    assert found == "association rejected: it does not know our AE title"
    assert "add our AE title, WETREAD" in remedy


def test_an_sr_class_that_is_refused_is_replaced(tmp_path: Path) -> None:
    classes = [ComprehensiveSRStorage, BasicTextSRStorage, SecondaryCaptureImageStorage]
    with Pacs(classes, [ImplicitVRLittleEndian]).running() as pacs:
        examined = looked(tmp_path, destination(pacs.port))
    (report,) = worries(examined, "destinations")
    assert report.found == (
        "sr: it refuses Comprehensive 3D SR, and gets Comprehensive SR instead "
        "(Implicit VR Little Endian)"
    )
    assert report.remedy
    shown = [each.found for each in of(examined, "destinations")]
    assert "text: Basic Text SR (Implicit VR Little Endian, encoded anew)" in shown


def test_no_sr_class_is_taken(tmp_path: Path) -> None:
    with Pacs([BasicTextSRStorage, SecondaryCaptureImageStorage]).running() as pacs:
        found, remedy = fault(looked(tmp_path, destination(pacs.port)))
    assert found == (
        "sr: it accepts no Comprehensive 3D SR, Comprehensive SR, Enhanced SR: each of these "
        "results will be refused"
    )
    assert "take the kind out of send" in remedy


def test_commitment_that_is_not_offered(tmp_path: Path) -> None:
    with Pacs().running() as pacs:
        found, remedy = fault(looked(tmp_path, destination(pacs.port, commitment=True)))
    assert "does not offer storage commitment" in found
    assert "commitment = false" in remedy


@pytest.mark.parametrize("mode", ["if-known", "required"])
def test_a_patient_who_cannot_be_checked(tmp_path: Path, mode: str) -> None:
    with Pacs().running() as pacs:
        examined = looked(tmp_path, destination(pacs.port, check_patient=mode))
    (found,) = [each for each in of(examined, "destinations") if "C-FIND" in each.found]
    expected = Verdict.FAILED if mode == "required" else Verdict.WARNING
    assert found.verdict is expected
    assert "check_patient" in found.remedy


def test_a_dicomweb_service_that_is_there_and_one_that_is_not(tmp_path: Path) -> None:
    web = '[[destination]]\nname = "web"\nurl = "{}"\n'
    with WebServer() as server:
        server.answer = lambda *_: reply([])
        (found,) = of(looked(tmp_path, web.format(server.url)), "destinations")
        assert found.verdict is Verdict.OK
    found_away, remedy = fault(looked(tmp_path, web.format(server.url)))
    assert found_away == "no connection"
    assert "correct url" in remedy


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if not Authority.installed():
        pytest.skip("openssl is not installed: apt-get install openssl")
    return Authority(tmp_path_factory.mktemp("ca"))


def test_tls_and_the_wrong_name(tmp_path: Path, authority: Authority) -> None:
    pair = authority.issue("pacs", "DNS:pacs.clinic.example")
    with pacs_with(tls=server_context(pair.certificate, pair.key)) as pacs:
        good = {"tls": True, "ca": authority.certificate, "server_name": "pacs.clinic.example"}
        (echo, *_) = of(looked(tmp_path, destination(pacs.port, **good)), "destinations")
        assert echo.verdict is Verdict.OK
        wrong = good | {"server_name": "other.clinic.example"}
        found, remedy = fault(looked(tmp_path, destination(pacs.port, **wrong)))
        assert found == "its TLS certificate does not bear the name other.clinic.example"
        assert "server_name" in remedy
        stranger = Authority(tmp_path / "elsewhere", "Another CA").certificate
        found, remedy = fault(looked(tmp_path, destination(pacs.port, **good | {"ca": stranger})))
        assert "its TLS certificate: " in found
        assert "let ca name the file of who signed it" in remedy


def test_a_plain_port_where_tls_is_wanted(tmp_path: Path, authority: Authority) -> None:
    with Pacs().running() as pacs:
        given = {"tls": True, "ca": authority.certificate}
        found, remedy = fault(looked(tmp_path, destination(pacs.port, **given)))
    assert "TLS" in found
    assert "see that this port speaks TLS" in remedy


def test_our_own_tls_and_a_certificate_renewed_since_the_start(
    tmp_path: Path, authority: Authority
) -> None:
    old, new = authority.issue("old"), authority.issue("new")
    text = '[tls]\ncertificate = "{0.certificate}"\nkey = "{0.key}"\nport = {1}\n'
    gate = _gate()
    with Guarded(gate, server_context(old.certificate, old.key)).running() as running:
        file = settings(tmp_path, text.format(old, running.port), host="127.0.0.1")
        (found,) = of(look(file, "receiver"), "receiver")
        assert found.verdict is Verdict.OK
        file = settings(tmp_path, text.format(new, running.port), host="127.0.0.1")
        shown, remedy = fault(look(file, "receiver"))
    assert shown == f"it shows another certificate than {new.certificate}"
    assert "start the roles again" in remedy


def _gate() -> Any:
    from scp.gate import PeerGate

    return PeerGate("WETREAD")


def test_a_closed_receiver_is_called_as_a_listed_peer(tmp_path: Path) -> None:
    from scp.gate import PeerGate, PeerRule

    rule = PeerRule(name="ct", ae_title="CT1", called=frozenset({"WETREAD"}))
    peer = '[[peer]]\nname = "ct"\nae_title = "CT1"\n'
    with Guarded(PeerGate("WETREAD", [rule])).running() as running:
        node = {"host": "127.0.0.1", "port": running.port}
        (found,) = of(look(settings(tmp_path, peer, **node), "receiver"), "receiver")
        assert found.found == "answers C-ECHO from CT1 as WETREAD"
        elsewhere = peer + 'networks = ["192.0.2.0/24"]\n'
        (found,) = of(look(settings(tmp_path, elsewhere, **node), "receiver"), "receiver")
        assert found.verdict is Verdict.SKIPPED
        assert "no [[peer]] may call from this host" in found.found
        renamed = peer.replace("CT1", "CT2")
        shown, remedy = fault(look(settings(tmp_path, renamed, **node), "receiver"))
        assert shown == "association rejected: it does not know our AE title"
        assert "start the roles again" in remedy


def test_peers_that_answer_and_that_do_not(tmp_path: Path) -> None:
    text = '[[peer]]\nname = "ct"\nae_title = "CT1"\nhost = "127.0.0.1"\nport = {}\n'
    ae = AE("CT1")
    ae.add_supported_context(Verification, ExplicitVRLittleEndian)
    ae.add_supported_context(Verification)
    port = free_port()
    ae.start_server(("127.0.0.1", port), block=False)
    try:
        (found,) = of(looked(tmp_path, text.format(port), "peers"), "peers")
    finally:
        ae.shutdown()
    assert found.verdict is Verdict.OK
    shown, _ = fault(looked(tmp_path, text.format(port), "peers"))
    assert "nobody listens there" in shown


def test_an_audit_server_and_one_that_is_away(tmp_path: Path, authority: Authority) -> None:
    pair = authority.issue("audit")
    text = '[audit]\nsyslog_host = "127.0.0.1"\nsyslog_port = {}\nca = "{}"\n'
    with AuditServer(pair) as server:
        file = settings(tmp_path, text.format(server.port, authority.certificate))
        assert {each.verdict for each in of(look(file, "audit"), "audit")} == {Verdict.OK}
        assert server.lines == []
        stranger = Authority(tmp_path / "elsewhere", "Another CA").certificate
        shown, remedy = fault(look(settings(tmp_path, text.format(server.port, stranger)), "audit"))
        assert "its TLS certificate: " in shown
        assert "ca" in remedy
    shown, remedy = fault(look(file, "audit"))
    assert "nobody listens there: messages wait on this host" in shown
    assert remedy
