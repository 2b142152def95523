"""The Orthanc of docs/pacs.md: configured as written there, it gets what a node sends."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from pynetdicom import AE

from tests.validators import missing_tools
from tools.node import Node
from tools.orthanc import Orthanc
from tools.ports import free_port
from wetread.phantom import write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
PAGES = Path(__file__).parents[2] / "docs"
PAGE = (PAGES / "pacs.md").read_text("utf-8")


def shown(language: str, after: str) -> str:
    """The first code block of a language after a heading."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.partition(after)[2], re.S)
    assert found is not None
    return found[1]


def refused(port: int) -> list[str]:
    """Classes of results that the conformance statement lists and Orthanc does not accept."""
    statement = (PAGES / "conformance.md").read_text("utf-8")
    classes = re.findall(r"^\| [\w ]+ Storage \| ([\d.]+) \| yes \| yes \|$", statement, re.M)
    assert len(classes) > 5
    ae = AE("WETREAD")
    for each in classes:
        ae.add_requested_context(each)
    association = ae.associate("127.0.0.1", port, ae_title="ORTHANC")
    accepted = {str(each.abstract_syntax) for each in association.accepted_contexts}
    association.release()
    return [each for each in classes if each not in accepted]


def test_orthanc_as_documented_gets_commits_and_keeps_strangers_out(tmp_path: Path) -> None:
    if not Orthanc.installed():
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    port = free_port()
    settings = json.loads(shown("json", "## Orthanc"))
    settings["DicomPort"] = port
    sources = write_study(tmp_path / "study", seed=3, rows=256, finding="consolidation")
    destination = shown("toml", "On wetread's side")
    for there, here in (("10.1.5.20", "127.0.0.1"), ("port = 4242", f"port = {port}")):
        assert there in destination
        destination = destination.replace(there, here)
    node = Node(tmp_path / "node", extra=destination + 'check_patient = "required"\n')
    settings["DicomModalities"]["wetread"] |= {"Host": "127.0.0.1", "Port": node.port}
    with Orthanc(tmp_path / "orthanc", settings=settings) as orthanc, node:
        for each in sources:
            orthanc.store(each)
        assert node.cli("echo", "pacs").returncode == 0
        assert node.send(*sources).returncode == 0
        (job,) = node.wait_for_jobs(studies=1)
        states: set[str] = set()
        deadline = time.monotonic() + 60
        while states != {"committed"}:
            assert time.monotonic() < deadline, states
            time.sleep(0.2)
            deliveries = node.json("jobs", "show", str(job["id"]))["deliveries"]
            states = {each["state"] for each in deliveries}
        assert len(orthanc.files()) == len(sources) + len(deliveries)
        assert refused(port) == []
        if not missing_tools("storescu"):
            stranger = subprocess.run(
                ["storescu", "-aet", "STRANGER", "-aec", "ORTHANC", "127.0.0.1", str(port),
                 sources[0]],
                capture_output=True, check=False,
            )  # fmt: skip
            assert stranger.returncode != 0
