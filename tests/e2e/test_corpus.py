"""Real DICOM files of many vendors, compressed, old and broken, sent to a whole node."""

from __future__ import annotations

import json
import os
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

from scp.status import StoreStatus
from tests.validators import dciodvfy, missing_tools, rule_violations
from tools.node import Node
from tools.orthanc import Orthanc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CHESTS = [
    "fo-dicom/CR-MONO1-10-chest",
    "presidio/0_ORIGINAL_compressed.dcm",
    "pydicom-data/RG1_J2KI.dcm",
    "dicom-test-files/RG1_JLSN",
    "torchxrayvision/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm",
    "torchxrayvision/Fake_MONOHR1.dcm",  # the same UIDs as the one above, other bytes
    "covid-chestxray-dataset/c64d5667-a776-4f95-9e21-bfabafb07740.dcm",
]
MISFITS = {
    "highdicom/dx_image.dcm": "169 x 211",  # a dog
    "presidio/0_ORIGINAL_no_pixels.dcm": "not an image",
    "presidio/2_ORIGINAL.dcm": "modality CT",
    "pydicom-data/RG3_J2KR.dcm": "body part EXTREMITY",
}


@pytest.fixture
def corpus() -> Path:
    """The folder with the DICOM files."""
    if "WETREAD_DATA" not in os.environ:
        pytest.skip("WETREAD_DATA does not name the folder with the real data")
    missing = missing_tools("storescu", "dcmodify", "dciodvfy")
    if missing:
        pytest.skip(missing)
    return Path(os.environ["WETREAD_DATA"]) / "dicom"


def storescu(node: Node, path: Path) -> subprocess.CompletedProcess[str]:
    target = ["-aec", node.ae_title, "127.0.0.1", str(node.port)]
    command = ["storescu", "-v", "-R", *target, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")


def with_new_uids(source: Path, folder: Path) -> Path:
    """A copy that is an instance, series and study of its own; everything else byte for byte."""
    copy = folder / f"new-{source.name}"
    shutil.copyfile(source, copy)
    copy.chmod(0o600)
    subprocess.run(["dcmodify", "-nb", "-gst", "-gse", "-gin", copy], check=True)
    return copy


def test_real_chests_come_back_and_misfits_say_why(
    node: Node, orthanc: Orthanc, corpus: Path, tmp_path: Path
) -> None:
    sent = {}
    for name in CHESTS:
        path = corpus / name
        done = storescu(node, path)
        if f"0x{StoreStatus.UID_CONFLICT:04x}" in (done.stdout + done.stderr).lower():
            path = with_new_uids(path, tmp_path)
            done = storescu(node, path)
        assert done.returncode == 0, done.stderr
        sent[study_uid(path)] = path
    for name in MISFITS:
        assert storescu(node, corpus / name).returncode == 0
    jobs = node.wait_for_jobs(studies=len(sent) + len(MISFITS), seconds=120)
    by_study = {each["study_uid"]: each for each in jobs}
    for name, reason in MISFITS.items():
        job = by_study[study_uid(corpus / name)]
        assert job["state"] == "skipped"
        assert reason in job["reason"]
    objects = orthanc.datasets()
    for uid, path in sent.items():
        job = by_study[uid]
        results = [each for each in objects if each.StudyInstanceUID == uid]
        assert job["state"] == "done", f"{path.name}: {job['reason']}"
        assert Counter(each.SOPClassUID for each in results) == {
            Comprehensive3DSRStorage: 1,
            BasicTextSRStorage: 1,
            SecondaryCaptureImageStorage: 1,
        }
        for each in results:
            check(each, path, tmp_path)


def check(result: Dataset, source: Path, folder: Path) -> None:
    file = folder / f"{result.SOPInstanceUID}.dcm"
    result.save_as(file, enforce_file_format=True)
    assert dciodvfy(file) == []
    if dcmread(source, force=True).file_meta.get("TransferSyntaxUID"):
        assert rule_violations(file, source) == []


def test_every_file_is_stored_or_refused_with_a_status_and_no_process_dies(
    node: Node, corpus: Path
) -> None:
    before = {role: node.role_pids(role) for role in ("receive", "work", "deliver")}
    target = f"{node.ae_title}@127.0.0.1:{node.port}"

    outcomes = json.loads(node.cli("send", str(corpus), "--to", target, "--json").stdout)
    assert len(outcomes) > 300
    statuses = Counter(each["status"] for each in outcomes)
    assert statuses["0000"] > 250
    assert set(statuses) <= {"0000", "A900", "C000", "C001", None}
    for each in outcomes:
        if each["status"] is None:  # the sender's own reasons: no instance, nothing accepted
            assert each["reason"].startswith(("not a DICOM instance", "not accepted"))
    jobs = node.wait_for_jobs(studies=1, seconds=200)
    assert {each["state"] for each in jobs} <= {"done", "skipped", "dead"}
    assert all(each["reason"] for each in jobs if each["state"] != "done")
    assert {role: node.role_pids(role) for role in before} == before
    assert node.events("worker.trouble") == []


def study_uid(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True, force=True).StudyInstanceUID)
