"""Orthanc as the PACS, and a whole node that sends to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.node import Node
from tools.orthanc import Orthanc


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """A running Orthanc, empty."""
    if not Orthanc.installed():
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    with Orthanc(tmp_path / "orthanc") as server:
        yield server


@pytest.fixture
def node(orthanc: Orthanc, tmp_path: Path) -> Iterator[Node]:
    """A running node whose only destination is Orthanc."""
    extra = "[worker]\nlease_seconds = 3\n[delivery]\nretry_seconds = 0.2\nlease_seconds = 10\n"
    made = Node(tmp_path / "node", [("pacs", orthanc.ae_title, orthanc.port)], extra)
    with made:
        yield made
