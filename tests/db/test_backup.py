"""A backup as docs/storage.md says, taken while images come in, and restored elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from db import migrate, studies
from db.engine import Database
from db.orphans import Kind, find, mend
from scp.adoption import adoptable
from tests.dicomfiles import STUDY, image
from tests.worknode import Node

_IMAGES = 40


def copy_database(database: Database, folder: Path, request: pytest.FixtureRequest) -> str:
    """Copy a database in use by its own tool; the URL of the copy."""
    url = database.engine.url
    if database.is_sqlite:
        if shutil.which("sqlite3") is None:
            pytest.skip("sqlite3 is not installed: apt-get install sqlite3")
        copy = folder / "wetread.db"
        subprocess.run(["sqlite3", url.database or "", f"VACUUM INTO '{copy}'"], check=True)
        return f"sqlite:///{copy}"
    target = request.getfixturevalue("postgres").new_database()
    source = url.set(drivername="postgresql").render_as_string(hide_password=False)
    dumped = subprocess.run(["pg_dump", source], check=True, capture_output=True).stdout
    restored = str(target).replace("+psycopg", "")
    subprocess.run(["psql", "-q", restored], input=dumped, check=True, capture_output=True)
    return str(target)


def test_a_backup_that_is_taken_while_images_come_loses_none_it_knows_of(
    database: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    node = Node(database, tmp_path / "node")
    half, copied = threading.Event(), threading.Event()

    def receive() -> None:
        for number in range(1, _IMAGES + 1):
            node.receive(image(number=number))
            if number == _IMAGES // 2:
                half.set()
        copied.wait()
        node.receive(image(number=_IMAGES + 1))

    receiving = threading.Thread(target=receive)
    receiving.start()
    half.wait()
    (tmp_path / "restored").mkdir()
    url = copy_database(database, tmp_path / "restored", request)  # the database first ...
    without = shutil.ignore_patterns("spool")  # as docs/storage.md says: its files come and go
    files = tmp_path / "restored" / "data"
    shutil.copytree(node.archive.root, files, ignore=without)  # ... then the files
    copied.set()
    receiving.join()

    restored = Node(Database(url), tmp_path / "restored")
    migrate.upgrade(restored.database)
    then = time.time() - 7200
    for file in restored.archive.files("archive"):
        os.utime(restored.archive.full_path(file), (then, then))
    orphans = list(find(restored.database, restored.archive))
    assert {each.kind for each in orphans} <= {Kind.UNRECORDED}
    adopt = partial(adoptable, restored.archive)
    for each in orphans:
        assert mend(restored.database, restored.archive, each, adopt, 0.0) == "recorded"
    assert list(find(restored.database, restored.archive)) == []
    restored.receive(*(image(number=number) for number in range(1, _IMAGES + 2)))
    with restored.database.read() as connection:
        assert len(studies.instances(connection, STUDY)) == _IMAGES + 1
    restored.database.close()
