"""The courier on DICOMweb: what arrives, in which form, once, and what failure looks like."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EnhancedSRStorage,
)
from sqlalchemy import select

from db import jobs
from db.archive import Archive
from db.engine import Database
from db.schema import Outage
from delivery import dicomweb, stow
from delivery.dicomweb import Credentials, WebPeer
from delivery.patient import CheckPatient
from delivery.stow import StowDestination
from tests.delivering import (
    REPORT_FORMS,
    at_work,
    courier_to,
    deliveries,
    every_form,
    probes,
    report,
    states,
    wait_until,
)
from tests.webserver import Answer, Reply, Request, WebServer, failed, reply, stored, stores

STUDY = "1.2.4"
OURS = {"PatientID": "P1", "AccessionNumber": "A1", "IssuerOfPatientID": "HOSPITAL"}


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """SQLite alone: nothing here depends on the database."""
    return sqlite_database


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as made:
        yield made


@pytest.fixture
def job_id(database: Database, archive: Archive) -> int:
    """A finished job: a report in three forms, a text report and an overlay."""
    return every_form(database, archive)


def destination(
    server: WebServer,
    archive: Archive,
    check: CheckPatient = CheckPatient.OFF,
    credentials: Credentials | None = None,
) -> StowDestination:
    peer = WebPeer(url=server.url, credentials=credentials)
    return StowDestination("pacs", peer, archive, check_patient=check)


def deliver(
    database: Database,
    archive: Archive,
    server: WebServer,
    check: CheckPatient = CheckPatient.OFF,
) -> None:
    """Claim a batch and deliver it over a connection of its own."""
    made = destination(server, archive, check)
    (line,) = made.lines
    courier_to(database, made).deliver_once("pacs", line, threading.Event())
    line.close()


def shown(database: Database, job_id: int) -> dict[str, Any]:
    return deliveries(database, job_id)["sr"]


def outage(database: Database) -> Any:
    with database.read() as connection:
        return connection.execute(select(Outage.since, Outage.probes, Outage.reason)).one_or_none()


def refuses(*classes: str, reason: int = 0x0122) -> Answer:
    """Stores what is not of these classes."""

    def answer(request: Request, handler: BaseHTTPRequestHandler) -> Reply:
        for made in request.objects:
            if made.SOPClassUID in classes:
                return reply(failed(reason, made.SOPInstanceUID), 409)
        return stores(request, handler)

    return answer


def test_every_byte_arrives_over_one_connection(
    database: Database, archive: Archive, job_id: int, server: WebServer
) -> None:
    deliver(database, archive, server)
    assert states(database, job_id) == {"sent"}
    results = {each.read_bytes() for each in (archive.root / "results").rglob("*.dcm")}
    assert len(server.files) == 3
    assert set(server.files) <= results
    assert server.connections == 1


def test_the_first_form_that_is_taken_is_the_one(
    database: Database, archive: Archive, job_id: int, server: WebServer
) -> None:
    server.answer = refuses(Comprehensive3DSRStorage)
    deliver(database, archive, server)
    assert states(database, job_id) == {"sent"}
    taken = deliveries(database, job_id)["sr"]["sop_class_uid"]
    assert taken == REPORT_FORMS[1]


def test_what_is_taken_in_no_form_is_refused_and_its_siblings_go(
    database: Database, archive: Archive, job_id: int, server: WebServer
) -> None:
    server.answer = refuses(*REPORT_FORMS)
    deliver(database, archive, server)
    made = deliveries(database, job_id)
    assert {kind: each["state"] for kind, each in made.items()} == {
        "sr": "refused", "text": "sent", "sc": "sent",
    }  # fmt: skip
    assert made["sr"]["reason"] == f"status 0122 for SOP class {REPORT_FORMS[-1]}"


def test_what_is_too_large_is_refused_with_what_to_do(
    database: Database, archive: Archive, job_id: int, server: WebServer
) -> None:
    server.answer = lambda *_: Reply(413)
    deliver(database, archive, server)
    assert states(database, job_id) == {"refused"}
    assert len(server.requests) == 5  # a smaller form might have gone
    assert "413" in shown(database, job_id)["reason"]


@pytest.mark.parametrize(
    "answer",
    [
        reply(failed(0xA700, "2.25.0"), 409),
        Reply(500),
        Reply(502),
        Reply(415),
        Reply(200, b"<html>", "text/html"),
        reply(stored("2.25.9")),
    ],
    ids=["A700", "500", "502", "415", "html", "other"],
)
def test_what_may_be_the_object_s_fault_counts_against_it(
    database: Database, archive: Archive, server: WebServer, answer: Reply
) -> None:
    job_id = report(database, archive, STUDY)
    server.answer = lambda request, _: answer if request.files else Reply(405)
    deliver(database, archive, server)
    assert (shown(database, job_id)["state"], shown(database, job_id)["attempts"]) == ("pending", 1)
    deliver(database, archive, server)
    assert shown(database, job_id)["state"] == "dead"
    assert outage(database) is None


@pytest.mark.parametrize(
    ("status", "sent"),
    [(401, 0), (403, 1), (404, 1), (405, 1), (407, 0), (429, 0), (502, 0), (503, 0), (504, 0)],
)
def test_a_server_that_takes_nothing_from_us_is_away(
    database: Database, archive: Archive, job_id: int, server: WebServer, status: int, sent: int
) -> None:
    server.answer = lambda *_: Reply(status)
    deliver(database, archive, server)
    assert states(database, job_id) == {"pending"}
    assert {each["attempts"] for each in deliveries(database, job_id).values()} == {0}
    assert f"status {status}" in outage(database).reason
    assert len(server.requests) == sent


def test_a_server_that_fails_with_one_object_gets_the_others(
    database: Database, archive: Archive, job_id: int, server: WebServer
) -> None:
    """A proxy says 502 when a server dies of what it got, and when it is down."""

    def dies(request: Request, handler: BaseHTTPRequestHandler) -> Reply:
        if any(each.SOPClassUID == Comprehensive3DSRStorage for each in request.objects):
            return Reply(502)
        return stores(request, handler)

    server.answer = dies
    deliver(database, archive, server)
    made = deliveries(database, job_id)
    assert {kind: (each["state"], each["attempts"]) for kind, each in made.items()} == {
        "sr": ("pending", 1), "text": ("sent", 1), "sc": ("sent", 1),
    }  # fmt: skip

    def down(request: Request, _handler: BaseHTTPRequestHandler) -> Reply:
        server.answer = lambda *_: Reply(502)
        return Reply(204)

    later = [report(database, archive, each) for each in ("1.2.5", "1.2.6")]
    server.answer = down
    deliver(database, archive, server)
    assert shown(database, job_id)["attempts"] == 2
    assert [shown(database, each)["attempts"] for each in later] == [0, 0]


def test_a_server_that_is_away_is_asked_ever_more_seldom(
    database: Database, archive: Archive, job_id: int, server: WebServer
) -> None:
    """Each probe is let in by the network and then turned away: it has not come back for that."""
    server.answer = lambda request, _: Reply(403 if request.files else 501)
    with at_work(courier_to(database, destination(server, archive))):
        wait_until(lambda: outage(database) is not None)
        since = outage(database).since
        wait_until(lambda: probes(database) >= 1)
        assert outage(database).since == since
        server.answer = stores
        wait_until(lambda: states(database, job_id) == {"sent"})
    assert outage(database) is None


def test_a_result_arrives_once_after_the_server_was_down(
    database: Database, archive: Archive, job_id: int
) -> None:
    server = WebServer()
    made = destination(server, archive)
    with at_work(courier_to(database, made)):
        wait_until(lambda: probes(database) >= 1)
        urgent = report(database, archive, STUDY, priority=jobs.URGENT)
        with server:
            wait_until(lambda: states(database, job_id) | states(database, urgent) == {"sent"})
    uids = [each.SOPInstanceUID for request in server.requests for each in request.objects]
    assert uids[0] == f"{STUDY}.7"
    assert len(uids) == len(set(uids)) == 4
    assert {each["attempts"] for each in deliveries(database, job_id).values()} == {1}


def test_an_answer_that_is_lost_costs_no_second_copy(
    database: Database, archive: Archive, server: WebServer
) -> None:
    job_id = report(database, archive, STUDY)

    def loses(request: Request, handler: BaseHTTPRequestHandler) -> Reply | None:
        handler.close_connection = bool(request.files)
        return None if request.files else Reply(204)

    server.answer = loses
    deliver(database, archive, server)
    assert "the connection was lost" in shown(database, job_id)["reason"]
    server.answer = refuses(EnhancedSRStorage, reason=0x0111)  # it is there already
    deliver(database, archive, server)
    assert shown(database, job_id)["state"] == "sent"
    first, second = server.files
    assert first == second


def test_a_connection_is_kept_and_closed_when_it_is_idle(
    database: Database,
    archive: Archive,
    server: WebServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stow, "KEPT_SECONDS", 0.1)
    gone = threading.Event()

    def watches(request: Request, handler: BaseHTTPRequestHandler) -> Reply:
        server.answer = stores
        finish = handler.finish

        def finished() -> None:
            finish()
            gone.set()

        handler.finish = finished  # type: ignore[method-assign]
        return stores(request, handler)

    server.answer = watches
    with at_work(courier_to(database, destination(server, archive))):
        first = report(database, archive, STUDY)
        wait_until(lambda: states(database, first) == {"sent"})
        assert gone.wait(20)
        second = report(database, archive, "1.2.5")
        wait_until(lambda: states(database, second) == {"sent"})
    assert server.connections == 2


def test_a_secret_is_neither_in_the_log_nor_in_a_reason(
    database: Database,
    archive: Archive,
    job_id: int,
    server: WebServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "secret"
    file.write_text("open-sesame")
    made = destination(server, archive, credentials=Credentials(file))
    (line,) = made.lines
    server.answer = lambda request, _: Reply(401 if request.files else 200)
    courier_to(database, made).deliver_once("pacs", line, threading.Event())
    line.close()
    assert server.requests[0].headers["Authorization"] == "Bearer open-sesame"
    assert "status 401" in outage(database).reason
    said = "".join(capsys.readouterr())
    assert "destination.away" in said
    assert "open-sesame" not in said + outage(database).reason


def knows(*matches: Dataset) -> Answer:
    """Answers QIDO-RS with these, and stores."""

    def answer(request: Request, handler: BaseHTTPRequestHandler) -> Reply:
        return reply(list(matches)) if request.method == "GET" else stores(request, handler)

    return answer


def match(study_uid: str = STUDY, **given: str) -> Dataset:
    found = Dataset()
    found.StudyInstanceUID = study_uid
    for keyword, value in given.items():
        setattr(found, keyword, value)
    return found


@pytest.mark.parametrize(
    ("theirs", "what"),
    [
        ({"PatientID": "P2", "AccessionNumber": "A1"}, "patient ID"),
        ({"PatientID": "P1", "IssuerOfPatientID": "CLINIC"}, "issuer of the patient ID"),
        ({"PatientID": "P1", "AccessionNumber": "A2"}, "accession number"),
    ],
)
def test_it_is_held_while_the_server_has_another_patient_and_goes_when_it_agrees(
    database: Database, archive: Archive, server: WebServer, theirs: dict[str, str], what: str
) -> None:
    job_id = report(database, archive, STUDY, patient=OURS)
    server.answer = knows(match(**theirs))
    deliver(database, archive, server, CheckPatient.IF_KNOWN)
    assert shown(database, job_id)["state"] == "held"
    assert shown(database, job_id)["reason"] == f"the destination has another {what} for this study"
    assert server.files == []
    server.answer = knows(match(**OURS))
    deliver(database, archive, server, CheckPatient.IF_KNOWN)
    assert shown(database, job_id)["state"] == "sent"
    asked = server.requests[0].path
    assert f"StudyInstanceUID={STUDY}&" in asked
    assert "includefield=IssuerOfPatientID" in asked


@pytest.mark.parametrize(
    "answer",
    [
        Reply(204),
        Reply(200, b"[]"),
        reply([match()]),
        reply([match("1.2.5", PatientID="P2")]),
        Reply(404),
        Reply(401),
        Reply(500),
        Reply(200, b"<html>", "text/html"),
        Reply(200, b"[5]"),
    ],
    ids=["none", "empty", "bare", "other-study", "404", "401", "500", "html", "no-study"],
)
def test_what_says_nothing_of_another_patient_is_no_obstacle_unless_it_is_required(
    database: Database, archive: Archive, server: WebServer, answer: Reply
) -> None:
    job_id = report(database, archive, STUDY, patient=OURS)

    def answers(request: Request, handler: BaseHTTPRequestHandler) -> Reply:
        return answer if request.method == "GET" else stores(request, handler)

    server.answer = answers
    if answer.body != reply([match()]).body:
        deliver(database, archive, server, CheckPatient.REQUIRED)
        assert shown(database, job_id)["state"] == "held"
    deliver(database, archive, server, CheckPatient.IF_KNOWN)
    assert shown(database, job_id)["state"] == "sent"


def test_a_server_that_answers_no_query_is_not_asked_about_each_study(
    database: Database, archive: Archive, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicomweb, "ANSWER_SECONDS", 0.2)
    made = [report(database, archive, each, patient=OURS) for each in (STUDY, "1.2.5")]

    def answers(request: Request, handler: BaseHTTPRequestHandler) -> Reply | None:
        if request.method != "GET":
            return stores(request, handler)
        handler.rfile.read(1)  # until the client has enough of it
        return None

    server.answer = answers
    deliver(database, archive, server, CheckPatient.IF_KNOWN)
    assert {each for job in made for each in states(database, job)} == {"sent"}
    assert [each.method for each in server.requests] == ["GET", "POST", "POST"]
