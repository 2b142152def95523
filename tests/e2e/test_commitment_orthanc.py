"""Orthanc as the requester of storage commitment: an implementation that is not pynetdicom."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tools.node import Node
from tools.orthanc import Orthanc
from wetread.phantom import write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def wait_for_report(orthanc: Orthanc, transaction_uid: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        shown: dict[str, Any] = orthanc.get(f"/storage-commitment/{transaction_uid}")
        if shown["Status"] != "Pending":
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)


def test_orthanc_is_told_what_is_here_and_what_is_not(
    node: Node, orthanc: Orthanc, tmp_path: Path
) -> None:
    sources = write_study(tmp_path / "study", seed=5, rows=64, images=2)
    for each in sources:
        orthanc.store(each)
    orthanc.call("PUT", "/modalities/wetread", [node.ae_title, "127.0.0.1", node.port])
    asked = {"Resources": orthanc.get("/instances"), "StorageCommitment": True}
    job = orthanc.call("POST", "/modalities/wetread/store", asked)
    report = wait_for_report(orthanc, job["StorageCommitmentTransactionUID"])
    assert report["Status"] == "Success"
    assert len(report["Success"]) == 2
    assert report["Failures"] == []

    here = dcmread(sources[0], stop_before_pixels=True)
    instances = [
        {"SOPClassUID": here.SOPClassUID, "SOPInstanceUID": here.SOPInstanceUID},
        {"SOPClassUID": here.SOPClassUID, "SOPInstanceUID": "2.25.404"},
    ]
    again = orthanc.call(
        "POST", "/modalities/wetread/storage-commitment", {"DicomInstances": instances}
    )
    report = wait_for_report(orthanc, again["ID"])
    assert report["Status"] == "Failure"
    assert [each["SOPInstanceUID"] for each in report["Success"]] == [here.SOPInstanceUID]
    (failure,) = report["Failures"]
    assert failure["SOPInstanceUID"] == "2.25.404"
    assert failure["FailureReason"] == 0x0112, failure
