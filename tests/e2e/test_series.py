"""A console sends a head CT; the node reads one series of it and says why not the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from tests.ctfiles import between, head_series, localizer
from tests.dicomfiles import STUDY, as_file
from tests.tinymodel import write_series_package
from tools.node import Node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A running node that has the tiny model for head CT beside our own, and sends nowhere."""
    write_series_package(tmp_path / "models")
    models = f'[models]\nfolders = ["{tmp_path / "models"}"]\n'
    with Node(tmp_path / "node", extra=models) as made:
        yield made


def send(node: Node, folder: Path) -> dict[str, int]:
    """Send all files of a folder; return how often each status was answered."""
    outcomes = json.loads(node.send(folder).stdout)
    return dict(Counter(each["status"] for each in outcomes))


def written(folder: Path, *datasets: Dataset) -> Path:
    folder.mkdir()
    for number, each in enumerate(datasets):
        (folder / f"{number}.dcm").write_bytes(as_file(each))
    return folder


def job_of(node: Node, study_uid: str, model: str) -> dict[str, Any]:
    (job,) = [
        each for each in node.json("jobs", "list", "--study", study_uid) if each["model"] == model
    ]
    shown: dict[str, Any] = node.json("jobs", "show", str(job["id"]))
    return shown


def test_one_series_of_a_study_is_read(node: Node, tmp_path: Path) -> None:
    brain = head_series(series=2, bleed=between(4, 16))
    bone = head_series(series=3, ConvolutionKernel="H60s")
    assert send(node, written(tmp_path / "study", localizer(), *bone, *brain)) == {"0000": 27}
    node.wait_for_jobs(studies=1)
    job = job_of(node, STUDY, "tiny-ct")
    assert (job["state"], job["reason"], job["priority"]) == ("done", None, 10)
    assert job["inputs"] == sorted(str(each.SOPInstanceUID) for each in brain)
    assert "cxr-covid" not in {each["model"] for each in node.json("jobs", "list")}


def test_the_reason_why_a_series_is_not_read_is_shown(node: Node, tmp_path: Path) -> None:
    send(node, written(tmp_path / "study", *head_series(heights=[0, 5, 10])))
    node.wait_for_jobs(studies=1)
    job = job_of(node, STUDY, "tiny-ct")
    assert (job["state"], job["reason"]) == ("skipped", "3 slices, at least 8 are needed")


def test_a_real_head_with_a_tilted_gantry_is_read(node: Node, real_head: Path) -> None:
    assert send(node, real_head) == {"0000": 28}
    node.wait_for_jobs(studies=1)
    study = str(dcmread(next(real_head.glob("*.dcm")), stop_before_pixels=True).StudyInstanceUID)
    job = job_of(node, study, "tiny-ct")
    assert (job["state"], job["reason"], len(job["inputs"])) == ("done", None, 28)
    assert Counter(each["kind"] for each in job["results"])["sc"] == 1
