"""A short run of the benchmark that kills everything: nothing is lost, and nothing comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.chaos.__main__ import run
from tests.postgres import PostgresServer
from tools.orthanc import Orthanc


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_was_answered_with_success_is_read_and_delivered_once(tmp_path: Path) -> None:
    """On PostgreSQL; test_power_cut does the like to a node on SQLite."""
    if not Orthanc.installed():
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    if not PostgresServer.installed():
        pytest.skip("no PostgreSQL server binaries: apt-get install postgresql")
    outcome = run(tmp_path / "chaos", "postgresql", number=8, seconds=20, seed=3)
    assert outcome.acknowledged >= 8
    assert sum(outcome.faults.values()) >= 3
    assert {what: whom for what, whom in outcome.verdict.losses.items() if whom} == {}
