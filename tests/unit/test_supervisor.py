"""``wetread up`` as a user runs it: ready, mended after a crash, gone when it should be."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from delivery.associate import NoAssociation, Peer
from delivery.send import echo
from tests.tinymodel import write_package
from tools.node import Node
from tools.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NO_MODELS = '[models]\ndisabled = ["cxr-covid"]\n'
ROLES = ("receive", "work", "deliver")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node whose only destination does not listen."""
    with Node(tmp_path, [("pacs", "NOBODY", free_port())], NO_MODELS) as started:
        yield started


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_pids(node: Node) -> list[int]:
    return [pid for role in ROLES for pid in node.role_pids(role)]


def answers(node: Node) -> bool:
    peer = Peer(ae_title=node.ae_title, host="127.0.0.1", port=node.port, calling_ae_title="TEST")
    try:
        return echo(peer) == 0
    except NoAssociation:
        return False


def test_a_killed_role_comes_back_and_all_stop_together(node: Node) -> None:
    assert answers(node)  # at "ready", associations are accepted
    first = all_pids(node)
    assert len(first) == len(ROLES)
    node.kill_role("receive")
    wait_for(lambda: node.events("role.died"))
    (died,) = node.events("role.died")
    assert (died["name"], died["exit_code"]) == ("receive", -9)
    wait_for(lambda: len(all_pids(node)) == len(ROLES))
    wait_for(lambda: answers(node))
    second = all_pids(node)
    assert len(set(first) & set(second)) == 2  # the others were left alone
    assert node.stop() == 0
    assert not any(alive(pid) for pid in second)
    assert "Traceback" not in node.log.read_text("utf-8")
    assert {each["role"] for each in node.events("role.stopped")} == set(ROLES)


def test_roles_end_when_their_supervisor_is_killed(node: Node) -> None:
    pids = all_pids(node)
    assert node._process is not None
    os.kill(node._process.pid, signal.SIGKILL)
    node._process.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", node.port)) != 0


def up(folder: Path, settings: str) -> subprocess.CompletedProcess[str]:
    """Run ``wetread up`` with settings that cannot work."""
    file = folder / "wetread.toml"
    file.write_text(f"{settings}\n[web]\nenabled = false\n", "utf-8")
    return subprocess.run(
        [sys.executable, "-m", "wetread", "up", "-c", str(file)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = f'[node]\nhost = "127.0.0.1"\nport = {port}\n[worker]\nprocesses = 0\n'
        done = up(tmp_path, settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"wetread: cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "wetread: receive could not start; its own message stands above" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unusable_model_is_named_and_nothing_keeps_running(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "models")
    (folder / "model.onnx").write_bytes(b"altered")
    port = free_port()
    done = up(
        tmp_path,
        f'[node]\nhost = "127.0.0.1"\nport = {port}\n{NO_MODELS}folders = ["models"]\n',
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "model.onnx: SHA-256 is" in done.stderr
    assert "wetread: work could not start" in done.stderr
    assert "Traceback" not in done.stderr
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
