"""``wetread status`` as a role tells it: the same as the command that looks itself, or nothing."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from db import outage
from tests.commandline import CommandLine, Done
from tools.node import Node
from wetread import local_socket
from wetread.answering import answering
from wetread.cli import quick
from wetread.config import load
from wetread.origin import Origin
from wetread.roles import open_database

Quick = Callable[..., Done | None]


@pytest.fixture
def wetread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> CommandLine:
    disk = SimpleNamespace(f_bavail=5000, f_frsize=1_000_000)
    monkeypatch.setattr("scp.disk.os.statvfs", lambda _folder: disk)
    return CommandLine(monkeypatch, capsys, tmp_path)


@pytest.fixture
def ask(wetread: CommandLine, capsys: pytest.CaptureFixture[str]) -> Quick:
    """What a role tells; None if no role does."""

    def call(*options: str) -> Done | None:
        capsys.readouterr()
        code = quick.status(list(options))
        printed = capsys.readouterr()
        if code is None:
            assert printed.out == printed.err == ""
            return None
        return Done(code, printed.out, printed.err)

    return call


@contextmanager
def node(config: Path | None = None) -> Iterator[Path]:
    """The part of a node that tells; its socket."""
    settings = load(config)
    database = open_database(settings)
    with answering(settings, database):
        yield settings.node.data_dir / local_socket.NAME
    database.close()


def connection(place: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(10)
    with local_socket.address(place.parent) as address:
        made.connect(address)
    return made


@pytest.mark.parametrize("options", [(), ("--check",), ("--json",), ("--json", "--check")])
def test_a_role_tells_what_the_command_finds(
    wetread: CommandLine, ask: Quick, options: tuple[str, ...]
) -> None:
    with node():
        told = ask(*options)
        assert told is not None
        assert told == wetread("status", *options)
    assert told.code == (1 if "--check" in options else 0)  # no role says that it runs
    assert "no role runs on any host" in told.out


def test_the_settings_file_may_be_named(
    wetread: CommandLine, ask: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "site" / "wetread.toml"
    file.parent.mkdir()
    file.write_text('[node]\ndata_dir = "data"\n', "utf-8")
    with node(file) as place:
        assert place.parent == tmp_path / "site" / "data"
        assert ask("-c", "site/wetread.toml") is not None
        assert ask("--config", str(file)) is not None
        assert ask() is None
        monkeypatch.setenv("WETREAD_CONFIG", str(file))
        assert ask() is not None


def test_what_is_not_plain_is_left_to_the_command(ask: Quick) -> None:
    with node():
        for options in (["--help"], ["--jsn"], ["more"], ["-c"], ["--config=wetread.toml"]):
            assert ask(*options) is None, options


def test_a_role_with_other_settings_is_not_asked(
    ask: Quick, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "wetread.toml"
    file.write_text("[node]\nport = 1104\n", "utf-8")
    with node():
        assert ask() is not None
        with monkeypatch.context() as patch:
            patch.setenv("WETREAD_WORKER__PROCESSES", "3")
            assert ask() is None
        file.write_text("[node]\nport = 1105\n", "utf-8")
        assert ask() is None
        file.write_text("[node\n", "utf-8")
        assert ask() is None


def test_a_role_of_another_version_is_not_asked(
    ask: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    with node():
        monkeypatch.setattr(quick, "VERSION", "9")
        assert ask() is None


def test_without_a_role_nothing_is_told(ask: Quick, tmp_path: Path) -> None:
    assert ask() is None  # no data folder
    with node() as place:
        pass
    assert not place.exists()
    assert ask() is None
    left = socket.socket(socket.AF_UNIX)  # as of a process that was killed
    with left, local_socket.address(place.parent) as address:
        left.bind(address)
    assert ask() is None
    with node():
        assert ask() is not None


def test_only_its_own_user_may_ask(ask: Quick) -> None:
    with node() as place:
        mode = place.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600


def test_a_successor_takes_the_place(ask: Quick) -> None:
    with node():
        with node() as place:
            assert ask() is not None
        assert not place.exists()
    with ExitStack() as second:
        with node():
            place = second.enter_context(node())
        assert place.exists()  # the first left the second's alone
        assert ask() is not None


def test_a_data_folder_of_any_length(ask: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WETREAD_NODE__DATA_DIR", "/".join(["a folder of quite a length"] * 8))
    with node():
        assert ask() is not None


def test_where_no_socket_can_be_the_node_goes_on(
    ask: Quick, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = load().node.data_dir / local_socket.NAME
    taken.mkdir(parents=True)
    with node():
        assert "status.unanswered" in "".join(capsys.readouterr())
        assert ask() is None
        assert [each for each in taken.parent.iterdir() if each.is_socket()] == []
    assert taken.is_dir()


def test_a_request_that_is_none_gets_no_answer(ask: Quick) -> None:
    with node() as place:
        for request in (b"", b"\n", b"{}\n", b"[]\n", b"7\n", b"\xff\n", b"{" * 20_000):
            assert answer(place, request) == b"", request
        assert ask() is not None


def answer(place: Path, request: bytes) -> bytes:
    with connection(place) as made:
        made.sendall(request)
        made.shutdown(socket.SHUT_WR)
        try:
            return made.recv(100)
        except ConnectionResetError:  # not all of it was read
            return b""


def test_a_silent_caller_keeps_nobody_waiting(ask: Quick) -> None:
    with node() as place, connection(place):
        assert ask() is not None


def test_trouble_with_the_database_is_left_to_the_command(ask: Quick) -> None:
    with node():
        assert ask() is not None
        with open_database(load()).write() as transaction:
            transaction.execute(text("alter table job rename to lost"))
        assert ask() is None


@pytest.mark.parametrize(
    ("content", "variable", "value"),
    [
        ("", "", ""),
        ("[node]\nport = 104\n", "", ""),
        ('[node]\ndata_dir = "there"\n', "", ""),
        ('[node]\ndata_dir = "/srv/there"\n', "", ""),
        ('[node]\ndata_dir = "there"\n', "WETREAD_NODE__DATA_DIR", "over"),
        ("", "wetread_node__data_dir", "/srv/over"),
    ],
)
def test_the_data_folder_is_that_of_the_settings(
    wetread: CommandLine, monkeypatch: pytest.MonkeyPatch, content: str, variable: str, value: str
) -> None:
    Path("wetread.toml").write_text(content, "utf-8")
    if variable:
        monkeypatch.setenv(variable, value)
    assert Origin(None).data_dir() == load().node.data_dir


def test_a_data_folder_that_only_the_settings_tell(
    ask: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WETREAD_NODE", json.dumps({"data_dir": "there"}))
    assert Origin(None).data_dir() is None
    with node() as place:
        assert place.parent.name == "there"
        assert ask() is None


def test_what_moves_a_cursor_is_not_shown(
    ask: Quick, wetread: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"name": "near", "ae_title": "P", "host": "h", "port": 104}
    monkeypatch.setenv("WETREAD_DESTINATION", json.dumps([place]))
    with node():
        with open_database(load()).write() as transaction:
            outage.begin(transaction, "near", "out of \x1b[2J paper\n")
        told = ask()
    assert told is not None
    assert "out of ?[2J paper?" in told.out
    assert "\x1b" not in told.out


def test_alarms_stand_out_on_a_terminal(
    ask: Quick, wetread: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with node():
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        told = ask()
        assert told is not None
        assert told.out.startswith("\x1b[1;31mALARM        no role runs on any host")
        assert "\x1b" not in (ask("--json") or told).out
        monkeypatch.setenv("NO_COLOR", "1")
        told = ask()
    assert told is not None
    assert "\x1b" not in told.out


def test_a_reader_that_leaves(ask: Quick, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with node(), os.fdopen(writing, "w") as pipe, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        assert quick.status([]) == 1


@pytest.mark.slow
def test_a_node_tells_before_anything_slow_is_imported(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, atexit\n"
        "slow = {'typer', 'rich', 'sqlalchemy', 'pydantic', 'structlog'}\n"
        "atexit.register(lambda: print('loaded', sorted(slow & set(sys.modules))))\n"
        "from wetread.cli.start import run\n"
        "run()\n",
        "utf-8",
    )
    (tmp_path / "there").mkdir()
    with_dashboard = Node(tmp_path / "node", web=True)
    # As Kubernetes gives a file; what it names lies beside the link, for the roles as well.
    link = tmp_path / "there" / "wetread.toml"
    link.symlink_to(with_dashboard.config)
    with_dashboard.config = link
    command = [sys.executable, str(script), "status", "-c", str(link)]
    with with_dashboard:
        while run([*command, "--check"]).returncode:  # each role says itself that it runs
            time.sleep(0.2)
        told = run(command)
    assert "web runs since" in told.stdout
    assert told.stdout.endswith("loaded []\n")
    assert {each.name for each in link.parent.iterdir()} == {"wetread.toml", "wetread-data"}
    assert not (tmp_path / "node" / "wetread-data").exists()
    assert told.stderr == ""


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
