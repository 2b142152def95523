"""How fast a backlog goes out when a PACS is back, and whether urgent results go first.

``python -m bench.outage [--minutes 10] [--studies 1] [--associations 1]``

``wetread deliver`` runs as a process of its own, with its default settings. Every second so many
studies are read, each with a report of 20 kB and an overlay of 500 kB, and every tenth is urgent.
First Orthanc is up for a short while, then it is down for so many minutes, then it is started
again, and studies keep coming until the last result of the backlog is there. What is printed stands
in the outbox: when each delivery was answered with Success, in seconds from the PACS's return.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from sqlalchemy import insert, select

from db import migrate, outbox, overview
from db.archive import Archive
from db.engine import Database, now
from db.jobs import ROUTINE, URGENT
from db.outbox import Letter, StoredResult
from db.schema import AT_DESTINATION, Delivery, Job, JobState, Study
from tools.orthanc import Orthanc

_REPORT_BYTES, _OVERLAY_BYTES = 20_000, 500_000
_URGENT_EVERY = 10
_WARM_UP_SECONDS = 5.0
_LONGEST_SECONDS = 1200.0
_SETTINGS = """
[node]
data_dir = "data"
[log]
level = "warning"
[[destination]]
name = "pacs"
ae_title = "{title}"
host = "127.0.0.1"
port = {port}
associations = {associations}
"""


@dataclass(frozen=True)
class Arrived:
    """A delivery of the backlog: seconds from the PACS's return to Success."""

    urgent: bool
    seconds: float


class Reader(threading.Thread):
    """Reads studies at a steady rate, that is, puts their results into the outbox."""

    def __init__(self, database: Database, archive: Archive, per_second: float) -> None:
        super().__init__()
        self._database = database
        self._archive = archive
        self._pause = 1 / per_second
        self._over = threading.Event()

    def run(self) -> None:
        """Read until told to stop."""
        began, number = time.monotonic(), 0
        while not self._over.wait(max(0.0, began + number * self._pause - time.monotonic())):
            number += 1
            self._read(number)

    def stop(self) -> None:
        """Stop reading."""
        self._over.set()
        self.join()

    def _read(self, number: int) -> None:
        study_uid = str(generate_uid(prefix=None))
        objects = [
            ("sr", _object(study_uid, ComprehensiveSRStorage, _REPORT_BYTES)),
            ("sc", _object(study_uid, SecondaryCaptureImageStorage, _OVERLAY_BYTES)),
        ]
        results = [self._stored(number, kind, dataset) for kind, dataset in objects]
        letters = [
            Letter(destination="pacs", kind=each.kind, number=1, forms=(each.sop_instance_uid,))
            for each in results
        ]
        with self._database.write() as connection:
            moment = now(connection)
            connection.execute(
                insert(Study).values(
                    study_uid=study_uid, first_received_at=moment, last_received_at=moment
                )
            )
            job_id = connection.execute(
                insert(Job)
                .values(
                    study_uid=study_uid, model="bench", model_version="1", input_digest="",
                    state=JobState.DONE, priority=ROUTINE if number % _URGENT_EVERY else URGENT,
                    attempts=1, created_at=moment, run_at=moment,
                )
                .returning(Job.id)
            ).scalar_one()  # fmt: skip
            outbox.post(connection, job_id, results, letters)

    def _stored(self, number: int, kind: str, dataset: FileDataset) -> StoredResult:
        buffer = BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        path = self._archive.result_path(number, 1, dataset.SOPInstanceUID)
        size = self._archive.write(path, [buffer.getvalue()])
        return StoredResult(
            kind=kind, number=1, rank=0, style="", sop_class_uid=dataset.SOPClassUID,
            sop_instance_uid=dataset.SOPInstanceUID, path=path, size=size,
        )  # fmt: skip


def _object(study_uid: str, sop_class: str, size: int) -> FileDataset:
    """An object of about this size, as far as an archive that indexes it is concerned."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.StudyInstanceUID = study_uid
    dataset.SeriesInstanceUID = generate_uid(prefix=None)
    dataset.PatientID = "BENCH"
    dataset.Modality = "OT"
    dataset.add_new((0x0009, 0x0010), "LO", "WETREAD BENCH")
    dataset.add_new((0x0009, 0x1001), "OB", os.urandom(size))
    return dataset


@contextmanager
def courier(config: Path) -> Iterator[None]:
    """``wetread deliver``, from its start to its end."""
    command = [sys.executable, "-m", "wetread", "deliver", "-c", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def backlog(database: Database) -> list[int]:
    """Deliveries that are not at the PACS."""
    with database.read() as connection:
        query = select(Delivery.id).where(Delivery.state.not_in(AT_DESTINATION))
        return list(connection.execute(query).scalars())


def arrived(database: Database, returned_at: float, waiting: list[int]) -> list[Arrived]:
    """Those that have arrived of what waited when the PACS came back."""
    wanted = set(waiting)
    with database.read() as connection:
        rows = connection.execute(
            select(Delivery.id, Delivery.priority, Delivery.sent_at)
            .where(Delivery.state.in_(AT_DESTINATION))
            .order_by(Delivery.sent_at)
        ).all()
    return [
        Arrived(urgent=row.priority == URGENT, seconds=float(row.sent_at or 0) - returned_at)
        for row in rows
        if row.id in wanted
    ]


def run(folder: Path, minutes: float, per_second: float, associations: int) -> None:
    """Print what became of the backlog of one outage."""
    orthanc = Orthanc(folder / "orthanc")
    config = folder / "wetread.toml"
    config.write_text(
        _SETTINGS.format(title=orthanc.ae_title, port=orthanc.port, associations=associations)
    )
    database = Database(f"sqlite:///{folder / 'data' / 'wetread.db'}")
    migrate.upgrade(database)
    orthanc.start()
    with courier(config):
        reader = Reader(database, Archive(folder / "data"), per_second)
        reader.start()
        try:
            time.sleep(_WARM_UP_SECONDS)
            orthanc.stop()
            print(f"the PACS is down for {minutes:g} minutes, {per_second:g} studies/s", flush=True)
            time.sleep(minutes * 60)
            waiting = backlog(database)
            with database.read() as connection:
                (shown,) = overview.destinations(connection, ["pacs"])
            print(f"waiting: {len(waiting)}; {shown['probes']} probes in vain", flush=True)
            orthanc.start()
            with database.read() as connection:
                returned_at = now(connection)
            found = _wait(database, returned_at, waiting)
        finally:
            reader.stop()
            orthanc.stop()
    database.close()
    _print(found)


def _wait(database: Database, returned_at: float, waiting: list[int]) -> list[Arrived]:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while len(found := arrived(database, returned_at, waiting)) < len(waiting):
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(waiting) - len(found)} of {len(waiting)} did not arrive")
        time.sleep(0.5)
    return found


def _print(found: list[Arrived]) -> None:
    urgent = [each.seconds for each in found if each.urgent]
    routine = [each.seconds for each in found if not each.urgent]
    overtaken = sum(each < max(urgent) for each in routine)
    print(f"\n{'':<10}{'results':>9}{'first, s':>10}{'last, s':>10}")
    for name, seconds in (("urgent", urgent), ("routine", routine)):
        print(f"{name:<10}{len(seconds):>9}{min(seconds):>10.1f}{max(seconds):>10.1f}")
    print(f"routine results before the last urgent one: {overtaken}")


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--studies", type=float, default=1.0, help="per second")
    arguments.add_argument("--associations", type=int, default=1)
    chosen = arguments.parse_args()
    if not Orthanc.installed():
        raise SystemExit("Orthanc is not installed: apt-get install orthanc")
    with tempfile.TemporaryDirectory(prefix="wetread-bench-") as temporary:
        run(Path(temporary), chosen.minutes, chosen.studies, chosen.associations)


if __name__ == "__main__":
    main()
