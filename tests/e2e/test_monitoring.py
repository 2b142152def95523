"""What is told of a whole node while a study passes: numbers, and nothing of the patient."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from tools.node import Node
from tools.orthanc import Orthanc
from wetread.phantom import write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MARKED = {
    "PatientName": "Zyxwv^Marked",
    "PatientID": "MARK-4711",
    "AccessionNumber": "MARK-0815",
    "PatientBirthDate": "19210203",
    "StudyDescription": "marked description",
    "ReferringPhysicianName": "Referrer^Marked",
    "InstitutionName": "Marked Clinic",
}
SECRETS = ("zyxwv", "mark-", "19210203", "marked")


@pytest.fixture
def watched(orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node that says all it can, with a dashboard's address to ask."""
    monkeypatch.setenv("WETREAD_LOG__LEVEL", "debug")
    destination = ("pacs", orthanc.ae_title, orthanc.port)
    with Node(tmp_path / "node", [destination], web=True) as node:
        yield node


def marked(path: Path) -> Path:
    """The same image of somebody who would be recognised."""
    dataset: Dataset = dcmread(path)
    for keyword, value in MARKED.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


def told(node: Node) -> str:
    return requests.get(f"http://127.0.0.1:{node.web_port}/metrics", timeout=20).text


def values(text: str, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def counted(node: Node, name: str, *labels: str, value: float) -> str:
    """The metrics, once a counter has come so far."""
    while True:
        text = told(node)
        if values(text, name).get(labels, 0) >= value:
            return text
        time.sleep(0.5)


def broken(path: Path, target: Path) -> Path:
    """An image of another study of the same patient that cannot be read."""
    dataset = dcmread(path)
    dataset.StudyInstanceUID, dataset.SOPInstanceUID = UID("2.25.1"), UID("2.25.2")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PixelData = dataset.PixelData[:1000]
    dataset.save_as(target)
    return target


def test_studies_are_counted_over_a_power_cut_and_their_patient_is_nowhere(
    watched: Node, tmp_path: Path
) -> None:
    (path,) = write_study(tmp_path / "study", seed=1, rows=500)
    assert watched.send(marked(path)).returncode == 0
    (job,) = watched.wait_for_jobs(studies=1)
    assert job["state"] == "done"
    counted(watched, "wetread_deliveries_sent_total", "pacs", value=3)
    watched.cut_off()
    watched.start()
    assert watched.send(broken(path, tmp_path / "broken.dcm")).returncode == 0
    model = job["model"]
    counted(watched, "wetread_log_events_total", "job.failed", "error", "work", value=1)
    text = counted(watched, "wetread_jobs_ended_total", model, "dead", value=1)
    assert values(text, "wetread_instances_received_total") == {("DX",): 2}
    assert values(text, "wetread_jobs_ended_total")[(model, "done")] == 1
    assert values(text, "wetread_deliveries_sent_total") == {("pacs",): 3}
    assert sum(values(text, "wetread_answers_total").values()) == 1
    for stage in ("completion", "waiting", "reading"):
        assert values(text, f"wetread_{stage}_seconds_count") == {(model,): 1}
    assert values(text, "wetread_delivery_seconds_count") == {("pacs",): 3}
    assert values(text, "wetread_turnaround_seconds_count") == {(model,): 3}

    files = "\n".join(str(each) for each in watched.folder.rglob("*"))
    log = watched.log.read_text("utf-8")
    ready = requests.get(f"http://127.0.0.1:{watched.web_port}/readyz", timeout=20).text
    assert "instance.stored" in log
    for where, content in (("log", log), ("metrics", text), ("files", files), ("ready", ready)):
        for secret in SECRETS:
            assert secret not in content.lower(), f"{secret} in {where}"
    for event in watched.events():
        if event["event"].startswith("job."):
            assert event["job_id"]
            assert event["study_uid"]
        if event["event"].startswith("delivery."):
            assert event["destination"] == "pacs"
            assert event["study_uid"]
