"""A whole node on a disk below the mark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.node import Node
from wetread.phantom import write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def test_a_node_below_the_mark_takes_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WETREAD_NODE__FREE_MEGABYTES", "100000000")  # 100 TB: no disk has that
    images = write_study(tmp_path / "study", seed=4, rows=64, images=2)
    with Node(tmp_path / "node") as node:
        sent = json.loads(node.send(*images).stdout)
        assert [each["status"] for each in sent] == ["A700", "A700"]
        assert node.json("studies", "list") == []
        assert node.json("status")["disk"]["state"] == "low"
    assert len(node.events("disk.low")) == 1
    assert {each["reason"] for each in node.events("instance.refused")} == {
        "the disk is nearly full"
    }
