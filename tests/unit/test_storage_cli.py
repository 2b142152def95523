"""``wetread storage``: what it shows, removes and verifies."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.auditschema import event, messages
from tests.dicomfiles import PATIENT, PATIENT_ID, STUDY, image
from tests.worknode import Node
from wetread.config import load
from wetread.roles import open_database


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Two studies that came a hundred days ago; only the first was routed."""
    config = tmp_path / "wetread.toml"
    config.write_text('[node]\ndata_dir = "data"\n[storage]\nsource_days = 30\n', "utf-8")
    made = Node(open_database(load(config)), tmp_path)
    made.receive(image(), image(study=f"{STUDY}.9"))
    with made.database.write() as connection:
        connection.execute(text("update study set last_received_at = last_received_at - 8640000"))
        connection.execute(
            text("update study set due_at = null where study_uid = :study"), {"study": STUDY}
        )
    return made


def storage(node: Node, *arguments: str, code: int = 0) -> Any:
    """What a command says with ``--json``."""
    done = subprocess.run(
        [sys.executable, "-m", "wetread", "storage", *arguments, "--json",
         "-c", str(node.folder / "wetread.toml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert PATIENT not in done.stdout + done.stderr
    assert PATIENT_ID not in done.stdout + done.stderr
    return json.loads(done.stdout)


def test_what_may_go_is_shown_then_removed_and_audited(node: Node) -> None:
    shown = storage(node, "show")
    assert shown["stored"]["files"] == 2
    assert shown["may_go"]["studies"] == shown["may_go"]["files"] == 1
    (named,) = storage(node, "purge", "--dry-run")
    assert (named["study_uid"], named["rule"], named["files"]) == (STUDY, "age", 1)
    assert storage(node, "purge") == [named]
    assert storage(node, "purge") == []
    shown = storage(node, "show")
    assert (shown["stored"]["files"], shown["purged"]["files"]) == (1, 1)
    trail = messages((node.folder / "data" / "audit" / "audit.xml").read_text("utf-8"))
    assert [event(each) for each in trail] == ["DICOM Study Deleted"]


def test_verify_fails_until_all_is_mended(node: Node) -> None:
    assert storage(node, "verify") == []
    node.archive.full_path(node.archive.instance_path(STUDY, f"{STUDY}.1.1")).unlink()
    (named,) = storage(node, "verify", code=1)
    assert (named["kind"], named["done"]) == ("missing", None)
    (named,) = storage(node, "verify", "--mend")
    assert named["done"] == "marked as lost"
    assert storage(node, "verify") == []


def test_tidy_removes_by_itself_and_stops_when_told(node: Node) -> None:
    command = [sys.executable, "-m", "wetread", "tidy", "-c", str(node.folder / "wetread.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tidy:
        assert tidy.stdout is not None
        assert tidy.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 30
        while storage(node, "show")["purged"]["files"] == 0:
            assert time.monotonic() < deadline, "nothing was removed"
        tidy.terminate()
        assert tidy.wait(30) == 0
