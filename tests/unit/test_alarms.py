"""Each alarm is raised by what it is about, says what to do, and by nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from wetread.alarms import alarms


def process(role: str, **values: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "role": role, "host": "ai-1", "pid": 7, "version": "1.0", "silent": False,
        "started_at": "2026-03-01T03:00:00+00:00", "seen_at": "2026-03-01T04:00:00+00:00",
        "clock_offset": 0.1, "events": {},
    }  # fmt: skip
    return shown | values


def place(**values: Any) -> dict[str, Any]:
    shown = {
        "name": "pacs", "state": "ok", "waiting": 0, "held": 0, "uncommitted": 0,
        "away_since": None, "probes": 0, "reason": None,
    }  # fmt: skip
    return shown | values


ROLES = ("receive", "work", "deliver", "tidy")
CHEST = {"name": "chest", "version": "1"}
WELL: dict[str, Any] = {
    "version": "1.0",
    "expected": sorted(ROLES),
    "processes": [process(role) for role in ROLES],
    "models": [CHEST | {"provider": "CUDAExecutionProvider", "beside_gpu": True}],
    "queue": [{"priority": 0, "queued": 3, "oldest_seconds": 60.0}],
    "queued_models": [CHEST | {"queued": 3}],
    "due": {"studies": 0, "oldest_seconds": None},
    "failed": {"jobs": 0, "deliveries": 0},
    "disk": {"state": "ok", "free_bytes": 10**10, "mark_bytes": 10**9},
    "destinations": [place()],
    "certificates": [
        {"file": "a.pem", "not_after": "2027-03-01", "days_left": 90, "trouble": None}
    ],
}
LATER = "2026-03-01T05:00:00+00:00"
GONE = process("work", silent=True, pid=6)


CASES: list[tuple[dict[str, Any], list[str]]] = [
        ({}, []),
        ({"processes": []}, ["nothing-runs"]),
        ({"processes": [process(role, silent=True) for role in ROLES]},
         ["nothing-runs", *["role-silent"] * 4]),
        *(
            ({"processes": [process(each) for each in ROLES if each != role]}, [f"no-{role}"])
            for role in ROLES
        ),
        ({"expected": ["receive", "work"], "processes": [process("receive"), process("work")]}, []),
        ({"processes": [*WELL["processes"], GONE]}, ["role-silent"]),
        ({"processes": [*WELL["processes"], GONE, process("work", started_at=LATER)]}, []),
        ({"processes": [*WELL["processes"], process("web", version="1.1")]}, ["versions-differ"]),
        ({"processes": [*WELL["processes"], process("web", clock_offset=-6)]}, ["clock-off"]),
        ({"disk": WELL["disk"] | {"state": "low"}}, ["disk-low"]),
        ({"destinations": [place(state="away", away_since=LATER, reason="no connection")]},
         ["destination-away"]),
        ({"destinations": [place(state="unknown", waiting=1)]}, ["destination-unknown"]),
        ({"destinations": [place(held=1)]}, ["results-held"]),
        ({"queue": [{"priority": 0, "queued": 1, "oldest_seconds": 1801.0}]}, ["queue-late"]),
        ({"queue": [{"priority": 10, "queued": 1, "oldest_seconds": 301.0}]}, ["urgent-late"]),
        ({"queued_models": [CHEST | {"version": "0", "queued": 1}]}, ["model-missing"]),
        ({"failed": {"jobs": 1, "deliveries": 0}}, ["jobs-dead"]),
        ({"failed": {"jobs": 0, "deliveries": 1}}, ["deliveries-failed"]),
        ({"certificates": [WELL["certificates"][0] | {"days_left": 29}]}, ["certificate-expires"]),
        ({"certificates": [WELL["certificates"][0] | {"days_left": -1}]}, ["certificate-expired"]),
        ({"certificates": [{"file": "a.pem", "trouble": "a.pem: cannot be read"}]},
         ["certificate-unreadable"]),
        ({"models": [CHEST | {"provider": "CPUExecutionProvider", "beside_gpu": True}]},
         ["cpu-fallback"]),
        ({"processes": [*WELL["processes"], process("web", events={"audit.lost": 2})]},
         ["audit-gap"]),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "names"), CASES)
def test_an_alarm_is_raised(changed: dict[str, Any], names: list[str]) -> None:
    found = alarms(WELL | changed)
    assert [each.name for each in found] == names
    assert all(each.text and each.remedy for each in found)


def test_a_worker_without_a_gpu_may_use_the_cpu() -> None:
    slow = CHEST | {"provider": "CPUExecutionProvider", "beside_gpu": False}
    assert alarms(WELL | {"models": [*WELL["models"], slow]}) == []


def test_the_alarms_are_listed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted({name for _, names in CASES for name in names})
