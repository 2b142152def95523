"""The courier against real peers: what arrives, in which form, and what failure looks like."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    CTImageStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt

from db import jobs, outage, outbox
from db.archive import Archive
from db.engine import Database
from delivery import cstore
from delivery.associate import NoAssociation
from delivery.cstore import CStoreDestination
from delivery.destination import Sent
from delivery.send import echo, send
from tests.delivering import (
    ALL_FORMS,
    RETRY,
    Pacs,
    at_work,
    courier_to,
    deliveries,
    every_form,
    object_of,
    peer,
    probes,
    report,
    states,
    wait_until,
)
from tools.ports import free_port


@pytest.fixture
def job_id(database: Database, archive: Archive) -> int:
    """A finished job: a report in three forms, a text report and an overlay."""
    return every_form(database, archive)


def deliver(database: Database, archive: Archive, port: int, title: str = "PACS") -> None:
    """Claim a batch and deliver it over an association of its own."""
    destination = CStoreDestination("pacs", peer(port, title), archive)
    (line,) = destination.lines
    courier_to(database, destination).deliver_once("pacs", line, threading.Event())
    line.close()


def test_all_results_go_over_one_association(
    database: Database, archive: Archive, job_id: int
) -> None:
    with Pacs().running() as pacs:
        deliver(database, archive, pacs.port)
    assert pacs.classes == [
        Comprehensive3DSRStorage,
        BasicTextSRStorage,
        SecondaryCaptureImageStorage,
    ]
    assert pacs.associations == 1
    assert states(database, job_id) == {"sent"}


@pytest.mark.parametrize(
    ("accepted", "form"),
    [
        (ALL_FORMS[1:], ComprehensiveSRStorage),
        (ALL_FORMS[2:], EnhancedSRStorage),
        (ALL_FORMS[3:], None),
    ],
)
def test_a_refused_class_falls_back(
    database: Database, archive: Archive, job_id: int, accepted: list[str], form: str | None
) -> None:
    with Pacs(accepted).running() as pacs:
        deliver(database, archive, pacs.port)
    shown = deliveries(database, job_id)
    assert shown["text"]["state"] == shown["sc"]["state"] == "sent"
    assert shown["sr"]["sop_class_uid"] == form
    if form is None:
        assert shown["sr"]["state"] == "refused"
        assert "accepts no form" in str(shown["sr"]["reason"])
    else:
        assert form in pacs.classes


def test_a_class_refused_by_status_falls_back_too(
    database: Database, archive: Archive, job_id: int
) -> None:
    statuses: dict[str, int] = {Comprehensive3DSRStorage: 0x0122, ComprehensiveSRStorage: 0xC000}
    with Pacs(statuses=statuses).running() as pacs:
        deliver(database, archive, pacs.port)
    assert deliveries(database, job_id)["sr"]["sop_class_uid"] == EnhancedSRStorage


def test_a_warning_counts_as_stored(database: Database, archive: Archive, job_id: int) -> None:
    with Pacs(statuses={Comprehensive3DSRStorage: 0xB000}).running() as pacs:
        deliver(database, archive, pacs.port)
    assert deliveries(database, job_id)["sr"]["state"] == "sent"


def test_a_full_pacs_is_tried_again_then_dead_with_the_status(
    database: Database, archive: Archive, job_id: int
) -> None:
    with Pacs(statuses={SecondaryCaptureImageStorage: 0xA700}).running() as pacs:
        deliver(database, archive, pacs.port)
        assert deliveries(database, job_id)["sc"]["state"] == "pending"
        deliver(database, archive, pacs.port)
    shown = deliveries(database, job_id)
    assert shown["sc"]["state"] == "dead"
    assert "A700" in str(shown["sc"]["reason"])
    assert shown["sr"]["state"] == shown["text"]["state"] == "sent"


def test_a_pacs_that_takes_only_implicit_vr_gets_it(
    database: Database, archive: Archive, job_id: int
) -> None:
    with Pacs(syntaxes=[ImplicitVRLittleEndian]).running() as pacs:
        deliver(database, archive, pacs.port)
    assert len(pacs.received) == 3
    assert {each.file_meta.TransferSyntaxUID for each in pacs.received} == {ImplicitVRLittleEndian}


def test_nothing_listening_is_told_with_the_reason(
    database: Database, archive: Archive, job_id: int
) -> None:
    port = free_port()
    deliver(database, archive, port)
    assert states(database, job_id) == {"pending"}
    assert f"PACS@127.0.0.1:{port}: no connection" in deliveries(database, job_id)["sr"]["reason"]
    with database.read() as connection:
        assert outage.find(connection, "pacs") == outage.Away(due=False)


@pytest.mark.parametrize("host", ["nobody.invalid", "no..name"])
def test_a_name_without_an_address_means_that_the_destination_is_away(
    database: Database, archive: Archive, job_id: int, host: str
) -> None:
    unknown = replace(peer(104), host=host)
    destination = CStoreDestination("pacs", unknown, archive)
    (line,) = destination.lines
    courier_to(database, destination).deliver_once("pacs", line, threading.Event())
    with database.read() as connection:
        assert outage.find(connection, "pacs") is not None
    assert states(database, job_id) == {"pending"}
    assert {each["attempts"] for each in deliveries(database, job_id).values()} == {0}


def test_a_rejected_call_says_why(database: Database, archive: Archive, job_id: int) -> None:
    with Pacs().running() as pacs:
        deliver(database, archive, pacs.port, title="WRONG")
    assert "it has another AE title" in str(deliveries(database, job_id)["sr"]["reason"])


def test_a_result_whose_file_is_gone_is_named(
    database: Database, archive: Archive, job_id: int
) -> None:
    for file in (archive.root / "results").rglob("2.25.4.dcm"):
        file.unlink()
    with Pacs().running() as pacs:
        deliver(database, archive, pacs.port)
    shown = deliveries(database, job_id)
    assert "cannot be read (FileNotFoundError)" in str(shown["sc"]["reason"])
    assert shown["sr"]["state"] == "sent"


def test_a_slow_destination_delays_no_other(
    database: Database, archive: Archive, job_id: int
) -> None:
    other = report(database, archive, "1.2.4", "silent")
    with socket.create_server(("127.0.0.1", 0)) as silent, Pacs().running() as pacs:
        courier = courier_to(
            database,
            CStoreDestination("silent", peer(silent.getsockname()[1]), archive),
            CStoreDestination("pacs", peer(pacs.port), archive),
        )
        with at_work(courier) as stop:
            called, _ = silent.accept()  # it is called first, and does not answer
            wait_until(lambda: len(pacs.received) == 3)
            stop.set()
            called.close()
    assert states(database, other) == {"pending"}


def test_an_association_is_kept_for_what_comes_next(
    database: Database, archive: Archive, job_id: int
) -> None:
    with Pacs().running() as pacs:
        destination = CStoreDestination("pacs", peer(pacs.port), archive)
        with at_work(courier_to(database, destination)):
            for count in (3, 4, 5):
                wait_until(lambda count=count: len(pacs.received) == count)  # type: ignore[misc]
                report(database, archive, f"1.2.4.{count}")
            wait_until(lambda: len(pacs.received) == 6)
        wait_until(lambda: pacs.released)
    assert pacs.associations == 1


def test_an_idle_association_is_released(
    database: Database, archive: Archive, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cstore, "KEPT_SECONDS", 0.1)
    with Pacs().running() as pacs:
        destination = CStoreDestination("pacs", peer(pacs.port), archive)
        with at_work(courier_to(database, destination)):
            wait_until(lambda: pacs.released == 1)
            report(database, archive, "1.2.4")
            wait_until(lambda: pacs.released == 2)
    assert len(pacs.received) == 4


def test_a_pacs_that_releases_or_ends_a_kept_association_is_called_again(
    database: Database, archive: Archive, job_id: int
) -> None:
    with Pacs().running() as pacs:
        destination = CStoreDestination("pacs", peer(pacs.port), archive)
        with at_work(courier_to(database, destination)):
            wait_until(lambda: states(database, job_id) == {"sent"})
            for each in pacs.ae.active_associations:
                each.abort()
            wait_until(lambda: not pacs.ae.active_associations)
            later = report(database, archive, "1.2.4")
            wait_until(lambda: states(database, later) == {"sent"})
    assert pacs.associations == 2


def test_a_class_that_was_not_proposed_gets_an_association_that_proposes_it(
    database: Database, archive: Archive, job_id: int
) -> None:
    with Pacs().running() as pacs:
        (line,) = CStoreDestination("pacs", peer(pacs.port), archive).lines
        with database.write() as connection:
            parcels = outbox.claim(connection, "pacs", "c", 30, 10, RETRY)
        assert all(isinstance(line.deliver(each), Sent) for each in [*parcels, *parcels])
        line.close()
    assert pacs.associations == 3


def test_a_destination_that_is_away_costs_no_attempt_and_gets_urgent_ones_first(
    database: Database, archive: Archive, job_id: int
) -> None:
    pacs = Pacs()
    destination = CStoreDestination("pacs", peer(pacs.port), archive, associations=2)
    with at_work(courier_to(database, destination)):
        wait_until(lambda: probes(database) >= 1)
        urgent = report(database, archive, "1.2.4", priority=jobs.URGENT)
        assert {each["attempts"] for each in deliveries(database, job_id).values()} <= {0, 1}
        with pacs.running():
            wait_until(lambda: states(database, job_id) | states(database, urgent) == {"sent"})
    assert pacs.received[0].StudyInstanceUID == "1.2.4"
    assert {each["attempts"] for each in deliveries(database, job_id).values()} == {1}
    with database.read() as connection:
        assert outage.find(connection, "pacs") is None


def test_associations_side_by_side_share_the_work(
    database: Database, archive: Archive, job_id: int
) -> None:
    with Pacs(together=2).running() as pacs:
        destination = CStoreDestination("pacs", peer(pacs.port), archive, associations=2)
        with at_work(courier_to(database, destination, batch=1)):
            wait_until(lambda: states(database, job_id) == {"sent"})
    assert pacs.associations >= 2
    assert len({each.SOPInstanceUID for each in pacs.received}) == len(pacs.received) == 3


def test_dcmtk_storescp_takes_our_results(
    database: Database, archive: Archive, job_id: int, tmp_path: Path
) -> None:
    if shutil.which("storescp") is None:
        pytest.skip("DCMTK is not installed: apt-get install dcmtk")
    port, inbox = free_port(), tmp_path / "inbox"
    inbox.mkdir()
    server = subprocess.Popen(["storescp", "-od", inbox, "-aet", "PACS", str(port)])
    try:
        wait_for_echo(port)
        deliver(database, archive, port)
    finally:
        server.terminate()
        server.wait()
    stored = sorted(dcmread(each).SOPClassUID for each in inbox.iterdir())
    assert stored == sorted(
        [Comprehensive3DSRStorage, BasicTextSRStorage, SecondaryCaptureImageStorage]
    )


def wait_for_echo(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            assert echo(peer(port)) == 0
        except NoAssociation:
            assert time.monotonic() < deadline, "the peer does not answer"
            time.sleep(0.05)
        else:
            return


def test_echo_names_a_peer_that_does_not_answer() -> None:
    with pytest.raises(NoAssociation, match="no connection"):
        echo(peer(free_port()))


def test_send_says_what_became_of_each_file(tmp_path: Path) -> None:
    for number, sop_class in enumerate([EnhancedSRStorage, CTImageStorage, BasicTextSRStorage]):
        object_of(sop_class, f"2.25.{number}").save_as(
            tmp_path / f"{number}.dcm", enforce_file_format=True
        )
    (tmp_path / "notes.txt").write_text("no DICOM")
    with Pacs(statuses={BasicTextSRStorage: 0xA700}).running() as pacs:
        outcomes = list(send(peer(pacs.port), [tmp_path, tmp_path / "missing.dcm"]))
    by_name = {each.path.name: each for each in outcomes}
    assert by_name["0.dcm"].stored
    assert by_name["1.dcm"].reason.startswith("not accepted")
    assert by_name["2.dcm"].status == 0xA700
    assert by_name["notes.txt"].reason.startswith("not a DICOM instance")
    assert by_name["missing.dcm"].reason == "cannot be read: No such file or directory"


def test_send_keeps_every_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.dcm"
    object_of(EnhancedSRStorage, "2.25.1").save_as(file, enforce_file_format=True)
    received: list[bytes] = []
    ae = AE("PACS")
    ae.add_supported_context(EnhancedSRStorage, ExplicitVRLittleEndian)

    def keep(event: evt.Event) -> int:
        received.append(event.request.DataSet.getvalue())  # type: ignore[union-attr]
        return 0

    port = free_port()
    ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    try:
        assert [each.stored for each in send(peer(port), [file])] == [True]
    finally:
        ae.shutdown()
    assert file.read_bytes().endswith(received[0])
    assert len(received[0]) > 60
