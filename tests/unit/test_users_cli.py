"""``wetread users``, as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from audit.reading import latest

PASSWORD = "a long enough password"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "wetread.toml"
    file.write_text('[node]\ndata_dir = "data"\n', "utf-8")
    return file


def users(config: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wetread", "users", *arguments, "-c", str(config)],
        input=typed, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_account_comes_and_goes(config: Path) -> None:
    done = users(config, "add", "alice", "--role", "admin", typed=f"{PASSWORD}\n")
    assert (done.returncode, done.stdout) == (0, "account alice may log in as admin\n")
    assert users(config, "add", "carol", "--no-password").returncode == 0
    again = users(config, "add", "alice", typed=f"{PASSWORD}\n")
    assert (again.returncode, again.stderr) == (1, "wetread: there is an account alice already\n")
    listed = json.loads(users(config, "list", "--json").stdout)
    assert [(each["name"], each["role"], each["password"]) for each in listed] == [
        ("alice", "admin", True),
        ("carol", "viewer", False),
    ]
    assert users(config, "password", "carol", typed=f"{PASSWORD}\n").returncode == 0
    assert users(config, "remove", "alice").returncode == 0
    gone = users(config, "remove", "alice")
    assert (gone.returncode, gone.stderr) == (4, "wetread: there is no account alice\n")
    trail = config.parent / "data" / "audit" / "audit.xml"
    told = [each.description for each in latest(trail, 1_000_000)]
    assert told[0] == "account of the dashboard removed: alice"
    assert told[-1] == "account of the dashboard added, as admin: alice"
    assert PASSWORD not in trail.read_text("utf-8")


def test_a_short_password_makes_no_account(config: Path) -> None:
    done = users(config, "add", "alice", typed="short\n")
    assert (done.returncode, done.stderr) == (1, "wetread: a password has 12 to 256 characters\n")
    assert json.loads(users(config, "list", "--json").stdout) == []
