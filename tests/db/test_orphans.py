"""Rows without files and files without rows, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from db import stats, studies
from db.engine import Database
from db.orphans import NOT_MENDED, find, mend
from db.retention import Rule, take_out
from scp.adoption import adoptable
from tests.dicomfiles import STUDY, as_file, image, rle
from tests.worknode import Node, read_all


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    return Node(database, tmp_path)


def grow_old(node: Node) -> None:
    """Let more than an hour pass for every file."""
    then = time.time() - 7200
    for file in node.archive.files("."):
        os.utime(node.archive.full_path(file), (then, then))


def found(node: Node) -> list[str]:
    return [each.kind.value for each in find(node.database, node.archive)]


def mended(node: Node) -> list[str]:
    adopt = partial(adoptable, node.archive)
    return [
        mend(node.database, node.archive, each, adopt, 0.0)
        for each in find(node.database, node.archive)
    ]


def path(node: Node, number: int) -> Path:
    return node.archive.full_path(node.archive.instance_path(STUDY, f"{STUDY}.1.{number}"))


def test_what_fits_is_not_named(node: Node) -> None:
    node.receive(image(number=1), image(number=2))
    read_all(node.worker())
    grow_old(node)
    assert found(node) == []


def test_lost_and_damaged_images_are_said_to_be_and_come_again_as_new(node: Node) -> None:
    node.receive(image(number=1), image(number=2), image(number=3))
    path(node, 1).unlink()
    path(node, 2).write_bytes(b"torn")
    assert found(node) == ["missing", "damaged"]
    assert mended(node) == ["marked as lost", "set aside, and marked as lost"]
    assert found(node) == []
    with node.database.read() as connection:
        shown = stats.study(connection, STUDY)
    assert (shown["instances"], shown["lost"]) == (1, 2)
    (aside,) = (node.archive.root / "orphans").iterdir()
    assert aside.read_bytes() == b"torn"
    node.receive(image(number=1), image(number=2))
    with node.database.read() as connection:
        assert len(studies.instances(connection, STUDY)) == 3


def test_a_file_without_a_row_is_recorded_if_it_is_whole(node: Node) -> None:
    node.receive(image(number=1), rle(np.full((40, 32), 7, np.uint16), number=2))
    whole = path(node, 1).read_bytes()
    with node.database.write() as connection:
        connection.execute(text("delete from instance"))
        connection.execute(text("delete from study"))
    for number, content in ((3, whole), (4, whole[:-1]), (5, b""), (6, whole[:-200])):
        path(node, number).write_bytes(content)
    assert found(node) == []  # they may be on their way
    grow_old(node)
    assert found(node) == ["unrecorded"] * 6
    assert sorted(mended(node)) == ["recorded"] * 2 + ["set aside"] * 4
    assert found(node) == []
    with node.database.read() as connection:
        recorded = studies.instances(connection, STUDY)
        assert [each.sop_instance_uid for each in recorded] == [f"{STUDY}.1.1", f"{STUDY}.1.2"]
        assert len(studies.due(connection)) == 1


def test_a_file_that_was_to_go_goes(node: Node) -> None:
    node.receive(image(number=1))
    content = path(node, 1).read_bytes()
    with node.database.write() as connection:
        connection.execute(text("update study set due_at = null"))
    gone = take_out(node.database, node.archive, STUDY, Rule.AGE)
    assert gone is not None
    node.archive.erase(gone.paths[0])
    node.archive.write(gone.paths[0], [content])
    grow_old(node)
    assert found(node) == ["leftover"]
    assert mended(node) == ["removed"]
    assert not path(node, 1).exists()
    assert list((node.archive.root / "purged").iterdir()) == []


def test_results_are_looked_at_too(node: Node) -> None:
    node.receive(image(number=1))
    read_all(node.worker())
    (job,) = node.jobs()
    first, *_ = job["results"]
    node.archive.full_path(first["path"]).unlink()
    node.archive.write(node.archive.result_path(1, 9, "2.25.1"), [as_file(image())])
    grow_old(node)
    assert found(node) == ["result-missing", "result-unrecorded"]
    assert mended(node) == [NOT_MENDED, "set aside"]
    assert found(node) == ["result-missing"]
