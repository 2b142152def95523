"""A node without a network: database, archive and models in one folder, and what they made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from db import stats, studies
from db.archive import Archive
from db.engine import Database
from db.retry import RetryPolicy
from db.studies import StoredInstance
from inference.addressing import Profile
from inference.package import read_package
from inference.worker import Worker, WorkerSettings
from tests.dicomfiles import STUDY, as_file
from tests.tinymodel import write_package

TWICE = RetryPolicy(attempts=2, first_seconds=0.0, longest_seconds=0.0)


class Node:
    """A database, an archive and a model on one folder, with short cuts."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.archive = Archive(folder / "data")

    def worker(
        self,
        owner: str = "w1",
        *,
        package: Path | None = None,
        packages: Sequence[Path] = (),
        archive: Archive | None = None,
        lease: float = 30.0,
        batch: int = 0,
        urgent_callers: frozenset[str] = frozenset(),
        profiles: tuple[Profile, ...] = (Profile(destination="pacs"),),
    ) -> Worker:
        """A worker with the tiny model, or with the given one or ones."""
        tiny = self.folder / "models" / "tiny"
        if package is None and not packages and not tiny.exists():
            write_package(tiny.parent)
        settings = WorkerSettings(
            owner=owner,
            profiles=profiles,
            lease_seconds=lease,
            retry=TWICE,
            batch=batch,
            urgent_callers=urgent_callers,
        )
        read = [read_package(each) for each in packages or [package or tiny]]
        return Worker(settings, self.database, archive or self.archive, read)

    def receive(self, *datasets: Dataset, caller: str = "CONSOLE") -> None:
        """Store images as the receiver does; their study is due at once."""
        for each in datasets:
            self.receive_file(each, as_file(each), caller)

    def receive_file(self, header: Dataset, content: bytes | None, caller: str = "CONSOLE") -> None:
        """Record an instance whose file is these bytes, or is missing."""
        study, uid = str(header.StudyInstanceUID), str(header.SOPInstanceUID)
        path = self.archive.instance_path(study, uid)
        if content is not None:
            self.archive.write(path, [content])
        instance = StoredInstance(
            sop_instance_uid=uid,
            study_uid=study,
            series_uid=str(header.SeriesInstanceUID),
            sop_class_uid=str(header.SOPClassUID),
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            modality=str(header.Modality),
            own=False,
            size=len(content or b""),
            digest=hashlib.sha256(content or b"").hexdigest(),
            path=path,
            calling_ae=caller,
        )
        with self.database.write() as connection:
            studies.record(connection, instance, 0.0)

    def jobs(self, study: str = STUDY) -> list[dict[str, Any]]:
        """All that is known of a study's jobs, oldest first."""
        with self.database.read() as connection:
            rows = reversed(stats.jobs(connection, study_uid=study))
            return [stats.job(connection, row["id"]) for row in rows]

    def results(self, job: dict[str, Any]) -> list[Dataset]:
        """The objects of a job, in the order of the table."""
        return [dcmread(self.archive.full_path(each["path"])) for each in job["results"]]


class Meanwhile(Archive):
    """Lets something happen the moment the first result is about to be written."""

    def __init__(self, root: Path, event: Callable[[], object]) -> None:
        super().__init__(root)
        self._event: Callable[[], object] | None = event

    def write(self, path: str, chunks: Iterable[bytes | memoryview]) -> int:
        event, self._event = self._event, None
        if event is not None:
            event()
        return super().write(path, chunks)


def read_all(worker: Worker) -> None:
    """Route what is due and read until nothing is left."""
    worker.route_due()
    while worker.work_once():
        pass


def report_of(node: Node, job: dict[str, Any]) -> Dataset:
    """The measurement report of a job."""
    (found,) = (r for r in node.results(job) if r.SOPClassUID == Comprehensive3DSRStorage)
    return dcmread(BytesIO(as_file(found)))


def items(dataset: Dataset) -> list[Dataset]:
    children = list(dataset.get("ContentSequence", []))
    return children + [each for child in children for each in items(child)]


def named(dataset: Dataset, meaning: str) -> list[Dataset]:
    return [
        each
        for each in items(dataset)
        if "ConceptNameCodeSequence" in each
        and each.ConceptNameCodeSequence[0].CodeMeaning == meaning
    ]


def groups(report: Dataset) -> list[Dataset]:
    return named(report, "Measurement Group")


def image_groups(report: Dataset) -> list[Dataset]:
    """Those that tell of a whole image."""
    tracking = [(named(each, "Tracking Identifier")[0].TextValue, each) for each in groups(report)]
    return [group for name, group in tracking if name.startswith("AI image")]


def percents(report: Dataset) -> list[str]:
    found = named(report, "Probability of abnormality")
    return [str(each.MeasuredValueSequence[0].NumericValue) for each in found]
