"""Orthanc with its DICOMweb plugin as a destination."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import BasicTextSRStorage, EnhancedSRStorage, SecondaryCaptureImageStorage

from db.archive import Archive
from db.engine import Database
from delivery import stow
from delivery.dicomweb import WebPeer
from delivery.patient import CheckPatient
from delivery.stow import StowDestination
from tests.delivering import (
    at_work,
    courier_to,
    deliveries,
    finished_job,
    object_of,
    probes,
    report,
    states,
    wait_until,
)
from tools.node import Node
from tools.orthanc import Orthanc
from wetread.phantom import write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    if not Orthanc.installed() or not Orthanc.has_dicom_web():
        pytest.skip("Orthanc's plugin is not installed: apt-get install orthanc-dicomweb")
    with Orthanc(tmp_path / "orthanc", dicom_web=True) as server:
        yield server


def destination(orthanc: Orthanc, archive: Archive) -> StowDestination:
    peer = WebPeer(url=orthanc.dicom_web_url)
    return StowDestination("pacs", peer, archive, check_patient=CheckPatient.IF_KNOWN)


def test_results_arrive_byte_for_byte_and_once_though_orthanc_was_killed(
    database: Database, archive: Archive, orthanc: Orthanc
) -> None:
    classes = [EnhancedSRStorage, BasicTextSRStorage, SecondaryCaptureImageStorage]
    objects = [
        (kind, 0, object_of(each, f"2.25.{number}", "1.2.3", PatientID="P1"))
        for number, (kind, each) in enumerate(zip(("sr", "text", "sc"), classes, strict=True))
    ]
    before = finished_job(database, archive, "1.2.3", objects)
    with at_work(courier_to(database, destination(orthanc, archive))):
        wait_until(lambda: states(database, before) == {"sent"})
        orthanc.kill()
        after = report(database, archive, "1.2.4", patient={"PatientID": "P1"})
        wait_until(lambda: probes(database) >= 1)
        orthanc.start()
        wait_until(lambda: states(database, after) == {"sent"})
    results = [each.read_bytes() for each in (archive.root / "results").rglob("*.dcm")]
    assert sorted(orthanc.files()) == sorted(results)
    assert {each["attempts"] for each in deliveries(database, after).values()} == {1}


def test_nothing_is_sent_while_orthanc_has_another_patient(
    database: Database, archive: Archive, orthanc: Orthanc, tmp_path: Path
) -> None:
    corrected = {"PatientID": "P2", "PatientName": "Doe^Jane", "AccessionNumber": "A1"}
    file = tmp_path / "corrected.dcm"
    image = object_of(SecondaryCaptureImageStorage, "1.2.4.1", "1.2.4", **corrected)
    image.save_as(file, enforce_file_format=True)
    orthanc.store(file)
    job_id = report(database, archive, "1.2.4", patient=corrected | {"PatientID": "P1"})
    fitting = report(database, archive, "1.2.5", patient=corrected)
    with at_work(courier_to(database, destination(orthanc, archive))):
        wait_until(lambda: "held" in states(database, job_id))
        wait_until(lambda: states(database, fitting) == {"sent"})
        (study,) = orthanc.call("POST", "/tools/lookup", "1.2.4")
        assert len(orthanc.get(f"/studies/{study['ID']}/instances")) == 1
        orthanc.call("DELETE", f"/studies/{study['ID']}")
        wait_until(lambda: states(database, job_id) == {"sent"})
    assert {each.PatientID for each in orthanc.datasets()} == {"P1", "P2"}


def test_a_wrong_address_is_told_so(orthanc: Orthanc) -> None:
    assert stow.verify(WebPeer(url=orthanc.dicom_web_url)) == ""
    wrong = orthanc.dicom_web_url.replace("dicom-web", "elsewhere")
    assert stow.verify(WebPeer(url=wrong)).startswith(f"{wrong}: status 404: there is no such")


def test_a_node_delivers_to_a_url(orthanc: Orthanc, tmp_path: Path) -> None:
    """All kinds of results of a reading, by ``wetread up``, beside C-STORE to the same PACS."""
    kinds = '[destination.results]\nsend = ["sr", "text", "sc", "gsps", "kos", "seg", "pdf"]\n'
    web = f'[[destination]]\nname = "web"\nurl = "{orthanc.dicom_web_url}"\n{kinds}'
    with Node(tmp_path / "node", extra=web) as node:
        node.send(*write_study(tmp_path / "study", seed=5, rows=256, images=1))
        jobs = node.wait_for_jobs(1, seconds=90)
        shown = [node.json("jobs", "show", str(each["id"]))["deliveries"] for each in jobs]
        assert {each["state"] for made in shown for each in made} == {"sent"}
        assert len(orthanc.get("/instances")) == sum(map(len, shown))
        assert node.json("echo", "web")["ok"]
