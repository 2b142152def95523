"""The simulator against receivers: ours, one that refuses, and none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation
from sqlalchemy import func, select

from db.engine import Database
from db.schema import Instance, Study
from delivery.associate import Peer
from delivery.dicomweb import WebPeer
from tests.certificates import Authority
from tests.delivering import Pacs
from tests.receivable import ReceivingNode
from tests.webserver import WebServer
from tools.ports import free_port
from wetread.config import load
from wetread.simulate.mark import is_test_study
from wetread.simulate.plan import Plan
from wetread.simulate.run import Pace, simulate
from wetread.simulate.tally import Outcome

CHESTS = Plan(kinds=("chest",), distinct=1, findings=0.0, small=True)
IMAGES = (CTImageStorage, DigitalXRayImageStorageForPresentation)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ReceivingNode]:
    made = ReceivingNode(tmp_path)
    with made.receiver:
        yield made
    made.database.close()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def peer(port: int, title: str = "WETREAD") -> Peer:
    return Peer(ae_title=title, host="127.0.0.1", port=port, calling_ae_title="SIMULATOR")


def test_our_node_stores_every_study(node: ReceivingNode, scratch: Path) -> None:
    plan = Plan(distinct=1, findings=0.0, subjects=1, small=True)
    told: list[Outcome] = []
    summary = simulate(
        peer(node.receiver.port), plan, Pace(studies=4, associations=2), threading.Event(),
        told.append,
    )  # fmt: skip
    assert sorted(each.number for each in told) == [0, 1, 2, 3]
    assert summary["studies_by_kind"] == {"chest": 2, "head": 2}
    assert summary["instances"] == summary["instances_stored"] == 42
    assert summary["statuses"] == {"0000": 42}
    with node.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Study)) == 4
        assert connection.scalar(select(func.count()).select_from(Instance)) == 42
        assert set(connection.scalars(select(Instance.calling_ae))) == {"SIMULATOR"}
    assert list(scratch.iterdir()) == []


def test_what_is_refused_is_counted_and_the_run_goes_on() -> None:
    pacs = Pacs(IMAGES, statuses={CTImageStorage: 0xA700})
    plan = Plan(distinct=1, findings=0.0, small=True)
    with pacs.running():
        summary = simulate(
            peer(pacs.port, "PACS"), plan, Pace(studies=4), threading.Event(), lambda _: None
        )
    assert (summary["studies"], summary["studies_stored"]) == (4, 2)
    assert summary["statuses"] == {"0000": 2, "A700": 40}
    assert summary["reasons"] == {"refused with status A700": 40}
    assert all(is_test_study(each) for each in pacs.received)


def test_a_dicomweb_server_gets_studies_too() -> None:
    with WebServer() as server:
        summary = simulate(
            WebPeer(url=server.url), CHESTS, Pace(studies=2), threading.Event(), lambda _: None
        )
        came = [each for request in server.requests for each in request.objects]
    assert summary["instances_stored"] == 2
    assert len({each.StudyInstanceUID for each in came if is_test_study(each)}) == 2


def test_an_endless_run_ends_where_nobody_ever_answered(scratch: Path) -> None:
    port = free_port()
    summary = simulate(peer(port), CHESTS, Pace(), threading.Event(), lambda _: None)
    assert summary["studies"] == 1
    assert summary["reasons"] == {f"WETREAD@127.0.0.1:{port}: no connection": 1}
    assert list(scratch.iterdir()) == []


def test_an_endless_run_ends_when_it_is_told_to() -> None:
    pacs, stop = Pacs(IMAGES), threading.Event()
    with pacs.running():
        summary = simulate(
            peer(pacs.port, "PACS"), CHESTS, Pace(), stop,
            lambda outcome: stop.set() if outcome.number == 2 else None,
        )  # fmt: skip
    assert summary["studies"] == summary["studies_stored"] >= 3
    assert len(pacs.received) == summary["instances"]


def test_an_endless_run_ends_when_its_time_is_up() -> None:
    pacs = Pacs(IMAGES)
    with pacs.running():
        pace = Pace(seconds=0.5)
        summary = simulate(peer(pacs.port, "PACS"), CHESTS, pace, threading.Event(), lambda _: None)
    assert summary["studies_stored"] == len(pacs.received) >= 1


def test_studies_begin_no_faster_than_the_rate() -> None:
    pacs = Pacs(IMAGES)
    with pacs.running():
        pace = Pace(studies=4, per_minute=300, associations=4)
        summary = simulate(peer(pacs.port, "PACS"), CHESTS, pace, threading.Event(), lambda _: None)
    assert summary["elapsed_seconds"] >= 3 * 60 / 300


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "wetread", "simulate", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, Any]:
    out, err = process.communicate(timeout=50)
    assert "Traceback" not in err
    return process.returncode, json.loads(out) if out else err


def small(port: int) -> tuple[object, ...]:
    return f"PACS@127.0.0.1:{port}", "--kind", "chest", "--size", "small", "--distinct", 1


def test_ctrl_c_ends_the_command_in_good_order(tmp_path: Path) -> None:
    pacs = Pacs(IMAGES)
    with pacs.running():
        process = start(tmp_path, *small(pacs.port), "--studies", 0, "--json")
        assert process.stderr is not None
        assert process.stderr.readline().startswith("study 1 (chest): 1 of 1 stored in ")
        process.send_signal(signal.SIGINT)
        code, summary = ended(process)
    assert code == 0
    assert summary["instances"] == summary["instances_stored"] == len(pacs.received)


def test_without_a_target_it_is_this_node(tmp_path: Path) -> None:
    pacs = Pacs(IMAGES)
    (tmp_path / "wetread.toml").write_text(f"[node]\nae_title = 'PACS'\nport = {pacs.port}\n")
    options = ("--kind", "chest", "--size", "small", "--studies", 1, "--json")
    with pacs.running():
        code, summary = ended(start(tmp_path, *options))
    assert (code, summary["target"]) == (0, f"PACS@127.0.0.1:{pacs.port}")
    assert len(pacs.received) == 1


def test_the_command_fails_if_anything_was_not_stored(tmp_path: Path) -> None:
    pacs = Pacs(IMAGES, statuses={DigitalXRayImageStorageForPresentation: 0xA700})
    with pacs.running():
        code, summary = ended(start(tmp_path, *small(pacs.port), "--studies", 1, "--json"))
    assert (code, summary["statuses"]) == (1, {"A700": 1})


def test_a_title_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    code, error = ended(start(tmp_path, *small(free_port()), "--calling", "MUCH_TOO_LONG_A_TITLE"))
    assert code == 2
    assert "1 to 16 ASCII characters" in " ".join(error.split())


def test_a_closed_node_is_called_as_a_peer_that_may(tmp_path: Path) -> None:
    if not Authority.installed():
        pytest.skip("openssl is not installed: apt-get install openssl")
    pair = Authority(tmp_path / "ca").issue("wetread.clinic.example")
    (tmp_path / "wetread.toml").write_text(
        f"[node]\nhost = '127.0.0.1'\n[tls]\ncertificate = '{pair.certificate}'\n"
        f"key = '{pair.key}'\nport = {free_port()}\n"
        "[[peer]]\nname = 'far'\nae_title = 'FAR'\nnetworks = ['192.0.2.0/24']\n"
        "[[peer]]\nname = 'ct1'\nae_title = 'CT1'\n",
        "utf-8",
    )
    command = [sys.executable, "-m", "wetread", "receive"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline().strip() == b"ready"
        try:
            code, summary = ended(start(tmp_path, *small(0)[1:], "--studies", 1, "--json"))
        finally:
            receiver.terminate()
    assert (code, summary["instances_stored"]) == (0, 1)
    url = load(tmp_path / "wetread.toml").database.url
    with closing(Database(url)) as database, database.read() as connection:
        assert connection.execute(select(Instance.calling_ae)).scalar_one() == "CT1"


def test_a_node_that_nobody_may_call_says_how_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "wetread.toml").write_text(
        "[[peer]]\nname = 'far'\nae_title = 'FAR'\nnetworks = ['192.0.2.0/24']\n", "utf-8"
    )
    code, error = ended(start(tmp_path))
    assert code == 3
    assert "no [[peer]] may call from this host" in error
    assert "describe this node as a [[destination]]" in error


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "wetread.toml").write_text("[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\n")
    code, error = ended(start(tmp_path))
    assert code == 3
    assert "c.pem: cannot be read: No such file or directory" in error
