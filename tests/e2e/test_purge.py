"""Images go when every result of their study is committed, and not a moment earlier."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tools.node import Node
from tools.orthanc import Orthanc
from wetread.phantom import write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# A tenth of a second after the last image, if the PACS has committed to keeping all results.
_SETTINGS = """commitment = true
[storage]
delivered_days = 1e-6
"""


def test_images_are_purged_once_every_result_is_committed(orthanc: Orthanc, tmp_path: Path) -> None:
    orthanc.stop()
    pacs = ("pacs", orthanc.ae_title, orthanc.port)
    with Node(tmp_path / "node", [pacs], _SETTINGS) as node:
        assert node.send(*write_study(tmp_path / "study", seed=2, rows=500)).returncode == 0
        while not node.events("destination.away"):
            time.sleep(0.05)
        assert node.json("storage", "purge") == []
        assert node.json("storage", "show")["stored"]["files"] == 1
        orthanc.start()
        orthanc.call("PUT", "/modalities/wetread", [node.ae_title, "127.0.0.1", node.port])
        while not node.events("study.purged"):
            time.sleep(0.05)
        (job,) = node.wait_for_jobs(studies=1)
        shown = node.json("jobs", "show", str(job["id"]))
        study = node.json("studies", "show", job["study_uid"])
        kept = node.json("storage", "show")
        names = [each["event"] for each in node.events()]
    assert {each["state"] for each in shown["deliveries"]} == {"committed"}
    assert names.index("delivery.commitment_reported") < names.index("study.purged")
    assert (study["state"], study["instances"], study["purged"]) == ("purged", 0, 1)
    assert (kept["stored"]["files"], kept["purged"]["files"]) == (0, 1)
    assert kept["results"]["files"] == len(shown["results"])
    data = tmp_path / "node" / "wetread-data"
    assert not list((data / "archive").rglob("*.dcm"))
    assert len(list((data / "results").rglob("*.dcm"))) == len(shown["results"])
    assert len(orthanc.datasets()) == len(shown["deliveries"])
