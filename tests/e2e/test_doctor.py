"""``wetread doctor`` on a node that runs: healthy, and with faults planted one by one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db.engine import Database
from tests.delivering import ALL_FORMS, Pacs
from tests.doctoring import altered, failures, fault, let_time_pass, look, of, worries
from tests.tinymodel import write_package
from tools.node import Node
from tools.orthanc import Orthanc
from tools.ports import free_port
from wetread.config import load
from wetread.doctor.checks import CHECKS
from wetread.doctor.models import cuda_trouble
from wetread.simulate.mark import is_test_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PACS = """\
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {port}
check_patient = "off"
[models]
folders = ["models"]
disabled = ["cxr-covid", "head-ct-triage"]
[delivery]
retry_seconds = 0.2
lease_seconds = 10
"""


@pytest.fixture(scope="module")
def pacs() -> Iterator[Pacs]:
    with Pacs(ALL_FORMS).running() as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs) -> Iterator[Node]:
    """A node with a small model, whose PACS takes all."""
    with started(tmp_path_factory.mktemp("node"), PACS.format(port=pacs.port)) as running:
        yield running


def started(folder: Path, extra: str) -> Node:
    write_package(folder / "models")
    made = Node(folder, extra=extra)
    made.config.chmod(0o600)
    return made


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wetread", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def doctor(node: Node, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code, and the findings."""
    done = node.cli("doctor", "--json", *arguments)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)["findings"]


def test_a_healthy_node_has_nothing_that_failed(node: Node) -> None:
    code, findings = doctor(node, "--quick")
    assert [each for each in findings if each["verdict"] == "failed"] == []
    assert code == 0
    assert {each["check"] for each in findings} >= {each.name for each in CHECKS}
    assert {each["subject"] for each in findings if each["check"] == "roles"} >= {
        "receive", "work", "deliver"
    }  # fmt: skip
    assert all(each["remedy"] for each in findings if each["verdict"] == "warning")
    (trip,) = [each for each in findings if each["check"] == "round-trip"]
    assert trip["verdict"] == "skipped"
    assert node.json("studies", "list") == []  # nobody asked for one


def test_people_see_areas_findings_and_remedies(node: Node) -> None:
    done = node.cli("doctor", "--only", "receiver", "--only", "settings")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "Settings",
        f"  ok    file: {node.config}: every key is known and every value allowed",
        "  WARN  peers: none is listed: everyone who calls WETREAD may send",
        "        -> list who may send as [[peer]]",
        "Network",
        f"  ok    port {node.port}: answers C-ECHO from WETREAD-TEST as WETREAD",
        "2 ok, 1 warning",
    ]


def test_a_test_study_goes_all_the_way_and_is_marked(orthanc: Orthanc, tmp_path: Path) -> None:
    extra = PACS.format(port=orthanc.port).replace('"PACS"', f'"{orthanc.ae_title}"')
    extra = extra.replace('check_patient = "off"', "commitment = true")
    with started(tmp_path / "node", extra) as node:
        orthanc.call("PUT", "/modalities/wetread", [node.ae_title, "127.0.0.1", node.port])
        code, findings = doctor(
            node, "--round-trip", "--only", "destinations", "--only", "round-trip"
        )
        (study,) = node.json("studies", "list")
    assert code == 0
    assert {each["verdict"] for each in findings} == {"ok"}
    steps = [each for each in findings if each["check"] == "round-trip"]
    assert [each["subject"] for each in steps] == [
        "received", "read by tiny", "pacs", "test study"
    ]  # fmt: skip
    assert re.search(r"^3 results sent within .* committed \d+\.\d s later$", steps[2]["found"])
    assert all(is_test_study(each) for each in orthanc.datasets())
    ((name, patient_id),) = {
        (str(each.PatientName), str(each.PatientID)) for each in orthanc.datasets()
    }
    assert name.startswith("TEST^WETREAD^")
    assert steps[-1]["found"] == f"patient ID {patient_id}, study {study['study_uid']}"
    assert f"delete patient {patient_id} in the PACS" in steps[-1]["remedy"]


def test_the_wrong_port(node: Node) -> None:
    with altered(node.config, (f"port = {node.port}", f"port = {free_port()}")) as file:
        found, remedy = fault(look(file, "receiver"))
    assert "nobody listens there" in found
    assert "correct port" in remedy
    assert "start the roles again" in remedy


def test_the_wrong_ae_title(node: Node) -> None:
    with altered(node.config, ("[node]", '[node]\nae_title = "OTHER"')) as file:
        found, remedy = fault(look(file, "receiver"))
    assert found == "association rejected: it has another AE title"
    assert "correct ae_title: it does not go by OTHER" in remedy


def test_another_program_on_our_port(node: Node, pacs: Pacs) -> None:
    with altered(node.config, (f"port = {node.port}", f"port = {pacs.port}")) as file:
        found, remedy = fault(look(file, "receiver"))
    assert found == "association rejected: it has another AE title"
    assert "no other program has this port" in remedy


def test_cpu_fallback(node: Node, tmp_path: Path) -> None:
    """A host with a GPU, whose runtime can speak CUDA, and whose worker runs on the CPU."""
    from inference.runtime import available_providers

    if "CUDAExecutionProvider" not in available_providers() or not cuda_trouble():
        pytest.skip("needs a runtime with CUDA, and a host without")
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    gpu, worker = worries(look(node.config, "devices", devices=tmp_path), "devices")
    assert gpu.found.startswith("1 on this host, and models run on the CPU: lib")
    assert "cannot open shared object file" in gpu.found
    assert worker.found == "runs on CPUExecutionProvider though there is a GPU"
    assert "wetread[cuda]" in gpu.remedy
    assert "start the workers again" in worker.remedy


def test_a_dead_worker_and_what_it_holds(tmp_path: Path, pacs: Pacs) -> None:
    node = started(tmp_path / "node", PACS.format(port=pacs.port))
    database = Database(load(node.config).database.url)
    try:
        with node:
            assert failures(look(node.config, "roles")) == []
            node.cut_off()
            let_time_pass(database, "work", 60.0)
            found, remedy = fault(look(node.config, "roles"))
            receivers = of(look(node.config, "receiver"), "receiver")
    finally:
        database.close()
    assert re.search(r"^none runs: nothing is read \(.*, has been silent for \d+ s\)$", found)
    assert "start the node" in remedy
    assert [each.verdict for each in receivers] == ["failed"]


def test_settings_that_cannot_be_used(node: Node) -> None:
    with altered(node.config, ("[node]", "[node]\nprot = 104")) as file:
        done = cli("doctor", "--json", "-c", str(file))
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["check"], found["verdict"]) == ("settings", "failed")
    assert found["found"] == f"{file}: node.prot: no such setting; see 'wetread config init'"
    assert found["remedy"]


def test_a_check_that_does_not_exist(node: Node) -> None:
    done = node.cli("doctor", "--only", "weather")
    assert done.returncode == 2
    assert "there is no check 'weather'; there are settings, " in done.stderr
