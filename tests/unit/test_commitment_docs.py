"""docs/commitment.md says what the code does."""

from __future__ import annotations

import re
import tomllib
from enum import IntEnum
from pathlib import Path

import pytest

from db.schema import CommitmentState
from db.verdict import Failure
from scp.action import ActionStatus
from scp.commitment import CommitmentSettings
from wetread.config import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/commitment.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "codes", "source"),
    [("The request", ActionStatus, "scp/action.py"), ("The report", Failure, "db/verdict.py")],
)
def test_every_code_is_listed_with_its_meaning(
    title: str, codes: type[IntEnum], source: str
) -> None:
    rows = re.findall(r"^\| ([0-9A-F]{4}) \| ([A-Z_]+) \| (.*) \|$", section(title), re.MULTILINE)
    assert [row[:2] for row in rows] == [(f"{each:04X}", each.name) for each in codes]
    text = (ROOT / source).read_text("utf-8")
    for _, _, meaning in rows:
        assert f'"""{meaning}"""' in text


def test_every_state_is_listed() -> None:
    listed = re.findall(r"^\| ([a-z]+) \| ", section("States"), re.MULTILINE)
    assert listed[1:] == list(CommitmentState)


def test_the_times_are_those_of_the_code() -> None:
    fields = CommitmentSettings.__dataclass_fields__
    assert f"{fields['patience_seconds'].default} seconds after the answer" in PAGE
    assert f"has {fields['answer_seconds'].default:.0f} seconds to be answered" in PAGE


def test_the_example_is_a_setting() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (peer,) = Settings(**tomllib.loads(example)).peer
    assert (peer.ae_title, peer.host, peer.port) == ("CT1", "10.1.2.31", 2762)


def test_the_keys_of_the_json_are_named() -> None:
    source = (ROOT / "db/commitment_stats.py").read_text("utf-8")
    for key in re.findall(r'^ +"(\w+)":', source, re.MULTILINE):
        assert f"`{key}`" in section("States"), key


def test_the_keys_of_the_status_are_named() -> None:
    page = (ROOT / "docs/operating.md").read_text("utf-8")
    source = (ROOT / "wetread/condition.py").read_text("utf-8")
    keys = re.findall(r'^ +"(\w+)":', source, re.MULTILINE)
    assert "hours_left" in keys
    for key in keys:
        assert f"`{key}`" in page, key


def test_the_default_mark_is_named() -> None:
    page = (ROOT / "docs/operating.md").read_text("utf-8")
    assert f"`[node] free_megabytes` free ({Settings().node.free_megabytes} by default" in page
