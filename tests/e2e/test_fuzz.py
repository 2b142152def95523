"""A short run of the fuzzer: whatever it checks still holds, and it still sends what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.fuzz.__main__ import run
from tools.fuzz.conversations import conversation


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_hostile_peers_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where the bytes of a failure go
    run(1500, seed=7, callers=4, silent=0, folder=tmp_path / "watched")
    assert "Outcome(sent=15" in capsys.readouterr().out


def test_a_conversation_can_be_had_again() -> None:
    numbers = range(1, 200)
    assert [conversation(3, each) for each in numbers] == [
        conversation(3, each) for each in numbers
    ]
    assert conversation(3, 1) != conversation(4, 1)
    assert conversation(3, 1).hexadecimal()
