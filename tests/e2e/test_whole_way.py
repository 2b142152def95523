"""A console sends a study; the PACS gets a report and an overlay."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
)

from tests.postgres import PostgresServer
from tests.validators import dciodvfy, missing_tools, predecessors, rule_violations
from tools.node import Node
from tools.orthanc import Orthanc
from wetread.phantom import write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

DEFAULT_SET = {Comprehensive3DSRStorage: 1, BasicTextSRStorage: 1, SecondaryCaptureImageStorage: 1}


def console(node: Node, *paths: Path) -> None:
    """Send as a modality does, with DCMTK's storescu."""
    if shutil.which("storescu") is None:
        pytest.skip("DCMTK is not installed: apt-get install dcmtk")
    target = ["-aet", "CONSOLE", "-aec", node.ae_title, "127.0.0.1", str(node.port)]
    subprocess.run(["storescu", "-R", *target, *paths], check=True)


def classes(objects: list[Dataset]) -> dict[str, int]:
    return dict(Counter(each.SOPClassUID for each in objects))


def test_a_study_comes_back_as_report_text_and_overlay(
    node: Node, orthanc: Orthanc, tmp_path: Path
) -> None:
    sources = write_study(tmp_path / "study", seed=1, rows=800, finding="consolidation")
    console(node, *sources)
    (job,) = node.wait_for_jobs(studies=1)
    assert (job["state"], job["reason"], job["attempts"]) == ("done", None, 1)
    objects = orthanc.datasets()
    assert classes(objects) == DEFAULT_SET
    assert {each.StudyInstanceUID for each in objects} == {job["study_uid"]}
    for number, each in enumerate(objects):
        file = tmp_path / f"{number}.dcm"
        each.save_as(file, enforce_file_format=True)
        assert rule_violations(file, sources[0]) == []
        if not missing_tools("dciodvfy"):
            assert dciodvfy(file) == []

    assert node.json("jobs", "list")[0] == job
    shown = node.json("jobs", "show", str(job["id"]))
    assert {each["state"] for each in shown["deliveries"]} == {"sent"}
    assert node.json("studies", "show", job["study_uid"])["jobs"] == [job]

    # The same study again, and our own results coming back from the PACS: nothing new.
    console(node, *sources, *tmp_path.glob("?.dcm"))
    node.wait_for_jobs(studies=1)
    assert [each["id"] for each in node.json("jobs", "list")] == [job["id"]]
    assert len(orthanc.datasets()) == 3
    assert node.json("studies", "list")[0]["instances"] == 1

    # Its patient is named in no log line.
    log = node.log.read_text("utf-8")
    assert "SYNTHETIC" not in log
    assert "SYNTH-" not in log


def test_a_real_head_ct_comes_back_with_the_slices_to_look_at(
    node: Node, orthanc: Orthanc, real_head: Path, tmp_path: Path
) -> None:
    """With the shipped model: 28 slices, a tilted gantry."""
    sources = sorted(real_head.iterdir())
    console(node, *sources)
    (job,) = node.wait_for_jobs(studies=1)
    assert (job["model"], job["state"], job["reason"]) == ("head-ct-triage", "done", None)
    objects = orthanc.datasets()
    found = classes(objects)
    overlays = found.pop(SecondaryCaptureImageStorage)
    assert found == {Comprehensive3DSRStorage: 1, BasicTextSRStorage: 1}
    assert 1 <= overlays <= 3
    uids = {dcmread(each, stop_before_pixels=True).SOPInstanceUID for each in sources}
    for number, each in enumerate(objects):
        file = tmp_path / f"{number}.dcm"
        each.save_as(file, enforce_file_format=True)
        assert rule_violations(file, sources[0]) == []
        if each.SOPClassUID == SecondaryCaptureImageStorage:
            assert each.SourceImageSequence[0].ReferencedSOPInstanceUID in uids
        else:
            (study,) = each.CurrentRequestedProcedureEvidenceSequence
            (series,) = study.ReferencedSeriesSequence
            named = {each.ReferencedSOPInstanceUID for each in series.ReferencedSOPSequence}
            assert named <= uids


def test_several_images_make_one_report_and_a_late_one_makes_another(
    node: Node, orthanc: Orthanc, tmp_path: Path
) -> None:
    first, second, late = write_study(tmp_path / "study", seed=2, rows=500, images=3)
    console(node, first, second)
    (job,) = node.wait_for_jobs(studies=1)
    assert classes(orthanc.datasets()) == {**DEFAULT_SET, SecondaryCaptureImageStorage: 2}
    (report,) = (each for each in orthanc.datasets() if "Comprehensive" in each.SOPClassUID.name)
    report_uid = report.SOPInstanceUID
    assert str(report).count("Tracking Unique Identifier") == 2

    console(node, late)
    newest, oldest = node.wait_for_jobs(studies=1, jobs=2)
    newer = next(
        each
        for each in orthanc.datasets()
        if each.SOPClassUID == Comprehensive3DSRStorage and each.SOPInstanceUID != report_uid
    )
    replaced = predecessors(newer)
    assert report_uid in replaced
    assert len(replaced) == 2  # and the text report
    assert (oldest["id"], newest["state"]) == (job["id"], "done")
    assert classes(orthanc.datasets()) == {
        Comprehensive3DSRStorage: 2,
        BasicTextSRStorage: 2,
        SecondaryCaptureImageStorage: 3,  # the first two are what they were
    }


def test_of_a_study_that_grows_while_the_pacs_is_down_one_report_comes(
    node: Node, orthanc: Orthanc, tmp_path: Path
) -> None:
    first, late = write_study(tmp_path / "study", seed=2, rows=500, images=2)
    orthanc.stop()
    console(node, first)
    while not node.events("destination.away"):
        assert not node.events("delivery.sent")
    console(node, late)
    while len(node.events("job.done")) < 2:
        assert not node.events("delivery.sent")
    orthanc.start()
    newest, oldest = node.wait_for_jobs(studies=1, jobs=2)
    objects = orthanc.datasets()
    assert classes(objects) == {**DEFAULT_SET, SecondaryCaptureImageStorage: 2}
    assert [predecessors(each) for each in objects if each.Modality == "SR"] == [[], []]
    assert (oldest["undelivered"], newest["undelivered"]) == (0, 0)
    shown = node.cli("jobs", "show", str(oldest["id"])).stdout
    assert f"superseded by job {newest['id']}" in " ".join(shown.split())


def test_a_study_that_no_model_reads_says_why(node: Node, orthanc: Orthanc, tmp_path: Path) -> None:
    (path,) = write_study(tmp_path / "study", seed=3, rows=500)
    lateral = dcmread(path)
    lateral.ViewPosition = "LL"
    lateral.save_as(path)
    console(node, path)
    (job,) = node.wait_for_jobs(studies=1)
    assert job["state"] == "skipped"
    assert "view LL is not" in job["reason"]
    assert orthanc.datasets() == []


def test_a_pacs_that_is_down_gets_everything_when_it_returns(
    node: Node, orthanc: Orthanc, tmp_path: Path
) -> None:
    orthanc.stop()
    console(node, *write_study(tmp_path / "study", seed=4, rows=500))
    while not node.events("destination.away"):
        assert not node.events("delivery.sent")
    orthanc.start()
    (job,) = node.wait_for_jobs(studies=1)
    assert classes(orthanc.datasets()) == DEFAULT_SET
    shown = node.json("jobs", "show", str(job["id"]))
    assert {each["attempts"] for each in shown["deliveries"]} == {1}  # being away costs none
    assert node.events("destination.back")


def test_the_same_on_postgresql(orthanc: Orthanc, postgres: PostgresServer, tmp_path: Path) -> None:
    database = f'[database]\nurl = "{postgres.new_database()}"\n[worker]\nprocesses = 2\n'
    destination = ("pacs", orthanc.ae_title, orthanc.port)
    with Node(tmp_path / "node", [destination], database) as node:
        for seed in (6, 7):
            console(node, *write_study(tmp_path / str(seed), seed=seed, rows=500))
        jobs = node.wait_for_jobs(studies=2)
    assert [each["state"] for each in jobs] == ["done", "done"]
    assert len(orthanc.datasets()) == 6
    assert not list((tmp_path / "node").rglob("*.db"))
