"""``wetread health``: what a container asks about its role."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from db import processes
from db.engine import Database
from db.processes import Running
from wetread.cli.main import app
from wetread.cli.output import Exit


@pytest.fixture
def config(database: Database, tmp_path: Path) -> Path:
    file = tmp_path / "wetread.toml"
    url = database.engine.url.render_as_string(hide_password=False)
    file.write_text(f'[database]\nurl = "{url}"\n', "utf-8")
    return file


def beat(database: Database, host: str) -> None:
    running = Running(owner=host, role="work", host=host, pid=1, version="1")
    with database.write() as connection:
        processes.beat(connection, running, {})


def test_a_role_is_healthy_while_it_says_so_on_this_host(database: Database, config: Path) -> None:
    arguments = ["health", "work", "-c", str(config), "--json"]
    beat(database, "elsewhere")
    assert CliRunner().invoke(app, arguments).exit_code == Exit.FAILED
    beat(database, socket.gethostname())
    healthy = CliRunner().invoke(app, arguments)
    assert healthy.exit_code == Exit.OK
    assert json.loads(healthy.stdout)["processes"] == 1
    with database.write() as connection:
        connection.execute(text("update process set seen_at = seen_at - 30"))
    silent = CliRunner().invoke(app, arguments[:-1])
    assert (silent.exit_code, silent.stdout) == (
        Exit.FAILED, f"work on {socket.gethostname()}: 0 running\n",
    )  # fmt: skip


def test_a_role_that_does_not_exist_is_a_wrong_argument(config: Path) -> None:
    assert CliRunner().invoke(app, ["health", "worker", "-c", str(config)]).exit_code == Exit.USAGE
