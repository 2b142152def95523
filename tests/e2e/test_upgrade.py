"""A newer version upgrades the database while roles of this one run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from db.engine import Database
from tools.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

ROLES = ("receive", "work", "deliver", "tidy")


def test_roles_of_an_older_version_stop_and_say_why(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'wetread.db'}")
    config = tmp_path / "wetread.toml"
    config.write_text(
        f'[node]\nhost = "127.0.0.1"\nport = {free_port()}\n'
        f'[database]\nurl = "{database.engine.url}"\n',
        "utf-8",
    )
    roles = {
        role: subprocess.Popen(
            [sys.executable, "-m", "wetread", role, "-c", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for role in ROLES
    }
    try:
        for process in roles.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        with database.write() as connection:
            connection.execute(text("update alembic_version set version_num = '9999'"))
        said = {role: process.communicate(timeout=40)[1] for role, process in roles.items()}
    finally:
        database.close()
        for process in roles.values():
            process.kill()
            process.communicate()
    assert {process.returncode for process in roles.values()} == {1}
    for role in ROLES:
        (last,) = said[role].splitlines()[-1:]
        assert last.startswith("wetread: the database has schema 9999, which this version does not")
