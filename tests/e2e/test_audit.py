"""A node's audit trail: what a study on its way leaves, and what it never says."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from lxml import etree
from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.auditschema import alert, classes, event, messages, objects, outcome, participants
from tests.auditserver import AuditServer, wait_until
from tests.certificates import Authority
from tests.storescp import StoreScp
from tools.node import Node
from tools.ports import free_port
from wetread.phantom import write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[StoreScp]:
    """A PACS that takes text reports and overlays, and no other report."""
    if not StoreScp.installed():
        pytest.skip("DCMTK is not installed: apt-get install dcmtk")
    classes = ["BasicTextSRStorage", "SecondaryCaptureImageStorage"]
    with StoreScp(tmp_path / "pacs", classes) as running:
        yield running


def trail(node: Node) -> list[etree._Element]:
    file = node.folder / "wetread-data" / "audit" / "audit.xml"
    return messages(file.read_text("utf-8")) if file.exists() else []


def found(node: Node, name: str) -> list[etree._Element]:
    return [each for each in trail(node) if event(each) == name]


def knock(node: Node) -> None:
    """Call a node by a name that is not its own."""
    ae = AE("STRANGER")
    ae.add_requested_context(Verification)
    assert ae.associate("127.0.0.1", node.port, ae_title="SOMEBODY").is_rejected


@pytest.mark.parametrize("patient", ["none", "id"])
def test_what_a_study_leaves_in_the_trail(pacs: StoreScp, tmp_path: Path, patient: str) -> None:
    sources = write_study(tmp_path / "study", seed=1, rows=500)
    source = dcmread(sources[0])
    settings = f'[audit]\npatient = "{patient}"\nsource_id = "AI of ward 3"\n'
    destination = ("pacs", pacs.ae_title, pacs.port)
    with Node(tmp_path / "node", [destination], settings) as node:
        knock(node)
        assert node.send(*sources).returncode == 0
        (job,) = node.wait_for_jobs(studies=1)
        wait_until(lambda: len(found(node, "DICOM Instances Transferred")) >= 3)
        assert node.cli("jobs", "retry", str(job["id"])).returncode == 0

    assert [outcome(each) for each in found(node, "Application Start")] == ["0"] * 3
    assert [outcome(each) for each in found(node, "Application Stop")] == ["0"] * 3
    (rejected,) = found(node, "Node Authentication")
    assert ("AETITLES=STRANGER", None) in participants(rejected)
    assert objects(rejected) == {"Node ID": "127.0.0.1"}
    assert alert(rejected).startswith("association rejected: ")

    named = {"Study Instance UID": source.StudyInstanceUID}
    if patient == "id":
        named["Patient Number"] = source.PatientID
    begun = found(node, "Begin Transferring DICOM Instances")[0]  # retried by hand, again
    assert objects(begun) == named
    assert sum(classes(begun).values()) == 3
    to_us = ("AETITLES=WETREAD", "Destination Role ID")
    moved = found(node, "DICOM Instances Transferred")
    (received,) = (each for each in moved if participants(each)[1] == to_us)
    sent = [each for each in moved if each is not received]
    assert classes(received) == {source.SOPClassUID: 1}
    assert [outcome(each) for each in sent[:2]] == ["0", "8"]
    assert sum(classes(sent[0]).values()) == 2
    assert sum(classes(sent[1]).values()) == 1  # the report that the PACS does not take
    for each in (received, *sent):
        assert objects(each) == named
    assert participants(sent[0]) == [
        ("AETITLES=WETREAD", "Source Role ID"),
        ("AETITLES=LIMITED", "Destination Role ID"),
    ]
    (admin,) = found(node, "Use of Restricted Function")
    assert alert(admin) == f"job {job['id']} ({job['model']}) queued again"
    assert admin.findall("ActiveParticipant")[0].get("UserIsRequestor") == "true"

    written = (node.folder / "wetread-data" / "audit" / "audit.xml").read_text("utf-8")
    for part in str(source.PatientName).split("^"):
        assert part not in written
    assert (str(source.PatientID) in written) == (patient == "id")
    assert written.count('AuditSourceID="AI of ward 3"') == len(trail(node))


def test_who_has_no_certificate_and_who_comes_from_elsewhere_is_in_the_trail(
    tmp_path: Path,
) -> None:
    if not Authority.installed():
        pytest.skip("openssl is not installed")
    authority = Authority(tmp_path / "ca")
    pair, port = authority.issue("node"), free_port()
    settings = (
        f'[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\nport = {port}\n'
        f'ca = "{authority.certificate}"\nrequire = false\n'
        '[[peer]]\nname = "ct"\nae_title = "CT1"\nnetworks = ["127.0.0.1"]\n'
    )
    with Node(tmp_path / "node", extra=settings) as node:
        stranger = ssl.create_default_context(cafile=authority.certificate)
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            stranger.wrap_socket(plain, server_hostname="localhost") as secured,
            suppress(OSError),
        ):
            secured.recv(1)
        wait_until(lambda: len(found(node, "Node Authentication")) >= 1)
        with socket.create_connection(
            ("127.0.0.1", node.port), source_address=("127.0.0.2", 0)
        ) as elsewhere:
            assert elsewhere.recv(1) == b""
        wait_until(lambda: len(found(node, "Node Authentication")) >= 2)
        knock(node)
        wait_until(lambda: len(found(node, "Node Authentication")) >= 3)
    certificate, address, title = found(node, "Node Authentication")
    assert objects(certificate) == {"Node ID": "127.0.0.1"}
    assert alert(certificate) == "connection refused: peer did not return a certificate"
    assert objects(address) == {"Node ID": "127.0.0.2"}
    assert alert(address) == "connection refused: no peer has this address"
    assert alert(title).startswith("association rejected: ")


def test_the_trail_reaches_an_audit_server_that_was_away(pacs: StoreScp, tmp_path: Path) -> None:
    if not Authority.installed():
        pytest.skip("openssl is not installed")
    authority = Authority(tmp_path / "ca")
    server = AuditServer(authority.issue("audit"))
    settings = (
        '[audit]\nfile = ""\nsyslog_host = "localhost"\n'
        f'syslog_port = {server.port}\nca = "{authority.certificate}"\n'
    )
    node = Node(tmp_path / "node", [("pacs", pacs.ae_title, pacs.port)], settings)
    with node:
        knock(node)
        assert node.send(*write_study(tmp_path / "study", seed=2, rows=500)).returncode == 0
        (job,) = node.wait_for_jobs(studies=1)
        assert server.lines == []
        assert node.cli("jobs", "retry", str(job["id"])).returncode == 0
    spool = node.folder / "wetread-data" / "audit" / "spool"
    waiting = len(list(spool.glob("*.msg")))
    assert waiting >= 3 + 1 + 1 + 1 + 3
    with server:
        with node:
            server.wait(waiting + 3, seconds=30)
        wait_until(lambda: not list(spool.glob("*.msg")))
    told = [event(each) for each in map(_parsed, server.texts())]
    assert told[:3] == ["Application Start"] * 3
    for each in (
        "Node Authentication",
        "Begin Transferring DICOM Instances",
        "DICOM Instances Transferred",
        "Use of Restricted Function",
    ):
        assert each in told
    assert told.count("Application Start") == told.count("Application Stop") == 6
    assert not (node.folder / "wetread-data" / "audit" / "audit.xml").exists()


def _parsed(text: str) -> etree._Element:
    (message,) = messages(text)
    return message
