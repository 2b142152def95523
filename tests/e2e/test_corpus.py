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
    JPEG2000,
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSNearLossless,
    RLELossless,
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
    "torchxrayvision/Fake_MONOHR1.dcm",
    "covid-chestxray-dataset/c64d5667-a776-4f95-9e21-bfabafb07740.dcm",
]
MISFITS = {
    "highdicom/dx_image.dcm": "view LAT",  # a dog, from the side
    "presidio/0_ORIGINAL_no_pixels.dcm": "the image has no Pixel Data",
    "presidio/2_ORIGINAL.dcm": "a localizer is not read",
    "pydicom-data/RG3_J2KR.dcm": "body part EXTREMITY",
}
# Each is in the study of another one above, or even has its UIDs and other bytes.
SAME_STUDY = {"dicom-test-files/RG1_JLSN"}
SAME_UIDS = {"torchxrayvision/Fake_MONOHR1.dcm", "presidio/0_ORIGINAL_no_pixels.dcm"}


@pytest.fixture
def corpus() -> Path:
    """The folder with the DICOM files."""
    if "WETREAD_DATA" not in os.environ:
        pytest.skip("WETREAD_DATA does not name the folder with the real data")
    missing = missing_tools("storescu", "dcmodify", "dciodvfy")
    if missing:
        pytest.skip(missing)
    return Path(os.environ["WETREAD_DATA"]) / "dicom"


# storescu proposes a compressed transfer syntax only when told to.
PROPOSE = {
    JPEGBaseline8Bit: "-xy",
    JPEGLSNearLossless: "-xu",
    JPEG2000Lossless: "-xv",
    JPEG2000: "-xw",
    RLELossless: "-xr",
}


def storescu(node: Node, path: Path) -> subprocess.CompletedProcess[str]:
    meta = dcmread(path, stop_before_pixels=True, force=True).file_meta
    propose = [PROPOSE[each] for each in [meta.get("TransferSyntaxUID")] if each in PROPOSE]
    target = ["-aec", node.ae_title, "127.0.0.1", str(node.port)]
    command = ["storescu", "-v", "-R", *propose, *target, str(path)]
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
    for name in [*CHESTS, *MISFITS]:
        path = corpus / name
        if name in SAME_UIDS:
            assert storescu(node, path).returncode != 0
        if name in SAME_UIDS or name in SAME_STUDY:
            path = with_new_uids(path, tmp_path)
        done = storescu(node, path)
        assert done.returncode == 0, done.stderr
        sent[name] = path
    refusals = [each["status"] for each in node.events("instance.refused")]
    assert refusals == [f"{StoreStatus.UID_CONFLICT:04X}"] * len(SAME_UIDS)
    jobs = node.wait_for_jobs(studies=len(sent), seconds=120)
    by_study = {each["study_uid"]: each for each in jobs}
    for name, reason in MISFITS.items():
        job = by_study[study_uid(sent[name])]
        assert job["state"] in ("skipped", "dead")
        assert reason in job["reason"]
    objects = orthanc.datasets()
    for path in (sent[name] for name in CHESTS):
        uid = study_uid(path)
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
