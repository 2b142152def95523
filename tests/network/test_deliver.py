"""The courier against real peers: what arrives, in which form, and what failure looks like."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
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
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from db import jobs, outbox, stats, studies
from db.archive import Archive
from db.engine import Database
from db.jobs import ModelRef
from db.outbox import StoredResult
from db.retry import RetryPolicy
from db.studies import StoredInstance
from delivery.associate import NoAssociation, Peer
from delivery.courier import Courier, CourierSettings
from delivery.cstore import CStoreDestination
from delivery.send import echo, send
from tests.mail import letters
from tools.ports import free_port

RETRY = RetryPolicy(attempts=2, first_seconds=0.0, longest_seconds=0.0)
REPORT_FORMS = [Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage]
ALL_FORMS = [*REPORT_FORMS, BasicTextSRStorage, SecondaryCaptureImageStorage]


class Pacs:
    """A storage SCP that accepts what it is told to, and answers what it is told to."""

    def __init__(
        self,
        classes: Sequence[str] = ALL_FORMS,
        syntaxes: Sequence[str] = (ExplicitVRLittleEndian,),
        statuses: dict[str, int] | None = None,
    ) -> None:
        self.received: list[Dataset] = []
        self.associations = 0
        self._statuses = statuses or {}
        self._ae = AE("PACS")
        self._ae.require_called_aet = True
        self._ae.add_supported_context(Verification)
        for each in classes:
            self._ae.add_supported_context(each, list(syntaxes))
        self.port = free_port()

    def _on_store(self, event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        status = self._statuses.get(dataset.SOPClassUID, 0)
        if status == 0:
            self.received.append(dataset)
        return status

    def _on_accepted(self, _event: evt.Event) -> None:
        self.associations += 1

    @contextmanager
    def running(self) -> Iterator[Pacs]:
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_ACCEPTED, self._on_accepted),
        ]
        self._ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield self
        finally:
            self._ae.shutdown()

    @property
    def classes(self) -> list[str]:
        return [each.SOPClassUID for each in self.received]


def peer(port: int, title: str = "PACS") -> Peer:
    return Peer(ae_title=title, host="127.0.0.1", port=port, calling_ae_title="WETREAD")


def object_of(sop_class: str, number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = f"2.25.{number}"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.SeriesInstanceUID = f"2.25.9{number}"
    dataset.Modality = "SR"
    return dataset


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "data")


@pytest.fixture
def job_id(database: Database, archive: Archive) -> int:
    """A finished job: a report in three forms, a text report and an overlay."""
    source = StoredInstance(
        sop_instance_uid="1.2.3.4", study_uid="1.2.3", series_uid="1.2.3.1", sop_class_uid="1.2",
        transfer_syntax_uid=ExplicitVRLittleEndian, modality="DX", own=False, size=1,
        digest="0" * 64, path="archive/x.dcm", calling_ae="CONSOLE",
    )  # fmt: skip
    forms = [("sr", rank, each) for rank, each in enumerate(REPORT_FORMS)]
    forms += [("text", 0, BasicTextSRStorage), ("sc", 0, SecondaryCaptureImageStorage)]
    results = []
    for number, (kind, rank, sop_class) in enumerate(forms):
        dataset = object_of(sop_class, number)
        buffer = BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        path = archive.result_path(1, 1, dataset.SOPInstanceUID)
        size = archive.write(path, [buffer.getvalue()])
        results.append(
            StoredResult(
                kind=kind,
                number=1,
                rank=rank,
                style="",
                sop_class_uid=sop_class,
                sop_instance_uid=dataset.SOPInstanceUID,
                path=path,
                size=size,
            )
        )
    with database.write() as connection:
        studies.record(connection, source, 0)
        jobs.enqueue(connection, "1.2.3", ModelRef("m", "1"), [source])
        work = jobs.claim(connection, "w", [ModelRef("m", "1")], 30)
        assert work is not None
        jobs.finish(connection, work)
        outbox.post(connection, work.job_id, results, letters("pacs", results))
    return work.job_id


def deliver(database: Database, archive: Archive, port: int, title: str = "PACS") -> None:
    destination = CStoreDestination("pacs", peer(port, title), archive)
    settings = CourierSettings(owner="c", lease_seconds=30, batch=10, retry=RETRY)
    Courier(settings, database, [destination]).deliver_once(destination, threading.Event())


def deliveries(database: Database, job_id: int) -> dict[str, dict[str, object]]:
    with database.read() as connection:
        return {each["kind"]: each for each in stats.deliveries(connection, job_id)}


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
    assert {each["state"] for each in deliveries(database, job_id).values()} == {"sent"}


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


def test_nothing_listening_is_retried_with_the_reason(
    database: Database, archive: Archive, job_id: int
) -> None:
    port = free_port()
    deliver(database, archive, port)
    shown = deliveries(database, job_id)
    assert {each["state"] for each in shown.values()} == {"pending"}
    assert f"PACS@127.0.0.1:{port}: no connection" in str(shown["sr"]["reason"])
    with Pacs().running() as pacs:
        deliver(database, archive, pacs.port)
    assert {each["state"] for each in deliveries(database, job_id).values()} == {"sent"}


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
    class Stuck:
        name = "stuck"

        def deliver(self, parcels: Sequence[outbox.Parcel]) -> Iterator[object]:
            time.sleep(60)
            yield from ()

    stop = threading.Event()
    with Pacs().running() as pacs:
        settings = CourierSettings(owner="c", lease_seconds=30, batch=10, retry=RETRY)
        good = CStoreDestination("pacs", peer(pacs.port), archive)
        courier = Courier(settings, database, [Stuck(), good])  # type: ignore[list-item]
        thread = threading.Thread(target=courier.run, args=(stop,))
        thread.start()
        deadline = time.monotonic() + 20
        while len(pacs.received) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        stop.set()
        thread.join()


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
        object_of(sop_class, number).save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
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
    object_of(EnhancedSRStorage, 1).save_as(file, enforce_file_format=True)
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
