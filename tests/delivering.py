"""What tests of the courier share: finished jobs, a PACS, and a courier at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Self

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from sqlalchemy import select

from db import dispatch, jobs, outbox, stats, studies
from db.archive import Archive
from db.engine import Database
from db.jobs import ModelRef
from db.outbox import StoredResult
from db.retry import RetryPolicy
from db.schema import Outage
from db.studies import StoredInstance
from delivery.associate import Peer
from delivery.courier import Courier, CourierSettings
from delivery.destination import Destination
from tests.mail import letters
from tools.ports import free_port

RETRY = RetryPolicy(attempts=2, first_seconds=0.0, longest_seconds=0.0)
REPORT_FORMS = [Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage]
ALL_FORMS = [*REPORT_FORMS, BasicTextSRStorage, SecondaryCaptureImageStorage]


class Pacs:
    """A storage SCP that accepts what it is told to, and answers what it is told to.

    Parameters
    ----------
    classes, syntaxes
        What it accepts.
    statuses
        Its answer by SOP class, where that is not Success.
    together
        So many C-STORE requests must be there at once before the first is answered.
    """

    def __init__(
        self,
        classes: Sequence[str] = ALL_FORMS,
        syntaxes: Sequence[str] = (ExplicitVRLittleEndian,),
        statuses: Mapping[str, int] | None = None,
        together: int = 1,
    ) -> None:
        self.received: list[Dataset] = []
        self.associations = 0
        self.released = 0
        self._statuses = statuses or {}
        self._together = threading.Barrier(together)
        self._met = together == 1
        self.ae = AE("PACS")
        self.ae.require_called_aet = True
        self.ae.add_supported_context(Verification)
        for each in classes:
            self.ae.add_supported_context(each, list(syntaxes))
        self.port = free_port()
        self.handlers: list[evt.EventHandlerType] = [
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_ACCEPTED, self._on_accepted),
            (evt.EVT_RELEASED, self._on_released),
        ]

    def _on_store(self, event: evt.Event) -> int:
        if not self._met:
            self._together.wait(20)
            self._met = True
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        status = self._statuses.get(dataset.SOPClassUID, 0)
        if status == 0:
            self.received.append(dataset)
        return status

    def _on_accepted(self, _event: evt.Event) -> None:
        self.associations += 1

    def _on_released(self, _event: evt.Event) -> None:
        self.released += 1

    @contextmanager
    def running(self) -> Iterator[Self]:
        address = ("127.0.0.1", self.port)
        self.ae.start_server(address, block=False, evt_handlers=self.handlers)
        try:
            yield self
        finally:
            self.ae.shutdown()

    @property
    def classes(self) -> list[str]:
        return [each.SOPClassUID for each in self.received]


def peer(port: int, title: str = "PACS") -> Peer:
    return Peer(ae_title=title, host="127.0.0.1", port=port, calling_ae_title="WETREAD")


def object_of(sop_class: str, uid: str, study_uid: str = "1.2.3", **given: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = uid
    dataset.StudyInstanceUID = study_uid
    dataset.SeriesInstanceUID = f"{uid}.9"
    dataset.Modality = "SR"
    for keyword, value in given.items():
        setattr(dataset, keyword, value)
    return dataset


def finished_job(
    database: Database,
    archive: Archive,
    study_uid: str,
    objects: Sequence[tuple[str, int, FileDataset]],
    destination: str = "pacs",
    priority: int = jobs.ROUTINE,
) -> int:
    """Read a study: its results, each with kind and rank, are due for a destination."""
    source = StoredInstance(
        sop_instance_uid=f"{study_uid}.4", study_uid=study_uid, series_uid=f"{study_uid}.1",
        sop_class_uid="1.2", transfer_syntax_uid=ExplicitVRLittleEndian, modality="DX", own=False,
        size=1, digest="0" * 64, path="archive/x.dcm", calling_ae="CONSOLE",
    )  # fmt: skip
    model = ModelRef("m", "1")
    with database.write() as connection:
        studies.record(connection, source, 0)
        jobs.enqueue(connection, study_uid, model, [source])
        (work,) = dispatch.claim(connection, "w", [model], 30)
    results = [_stored(archive, work.job_id, *each) for each in objects]
    with database.write() as connection:
        jobs.finish(connection, work, priority)
        outbox.post(connection, work.job_id, results, letters(destination, results))
    return work.job_id


def every_form(database: Database, archive: Archive) -> int:
    """Read a study: a report in three forms, a text report and an overlay; UIDs from 2.25.0 on."""
    forms = [("sr", rank, each) for rank, each in enumerate(REPORT_FORMS)]
    forms += [("text", 0, BasicTextSRStorage), ("sc", 0, SecondaryCaptureImageStorage)]
    objects = [
        (kind, rank, object_of(sop_class, f"2.25.{number}"))
        for number, (kind, rank, sop_class) in enumerate(forms)
    ]
    return finished_job(database, archive, "1.2.3", objects)


def report(
    database: Database,
    archive: Archive,
    study_uid: str,
    destination: str = "pacs",
    priority: int = jobs.ROUTINE,
    patient: Mapping[str, str] | None = None,
) -> int:
    """Read a study, of which there is one report; its UID is that of the study with a 7."""
    made = object_of(EnhancedSRStorage, f"{study_uid}.7", study_uid, **(patient or {}))
    return finished_job(database, archive, study_uid, [("sr", 0, made)], destination, priority)


def _stored(
    archive: Archive, job_id: int, kind: str, rank: int, dataset: FileDataset
) -> StoredResult:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    uid = str(dataset.SOPInstanceUID)
    path = archive.result_path(job_id, 1, uid)
    size = archive.write(path, [buffer.getvalue()])
    return StoredResult(
        kind=kind, number=1, rank=rank, style="", sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=uid, path=path, size=size,
    )  # fmt: skip


def deliveries(database: Database, job_id: int) -> dict[str, dict[str, Any]]:
    with database.read() as connection:
        return {each["kind"]: each for each in stats.deliveries(connection, job_id)}


def states(database: Database, job_id: int) -> set[str]:
    return {each["state"] for each in deliveries(database, job_id).values()}


def probes(database: Database) -> int:
    """How often a destination that is away was looked for in vain."""
    with database.read() as connection:
        return connection.execute(select(Outage.probes)).scalar() or 0


def courier_to(database: Database, *destinations: Destination, batch: int = 10) -> Courier:
    settings = CourierSettings(owner="c", lease_seconds=30, batch=batch, retry=RETRY)
    return Courier(settings, database, destinations)


@contextmanager
def at_work(courier: Courier) -> Iterator[threading.Event]:
    """The courier runs meanwhile."""
    stop = threading.Event()
    thread = threading.Thread(target=courier.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)
