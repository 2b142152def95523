"""A study that kills whoever reads it: it is given up with its reason, and nobody else suffers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import BasicTextSRStorage

from db import stats
from db.engine import Database
from tests.dicomfiles import PATIENT, STUDY, as_file, image
from tests.tinymodel import write_package
from tools.node import Node
from tools.orthanc import Orthanc
from wetread.config import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

POISON = f"{STUDY}.666"
ATTEMPTS = 3
_SETTINGS = """
[destination.results]
send = ["text"]
not_processed = true
[models]
disabled = ["cxr-covid", "head-ct-triage"]
folders = ["{models}"]
[worker]
processes = 1
attempts = {attempts}
lease_seconds = 2
retry_seconds = 0.1
"""


def test_a_study_that_kills_its_workers_is_given_up(orthanc: Orthanc, tmp_path: Path) -> None:
    write_package(tmp_path / "models")
    settings = _SETTINGS.format(models=tmp_path / "models", attempts=ATTEMPTS)
    others = [f"{STUDY}.{number}" for number in range(1, 6)]
    # Large enough to be found being read.
    pixels = np.random.default_rng(1).integers(0, 4096, (3000, 3000), np.uint16)
    files = [tmp_path / f"{number}.dcm" for number in range(6)]
    for file, made in zip(
        files, [image(pixels, study=POISON), *(image(study=each) for each in others)], strict=True
    ):
        file.write_bytes(as_file(made))
    with Node(tmp_path / "node", [("pacs", orthanc.ae_title, orthanc.port)], settings) as node:
        assert node.send(*files).returncode == 0
        assert _kill_whoever_reads(node) == ATTEMPTS
        jobs = {each["study_uid"]: each for each in node.wait_for_jobs(studies=6)}
        shown = node.cli("jobs", "show", str(jobs[POISON]["id"])).stdout
    assert {jobs[each]["state"] for each in others} == {"done"}
    assert jobs[POISON]["attempts"] == ATTEMPTS
    assert "lease lost: the worker stopped while reading" in shown
    objects = orthanc.datasets()
    assert {each.SOPClassUID for each in objects} == {BasicTextSRStorage}
    assert sorted(each.StudyInstanceUID for each in objects) == sorted([POISON, *others])
    assert PATIENT not in node.log.read_text("utf-8")


def _kill_whoever_reads(node: Node) -> int:
    """Kill -9 the worker each time it reads the poison, until that is given up; how often."""
    database = Database(load(node.config).database.url)
    killed = 0
    try:
        while True:
            with database.read() as connection:
                (job,) = stats.jobs(connection, study_uid=POISON) or [_NOTHING]
            if job["state"] == "dead":
                return killed
            assert job["state"] != "done"
            if job["state"] == "running" and job["attempts"] > killed:
                node.kill_role("work")
                killed += 1
            time.sleep(0.01)
    finally:
        database.close()


_NOTHING: dict[str, Any] = {"state": "not there yet"}
