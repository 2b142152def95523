"""Orthanc as a destination: it commits, and it says whose study it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from db.archive import Archive
from db.engine import Database
from delivery.asking import Asker, AskerSettings
from delivery.cstore import CStoreDestination
from delivery.patient import CheckPatient
from scp.commitment import CommitmentSettings, commitment_handlers
from scp.server import Receiver
from scp.settings import ReceiverSettings
from tests.delivering import (
    RETRY,
    at_work,
    courier_to,
    deliveries,
    object_of,
    peer,
    report,
    states,
    wait_until,
)
from tools.orthanc import Orthanc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def reported(database: Database, archive: Archive, orthanc: Orthanc) -> Iterator[None]:
    """A receiver, which Orthanc knows."""
    settings = CommitmentSettings(owner="receiver", known_titles=frozenset(), retry=RETRY)
    handlers, contexts = commitment_handlers(database, archive, settings)
    receiver = Receiver(
        ReceiverSettings(ae_title="WETREAD", host="127.0.0.1", port=0),
        database, archive, contexts=contexts, handlers=handlers,
    )  # fmt: skip
    with receiver:
        orthanc.call("PUT", "/modalities/wetread", ["WETREAD", "127.0.0.1", receiver.port])
        yield


def destination(orthanc: Orthanc, archive: Archive) -> CStoreDestination:
    return CStoreDestination("pacs", peer(orthanc.port, orthanc.ae_title), archive, commitment=True)


def asker(database: Database, orthanc: Orthanc) -> Asker:
    settings = AskerSettings(patience_seconds=60, retry=RETRY)
    return Asker(settings, database, {"pacs": peer(orthanc.port, orthanc.ae_title)})


@pytest.mark.usefixtures("reported")
def test_orthanc_commits_and_what_it_lost_is_sent_again(
    database: Database, archive: Archive, orthanc: Orthanc
) -> None:
    kept, lost = (report(database, archive, study) for study in ("1.2.4", "1.2.5"))
    courier = courier_to(database, destination(orthanc, archive))
    with at_work(courier):
        wait_until(lambda: states(database, kept) | states(database, lost) == {"sent"})
    (study,) = orthanc.call("POST", "/tools/lookup", "1.2.5")
    orthanc.call("DELETE", f"/studies/{study['ID']}")
    stop = threading.Event()
    asking = threading.Thread(target=asker(database, orthanc).run, args=(stop,))
    asking.start()
    try:
        wait_until(lambda: states(database, lost) == {"pending"})
        assert states(database, kept) == {"committed"}
        with at_work(courier):
            wait_until(lambda: states(database, lost) == {"committed"})
    finally:
        stop.set()
        asking.join()


def test_a_c_find_that_orthanc_does_not_allow_is_no_obstacle(
    database: Database, archive: Archive, orthanc: Orthanc
) -> None:
    """It does not know us, so it aborts when it is asked."""
    jobs = [report(database, archive, study) for study in ("1.2.4", "1.2.5")]
    with at_work(courier_to(database, destination(orthanc, archive))):
        wait_until(lambda: {each for job in jobs for each in states(database, job)} == {"sent"})
    assert {each["attempts"] for job in jobs for each in deliveries(database, job).values()} == {1}


def test_nothing_is_sent_while_orthanc_has_another_patient(
    database: Database, archive: Archive, orthanc: Orthanc, tmp_path: Path
) -> None:
    orthanc.call("PUT", "/modalities/wetread", ["WETREAD", "127.0.0.1", 104])
    corrected = {"PatientID": "P2", "PatientName": "Doe^Jane", "AccessionNumber": "A1"}
    file = tmp_path / "corrected.dcm"
    image = object_of(SecondaryCaptureImageStorage, "1.2.4.1", "1.2.4", **corrected)
    image.save_as(file, enforce_file_format=True)
    orthanc.store(file)
    job_id = report(database, archive, "1.2.4", patient=corrected | {"PatientID": "P1"})
    fitting = report(database, archive, "1.2.5", patient=corrected)
    pacs = CStoreDestination(
        "pacs", peer(orthanc.port, orthanc.ae_title), archive,
        check_patient=CheckPatient.IF_KNOWN,
    )  # fmt: skip
    with at_work(courier_to(database, pacs)):
        wait_until(lambda: "held" in states(database, job_id))
        wait_until(lambda: states(database, fitting) == {"sent"})
        (study,) = orthanc.call("POST", "/tools/lookup", "1.2.4")
        assert len(orthanc.get(f"/studies/{study['ID']}/instances")) == 1
        orthanc.call("DELETE", f"/studies/{study['ID']}")
        wait_until(lambda: states(database, job_id) == {"sent"})
    assert {each.PatientID for each in orthanc.datasets()} == {"P1", "P2"}
