"""The worker with models of every kind: scores, grades, boxes, masks, and series of slices."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import BasicTextSRStorage, SecondaryCaptureImageStorage

from db import jobs, outbox
from db.engine import Database
from tests import validators
from tests.ctfiles import between, head_series, localizer
from tests.dicomfiles import PATIENT, PATIENT_ID, STUDY, as_file, change, image
from tests.tinymodel import (
    CLASSIFICATION,
    DETECTION,
    GRADE,
    SCORE,
    SEGMENTATION,
    URGENCY,
    write_package,
    write_series_package,
)
from tests.worknode import TWICE, Node, items, read_all, report_of

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    return Node(database, tmp_path)


def quarter() -> NDArray[np.uint16]:
    """A picture whose upper right quarter is bright."""
    values = np.full((64, 64), 100, np.uint16)
    values[:32, 32:] = 3900
    return values


def text_of(node: Node) -> str:
    """All that the text report of the only job says."""
    (job,) = node.jobs()
    (found,) = (each for each in node.results(job) if each.SOPClassUID == BasicTextSRStorage)
    return "\n".join(str(each.TextValue) for each in items(found) if "TextValue" in each)


def meanings(dataset: Dataset) -> set[str]:
    """Every code meaning in a data set."""
    found: set[str] = set()
    for element in dataset.iterall():
        if element.keyword == "CodeMeaning":
            found.add(str(element.value))
    return found


def check_objects(node: Node, source: Dataset, folder: Path) -> dict[str, int]:
    """Check every object of the only job, and count their classes."""
    (job,) = node.jobs()
    assert (job["state"], job["reason"]) == ("done", None)
    source_file = folder / "source.dcm"
    source_file.write_bytes(as_file(source))
    for row in job["results"]:
        path = node.archive.full_path(row["path"])
        assert validators.rule_violations(path, source_file) == []
        if not validators.missing_tools("dciodvfy"):
            assert validators.dciodvfy(path) == []
    return dict(Counter(str(each.SOPClassUID.name) for each in node.results(job)))


KINDS: dict[str, tuple[str, set[str], tuple[str, ...]]] = {
    "score": (SCORE, {"Extent"}, ("Extent",)),
    "grade": (GRADE, {"Brightness", "Dark"}, ("Brightness",)),
    "boxes": (DETECTION, {"Spot", "Image Region"}, ("spot",)),
    "mask": (SEGMENTATION, {"Bright part"}, ("bright part",)),
    "everything": (
        CLASSIFICATION + SCORE + GRADE + DETECTION + SEGMENTATION + URGENCY,
        {"Extent", "Brightness", "Spot", "Bright part"},
        ("Extent",),
    ),
}


@ON_SQLITE
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_output_reaches_report_text_and_overlay(
    node: Node, tmp_path: Path, kind: str
) -> None:
    sections, coded, written = KINDS[kind]
    source = image(quarter())
    node.receive(source)
    read_all(node.worker(package=write_package(tmp_path / "models", sections=sections)))
    classes = check_objects(node, source, tmp_path)
    assert classes["Secondary Capture Image Storage"] == 1
    assert coded <= meanings(report_of(node, node.jobs()[0]))
    text = text_of(node).lower()
    for each in written:
        assert each.lower() in text


@ON_SQLITE
def test_a_detector_that_finds_nothing_says_normal(node: Node, tmp_path: Path) -> None:
    source = image(np.full((64, 64), 100, np.uint16) + np.eye(64, dtype=np.uint16))
    node.receive(source)
    read_all(node.worker(package=write_package(tmp_path / "models", sections=DETECTION)))
    check_objects(node, source, tmp_path)
    assert "Normal" in meanings(report_of(node, node.jobs()[0]))


@ON_SQLITE
def test_a_mask_without_pixels_makes_a_report_all_the_same(node: Node, tmp_path: Path) -> None:
    source = image(np.full((64, 64), 100, np.uint16) + np.eye(64, dtype=np.uint16))
    node.receive(source)
    read_all(node.worker(package=write_package(tmp_path / "models", sections=SEGMENTATION)))
    check_objects(node, source, tmp_path)


# -- series --


def read_study(node: Node, *slices: Dataset) -> None:
    folder = node.folder / "models" / "tiny-ct"
    if not folder.exists():
        write_series_package(folder.parent)
    node.receive(*slices)
    read_all(node.worker(package=folder))


def overlays(node: Node) -> list[Dataset]:
    (job,) = node.jobs()
    captures = [e for e in node.results(job) if e.SOPClassUID == SecondaryCaptureImageStorage]
    return sorted(captures, key=lambda each: int(each.InstanceNumber))


def test_a_series_is_one_job_over_its_slices_and_nothing_else(node: Node, tmp_path: Path) -> None:
    slices = head_series(series=2, bleed=between(4, 16))
    bone = head_series(series=3, ConvolutionKernel="H60s", bleed=between(4, 16))
    read_study(node, localizer(), *bone, *slices)
    (job,) = node.jobs()
    assert job["inputs"] == sorted(f"{STUDY}.2.{number}" for number in range(1, 14))
    classes = check_objects(node, slices[0], tmp_path)
    assert classes["Secondary Capture Image Storage"] == 3
    named = [each.SourceImageSequence[0].ReferencedSOPInstanceUID for each in overlays(node)]
    assert named == [f"{STUDY}.2.{number}" for number in (8, 9, 10)]
    assert job["priority"] == 10
    assert "urgent: red." in text_of(node).lower()


@ON_SQLITE
def test_the_report_of_a_series_stands_on_all_its_slices(node: Node) -> None:
    read_study(node, *head_series(bleed=between(4, 16)))
    report = report_of(node, node.jobs()[0])
    evidence = {
        str(each.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for each in series.ReferencedSOPSequence
    }
    assert evidence == {f"{STUDY}.1.{number}" for number in range(1, 14)}


@ON_SQLITE
def test_a_normal_series_can_wait_and_shows_one_slice(node: Node) -> None:
    read_study(node, *head_series())
    (job,) = node.jobs()
    assert (job["state"], job["priority"]) == ("done", 0)
    assert len(overlays(node)) == 1
    assert "can wait: green." in text_of(node).lower()


@ON_SQLITE
def test_an_undecided_study_goes_out_before_routine_ones(node: Node) -> None:
    """It may be urgent; nobody knows before a physician has read it."""
    everything = ("indeterminate = [0.4, 0.6]", "indeterminate = [0.0, 1.0]")
    write_series_package(node.folder / "models", everything)
    read_study(node, *head_series())
    (job,) = node.jobs()
    assert jobs.ROUTINE < job["priority"] < jobs.URGENT
    assert "undecided: yellow." in text_of(node).lower()


@ON_SQLITE
def test_slices_that_arrive_late_make_a_new_reading_of_the_whole(node: Node) -> None:
    slices = head_series(bleed=between(4, 16))
    read_study(node, *slices[:10])
    read_study(node, *slices[10:])
    first, second = node.jobs()
    assert (len(first["inputs"]), len(second["inputs"])) == (10, 13)
    assert (first["state"], second["state"]) == ("done", "done")
    uids = [{each["sop_instance_uid"] for each in job["results"]} for job in (first, second)]
    assert not uids[0] & uids[1]


def hand() -> list[Dataset]:
    return head_series(BodyPartExamined="HAND")


def mixed() -> list[Dataset]:
    second = head_series(series=2, bleed=between(-5, 5))
    return head_series() + [change(each, SeriesInstanceUID=f"{STUDY}.1") for each in second]


REFUSED: dict[str, tuple[list[Dataset], str]] = {
    "hand": (hand(), "body part HAND is not HEAD"),
    "lateral chest": ([image(ViewPosition="LL")], "modality DX is not CT"),
    "localizer": ([localizer()], "a localizer is not read"),
    "three slices": (head_series(heights=[0, 5, 10]), "3 slices, at least 8 are needed"),
    "no rescale slope": (
        head_series(RescaleSlope=None),
        "the CT slices have no Rescale Slope (0028,1053)",
    ),
    "mixed series": (mixed(), "several slices of one series lie at one place"),
    "sagittal": (
        head_series(axes=((0, 1, 0), (0, 0, -1))),
        "the slices are not axial",
    ),
    "one slice missing": (
        [each for each in head_series() if each.InstanceNumber != 6],
        "a slice is missing: two neighbours are 10.0 mm apart",
    ),
    "bone kernel": (
        head_series(ConvolutionKernel="H70h"),
        "the kernel is made for bone or lung, not for soft tissue",
    ),
}


@ON_SQLITE
@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_with_a_reason(node: Node, case: str) -> None:
    slices, reason = REFUSED[case]
    read_study(node, *slices)
    (job,) = node.jobs()
    assert (job["state"], job["reason"]) == ("skipped", reason)
    assert job["results"] == job["deliveries"] == []
    assert PATIENT not in job["reason"]
    assert PATIENT_ID not in job["reason"]


@ON_SQLITE
def test_a_lateral_chest_is_refused_by_a_model_of_frontal_ones(node: Node) -> None:
    node.receive(image(ViewPosition="LL"))
    read_all(node.worker())
    (job,) = node.jobs()
    assert (job["state"], job["reason"]) == ("skipped", "view LL is not PA or AP or missing")


@ON_SQLITE
def test_a_slice_that_cannot_be_decoded_is_dead_with_its_reason(node: Node) -> None:
    slices = head_series()
    slices[4].PixelData = b"\0\0"
    read_study(node, *slices)
    (job,) = node.jobs()
    assert (job["state"], job["attempts"]) == ("dead", 1)
    assert job["reason"].startswith("pixels cannot be decoded")


def test_the_urgent_go_out_first_though_they_were_read_last(node: Node) -> None:
    folder = write_series_package(node.folder / "models")
    worker = node.worker(package=folder)
    calm, urgent = f"{STUDY}.1", f"{STUDY}.2"
    node.receive(*head_series(study=calm))
    read_all(worker)
    node.receive(*head_series(study=urgent, bleed=between(4, 16)))
    read_all(worker)
    with node.database.write() as connection:
        parcels = outbox.claim(connection, "pacs", "courier", 30.0, 100, TWICE)
    order = [each.study_uid for each in parcels]
    assert order == sorted(order, key=lambda uid: uid != urgent)
    assert Counter(order) == {urgent: 5, calm: 3}
    (job,) = node.jobs(urgent)
    assert {each["state"] for each in job["deliveries"]} == {"sending"}


@ON_SQLITE
def test_a_model_of_another_modality_has_nothing_to_say_of_a_study(node: Node) -> None:
    both = [write_package(node.folder / "models"), write_series_package(node.folder / "models")]
    worker = node.worker(packages=both)
    node.receive(image(ViewPosition="LL"))
    read_all(worker)
    assert [(each["model"], each["state"]) for each in node.jobs()] == [("tiny", "skipped")]
    node.receive(image(study=f"{STUDY}.9", number=9, Modality="MR"))
    read_all(worker)
    silent = {each["model"]: each["reason"] for each in node.jobs(f"{STUDY}.9")}
    assert silent == {
        "tiny": "modality MR is not CR or DX",
        "tiny-ct": "modality MR is not CT",
    }
