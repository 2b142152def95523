"""What was lost, what came twice, what is stuck: seen in the archive, the table and the PACS."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
)
from sqlalchemy import Connection

from bench.chaos.studies import Study
from bench.receive_sender import Prepared, prepare
from db import stats
from db import studies as table
from db.archive import Archive
from db.engine import Database
from tools.orthanc import Orthanc
from wetread.config import load

_OVER_JOB = {"done", "skipped", "cancelled"}
_MOVING_JOB, _MOVING_DELIVERY = {"queued", "running"}, {"pending", "sending"}
_REPORTS = {Comprehensive3DSRStorage: "report", BasicTextSRStorage: "text"}


@dataclass
class Verdict:
    """Losses by kind, with whom they struck.

    Attributes
    ----------
    losses
        UIDs or job numbers by what happened to them; every kind that was looked for is there.
    results
        Objects of ours in the PACS.
    grown
        Studies that were read more than once, because they came in pieces.
    """

    losses: dict[str, list[str]] = field(default_factory=dict)
    results: int = 0
    grown: int = 0

    @property
    def total(self) -> int:
        """How many losses there are."""
        return sum(map(len, self.losses.values()))


class Books:
    """The table of a node, for reading."""

    def __init__(self, config: Path) -> None:
        settings = load(config)
        self.database = Database(settings.database.url)
        self.archive = Archive(settings.node.data_dir)

    def moving(self) -> int:
        """How many studies, jobs and deliveries have not come to an end."""
        with self.database.read() as connection:
            waiting = table.seconds_to_next(connection) is not None
            jobs = _jobs(connection)
        return (
            waiting
            + sum(each["state"] in _MOVING_JOB for each in jobs)
            + sum(one["state"] in _MOVING_DELIVERY for each in jobs for one in each["deliveries"])
        )


def judge(
    books: Books, orthanc: Orthanc, sent: Sequence[Study], acknowledged: Mapping[str, Prepared]
) -> Verdict:
    """Compare what was promised with what is there."""
    verdict = Verdict()
    with books.database.read() as connection:
        jobs = _jobs(connection)
        rows = {
            row.sop_instance_uid: row
            for study in sent
            for row in table.instances(connection, study.uid)
        }
    verdict.losses["acknowledged, but without a row"] = [u for u in acknowledged if u not in rows]
    verdict.losses["archived with other bytes"] = [
        uid
        for uid, row in rows.items()
        if not _is_archived(books.archive.full_path(row.path), acknowledged.get(uid))
    ]
    verdict.losses["study not read whole, or not said why not"] = [
        study.uid for study in sent if not _is_over(study, jobs)
    ]
    verdict.losses["job stuck or dead"] = [
        str(each["id"]) for each in jobs if each["state"] not in _OVER_JOB
    ]
    deliveries = [one for each in jobs for one in each["deliveries"]]
    verdict.losses["delivery stuck or dead"] = [
        str(each["id"]) for each in deliveries if each["state"] in _MOVING_DELIVERY | {"dead"}
    ]
    done = Counter(each["study_uid"] for each in jobs if each["state"] == "done")
    verdict.grown = sum(count > 1 for count in done.values())
    objects = orthanc.datasets()
    verdict.results = len(objects)
    _judge_results(verdict, sent, objects, deliveries)
    return verdict


def _judge_results(
    verdict: Verdict,
    sent: Sequence[Study],
    objects: Sequence[Dataset],
    deliveries: Sequence[dict[str, Any]],
) -> None:
    there = {str(each.SOPInstanceUID) for each in objects}
    promised = {each["sop_instance_uid"] for each in deliveries if each["state"] == "sent"}
    verdict.losses["sent, but not in the PACS"] = sorted(promised - there)
    verdict.losses["in the PACS, but not sent"] = sorted(there - promised)
    replaced = {uid for each in objects for uid in _predecessors(each)}
    standing = Counter(
        (str(each.StudyInstanceUID), _REPORTS[each.SOPClassUID])
        for each in objects
        if each.SOPClassUID in _REPORTS and each.SOPInstanceUID not in replaced
    )
    for kind in _REPORTS.values():
        wrong = [each.uid for each in sent if standing[each.uid, kind] != each.is_read]
        verdict.losses[f"study without a {kind} that stands, or with two"] = wrong
    pictured = Counter(
        str(each.SourceImageSequence[0].ReferencedSOPInstanceUID)
        for each in objects
        if each.SOPClassUID == SecondaryCaptureImageStorage
    )
    images = {
        one.sop_instance_uid
        for each in sent
        if each.kind.startswith("chest")
        for one in each.instances
    }
    verdict.losses["image without an overlay"] = sorted(images - pictured.keys())
    verdict.losses["image with two overlays"] = [u for u, count in pictured.items() if count > 1]


def _is_archived(path: Path, acknowledged: Prepared | None) -> bool:
    if not path.exists():
        return False
    if acknowledged is None:
        return True
    return _digest(prepare(path)) == _digest(acknowledged)


def _digest(prepared: Prepared) -> str:
    return hashlib.sha256(prepared.data_set).hexdigest()


def _is_over(study: Study, jobs: Sequence[dict[str, Any]]) -> bool:
    """Whether the last word about a study is about all of it."""
    of_study = [each for each in jobs if each["study_uid"] == study.uid]
    if not study.is_read:
        return any(each["state"] == "skipped" and each["reason"] for each in of_study)
    done = [each for each in of_study if each["state"] == "done"]
    if not done:
        return False
    last = max(done, key=lambda each: int(each["id"]))
    return set(last["inputs"]) == {each.sop_instance_uid for each in study.instances}


def _predecessors(dataset: Dataset) -> Iterator[str]:
    for study in dataset.get("PredecessorDocumentsSequence", []):
        for series in study.ReferencedSeriesSequence:
            for each in series.ReferencedSOPSequence:
                yield str(each.ReferencedSOPInstanceUID)


def _jobs(connection: Connection) -> list[dict[str, Any]]:
    return [stats.job(connection, each["id"]) for each in stats.jobs(connection, limit=1_000_000)]
