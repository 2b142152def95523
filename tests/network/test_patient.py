"""A result goes to no study that the PACS has under another patient, whatever the PACS answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import evt

from db import outbox
from db.archive import Archive
from db.engine import Database
from delivery import associate
from delivery.cstore import CStoreDestination
from delivery.patient import FIND, CheckPatient, Identity, difference
from tests.delivering import Pacs, courier_to, deliveries, peer, report, wait_until

STUDY = "1.2.4"
OURS = {"PatientID": "P1", "AccessionNumber": "A1", "IssuerOfPatientID": "HOSPITAL"}
Answer = tuple[int, Dataset | None]


class AskedPacs(Pacs):
    """Answers C-FIND with what it is told to, and stores."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[Dataset] = []
        self.ae.add_supported_context(FIND, ImplicitVRLittleEndian)
        self.handlers.append((evt.EVT_C_FIND, self._on_find))

    def _on_find(self, event: evt.Event) -> Iterator[Answer]:
        self.asked.append(event.identifier)
        yield from self.answers


def match(study_uid: str = STUDY, **given: str) -> Answer:
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.StudyInstanceUID = study_uid
    for keyword, value in given.items():
        setattr(found, keyword, value)
    return 0xFF00, found


def shown(database: Database, job_id: int) -> dict[str, Any]:
    return deliveries(database, job_id)["sr"]


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """SQLite alone: nothing here depends on the database."""
    return sqlite_database


@pytest.fixture
def job_id(database: Database, archive: Archive) -> int:
    return report(database, archive, STUDY, patient=OURS)


def deliver(
    database: Database, archive: Archive, pacs: Pacs, mode: CheckPatient = CheckPatient.IF_KNOWN
) -> None:
    destination = CStoreDestination("pacs", peer(pacs.port), archive, check_patient=mode)
    (line,) = destination.lines
    courier_to(database, destination).deliver_once("pacs", line, threading.Event())
    line.close()


@pytest.mark.parametrize(
    ("theirs", "what"),
    [
        ({"PatientID": "P2", "AccessionNumber": "A1"}, "patient ID"),
        ({"PatientID": "P1", "IssuerOfPatientID": "CLINIC"}, "issuer of the patient ID"),
        ({"PatientID": "P1", "AccessionNumber": "A2"}, "accession number"),
    ],
)
def test_it_is_held_while_the_pacs_has_another_patient_and_goes_when_it_agrees(
    database: Database, archive: Archive, job_id: int, theirs: dict[str, str], what: str
) -> None:
    pacs = AskedPacs([match(**theirs)])
    with pacs.running():
        for _ in range(3):  # more often than a failure would be tried
            deliver(database, archive, pacs)
            assert shown(database, job_id)["state"] == "held"
        reason = shown(database, job_id)["reason"]
        assert reason == f"the destination has another {what} for this study"
        assert pacs.received == []
        pacs.answers = [match(**OURS)]
        deliver(database, archive, pacs)
    assert shown(database, job_id)["state"] == "sent"
    assert pacs.asked[0].StudyInstanceUID == STUDY


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [match()],
        [match(PatientID="P1 ", AccessionNumber="")],
        [match(study_uid="1.2.5", PatientID="P2")],
        [match(**OURS), match(**OURS)],
        [(0xA700, None)],
        [(0xC001, None)],
        [(0x0122, None)],
    ],
    ids=["none", "bare", "padded", "other-study", "twice", "A700", "C001", "0122"],
)
def test_what_says_nothing_of_another_patient_is_no_obstacle(
    database: Database, archive: Archive, job_id: int, answers: list[Answer]
) -> None:
    with AskedPacs(answers).running() as pacs:
        deliver(database, archive, pacs)
    assert shown(database, job_id)["state"] == "sent"


def test_one_of_several_matches_that_differs_is_enough(
    database: Database, archive: Archive, job_id: int
) -> None:
    with AskedPacs([match(**OURS), match(PatientID="P2")]).running() as pacs:
        deliver(database, archive, pacs)
    assert shown(database, job_id)["state"] == "held"


def test_a_pacs_without_c_find_is_no_obstacle_unless_the_check_is_required(
    database: Database, archive: Archive, job_id: int
) -> None:
    with Pacs().running() as pacs:
        deliver(database, archive, pacs, CheckPatient.REQUIRED)
        assert shown(database, job_id)["state"] == "held"
        assert "does not offer C-FIND" in shown(database, job_id)["reason"]
        deliver(database, archive, pacs)
    assert shown(database, job_id)["state"] == "sent"


def test_a_study_must_be_known_where_that_is_required(
    database: Database, archive: Archive, job_id: int
) -> None:
    with AskedPacs([]).running() as pacs:
        deliver(database, archive, pacs, CheckPatient.REQUIRED)
        assert shown(database, job_id)["reason"] == "the destination does not know this study"
        pacs.answers = [match(**OURS)]
        deliver(database, archive, pacs, CheckPatient.REQUIRED)
    assert shown(database, job_id)["state"] == "sent"


def test_nothing_is_asked_where_it_is_off(
    database: Database, archive: Archive, job_id: int
) -> None:
    with AskedPacs([match(PatientID="P2")]).running() as pacs:
        deliver(database, archive, pacs, CheckPatient.OFF)
    assert shown(database, job_id)["state"] == "sent"
    assert pacs.asked == []


def test_a_pacs_that_never_answers_c_find_costs_one_association_and_gets_the_result(
    database: Database, archive: Archive, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(associate, "ANSWER_SECONDS", 0.5)
    over = threading.Event()

    class Silent(AskedPacs):
        def _on_find(self, event: evt.Event) -> Iterator[Answer]:
            over.wait(20)
            yield from super()._on_find(event)

    later = report(database, archive, "1.2.5", patient=OURS)
    with Silent([]).running() as pacs:
        deliver(database, archive, pacs)
        over.set()
        wait_until(lambda: len(pacs.received) == 2)
    assert shown(database, job_id)["state"] == shown(database, later)["state"] == "sent"
    assert pacs.associations == 2


def test_an_endless_answer_is_cut_off(database: Database, archive: Archive, job_id: int) -> None:
    with AskedPacs([match(PatientID="P1")] * 5000).running() as pacs:
        deliver(database, archive, pacs)
    assert shown(database, job_id)["state"] == "sent"


def test_what_somebody_has_decided_on_is_sent_though_the_pacs_disagrees(
    database: Database, archive: Archive, job_id: int
) -> None:
    with AskedPacs([match(PatientID="P2")]).running() as pacs:
        deliver(database, archive, pacs)
        with database.write() as connection:
            assert outbox.retry(connection, job_id, unchecked=True) == 1
        deliver(database, archive, pacs, CheckPatient.REQUIRED)
    assert shown(database, job_id)["state"] == "sent"
    assert len(pacs.asked) == 1


def test_a_held_delivery_is_looked_at_again_at_once_by_hand(
    database: Database, archive: Archive, job_id: int
) -> None:
    with AskedPacs([match(PatientID="P2")]).running() as pacs:
        deliver(database, archive, pacs)
        with database.write() as connection:
            assert outbox.retry(connection, job_id) == 1
        assert shown(database, job_id)["state"] == "pending"
        deliver(database, archive, pacs)
    assert shown(database, job_id)["state"] == "held"  # by hand, too, no wrong patient
    assert pacs.received == []


def test_a_patient_that_was_found_since_is_another_one() -> None:
    ours = Identity("1.2", "", "", "")
    assert difference(ours, [Identity("1.2", "P1", "", "A1")]) == "patient ID"
    assert difference(ours, [Identity("1.2", "", "", "A1")]) == ""
