"""``wetread status`` and ``wetread commitments``: what they print, as a table and as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from db import commitment, figures, outage, outbox, overview, processes, studies
from db.archive import Archive
from db.commitment import Asked, Reference
from db.engine import Database
from db.processes import Running
from db.retry import RetryPolicy
from db.studies import StoredInstance
from tests.certificates import Authority
from tests.delivering import report
from wetread.cli import main
from wetread.config import load
from wetread.presence import TOTALS
from wetread.roles import open_database
from wetread.version import VERSION
from wetread.words import shown_moment

RETRY = RetryPolicy(attempts=1, first_seconds=0, longest_seconds=0)

Wetread = Callable[..., tuple[int, str, str]]


@pytest.fixture
def wetread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Wetread:
    """Run ``wetread`` in this process, in an empty folder; exit code, output and errors."""
    for name in list(os.environ):
        if name.startswith("WETREAD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for library in ("pydicom", "pynetdicom"):  # whose loggers the command silences
        monkeypatch.setattr(logging.getLogger(library), "level", logging.WARNING)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wetread", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main.run()
        printed = capsys.readouterr()
        code = caught.value.code
        return code if isinstance(code, int) else 0, printed.out, printed.err

    return call


@pytest.fixture
def database(wetread: Wetread) -> Database:
    """The database of a node with default settings."""
    return open_database(load())


def as_json(wetread: Wetread, *arguments: object) -> Any:
    code, out, _ = wetread(*arguments, "--json")
    assert code == 0
    return json.loads(out)


def receive(database: Database, number: int, size: int, hours_ago: float) -> None:
    uid = f"1.2.3.{number}"
    instance = StoredInstance(
        sop_instance_uid=uid, study_uid="1.2.3", series_uid="1.2.3.9", sop_class_uid="1.2.4",
        transfer_syntax_uid="1.2.840.10008.1.2.1", modality="DX", own=False, size=size,
        digest="0" * 64, path=f"archive/{uid}.dcm", calling_ae="CONSOLE",
    )  # fmt: skip
    with database.write() as connection:
        studies.record(connection, instance, 3600)
        connection.execute(
            text("update instance set received_at = received_at - :s where sop_instance_uid = :u"),
            {"s": hours_ago * 3600, "u": uid},
        )


def free(monkeypatch: pytest.MonkeyPatch, megabytes: int) -> None:
    disk = SimpleNamespace(f_bavail=megabytes, f_frsize=1_000_000)
    monkeypatch.setattr("scp.disk.os.statvfs", lambda _folder: disk)


@pytest.mark.parametrize(
    ("days", "said"), [(200, "expires on "), (20, "EXPIRES on "), (-1, "EXPIRED on ")]
)
def test_when_certificates_run_out(
    wetread: Wetread, database: Database, tmp_path: Path, days: int, said: str
) -> None:
    if not Authority.installed():
        pytest.skip("there is no openssl")
    pair = Authority(tmp_path / "ca").issue("wetread", days=days)
    Path("wetread.toml").write_text(
        f'[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n', "utf-8"
    )
    (shown,) = as_json(wetread, "status")["certificates"]
    assert (shown["file"], shown["days_left"]) == (pair.certificate, days - 1)
    line = next(
        each for each in wetread("status")[1].splitlines() if each.startswith("certificate")
    )
    assert f"{pair.certificate}: {said}{shown['not_after'][:10]}" in line


def test_a_certificate_that_cannot_be_read_is_an_alarm(
    wetread: Wetread, database: Database, tmp_path: Path
) -> None:
    place = 'name = "a"\nae_title = "PACS"\nhost = "h"\nport = 104\ntls = true\nca = "ca.pem"\n'
    Path("wetread.toml").write_text(f"[[destination]]\n{place}", "utf-8")
    shown = as_json(wetread, "status")
    (certificate,) = shown["certificates"]
    trouble = f"{tmp_path / 'ca.pem'}: cannot be read: No such file or directory"
    assert certificate == {
        "file": str(tmp_path / "ca.pem"), "not_after": None, "days_left": None, "trouble": trouble,
    }  # fmt: skip
    assert "certificate-unreadable" in [each["name"] for each in shown["alarms"]]
    assert f"certificate  {trouble}" in wetread("status")[1].splitlines()


def test_an_empty_node(
    wetread: Wetread, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 5000)
    shown = as_json(wetread, "status")
    assert shown["disk"] == {
        "state": "ok",
        "free_bytes": 5_000_000_000,
        "mark_bytes": 1_024_000_000,
        "instances": 0,
        "archive_bytes": 0,
        "result_bytes": 0,
        "received_bytes_per_hour": 0,
        "hours_left": None,
    }
    assert set(shown) == {
        "alarms", "version", "expected", "processes", "models", "gpus", "queue", "queued_models",
        "due", "failed", "last_hour", "latency", "disk", "jobs", "deliveries", "commitments",
        "paused", "disabled", "destinations", "certificates",
    }  # fmt: skip
    assert [each["name"] for each in shown["alarms"]] == ["nothing-runs"]
    assert shown["paused"] == shown["destinations"] == shown["certificates"] == []
    assert set(shown["jobs"].values()) == {0}
    _, out, _ = wetread("status")
    assert "5.0 GB free; images are refused below 1.0 GB" in out
    assert "nothing was received" in out
    assert out.startswith("ALARM        no role runs on any host")
    assert wetread("status", "--check")[0] == 1


def test_a_node_at_work(
    wetread: Wetread, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 5000)
    details = {"clock_offset": 0.0, "gpus": [], "models": [
        {"name": "chest", "version": "1", "provider": "CPUExecutionProvider"}
    ]}  # fmt: skip
    with database.write() as connection:
        for role in ("receive", "work", "work"):
            owner = f"ai-1:{role}:{len(processes.seen(connection))}"
            running = Running(owner=owner, role=role, host="ai-1", pid=7, version=VERSION)
            processes.beat(connection, running, details)
    shown = as_json(wetread, "status")
    assert shown["alarms"] == []
    assert wetread("status", "--check")[0] == 0
    assert [each["role"] for each in shown["processes"]] == ["receive", "work", "work"]
    (model,) = shown["models"]
    assert (model["name"], model["workers"]) == ("chest", 2)
    out = wetread("status")[1]
    assert "ALARM" not in out
    assert "chest 1 on CPU in 2 workers" in out
    assert "receive runs since" in out


def test_a_model_on_the_cpu_is_an_alarm_where_there_is_a_gpu(
    wetread: Wetread, database: Database
) -> None:
    gpu = {"memory_used": 0, "memory_total": 80 * 10**9, "utilization": 0.0}
    hosts = {
        "ai-1": ("CUDAExecutionProvider", [gpu]),
        "ai-2": ("CPUExecutionProvider", []),
        "ai-3": ("CPUExecutionProvider", [gpu]),
    }

    def models() -> tuple[list[str], list[str]]:
        names = [each["name"] for each in as_json(wetread, "status")["alarms"]]
        lines = wetread("status")[1].splitlines()
        return names, [each.split(maxsplit=1)[1] for each in lines if each.startswith("model ")]

    def beat(host: str) -> None:
        provider, gpus = hosts[host]
        details = {"gpus": gpus, "models": [
            {"name": "chest", "version": "1", "provider": provider}
        ]}  # fmt: skip
        with database.write() as connection:
            running = Running(owner=host, role="work", host=host, pid=7, version=VERSION)
            processes.beat(connection, running, details)

    beat("ai-1")
    beat("ai-2")
    names, lines = models()
    assert "cpu-fallback" not in names
    assert lines == ["chest 1 on CPU in 1 worker", "chest 1 on CUDA in 1 worker"]
    beat("ai-3")
    names, lines = models()
    assert names.count("cpu-fallback") == 1
    assert "chest 1 on CPU, beside a GPU, in 1 worker" in lines


def test_times_are_on_the_clock_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert shown_moment("2026-03-01T20:00:30.25+00:00") == "2026-03-02 05:00:30"
    time.tzset()


def test_how_busy_the_gpus_are(wetread: Wetread, database: Database) -> None:
    gpus = [
        {"memory_used": 3 * 10**9, "memory_total": 80 * 10**9, "utilization": 0.414},
        {"memory_used": 0, "memory_total": 80 * 10**9, "utilization": 0.0},
    ]
    with database.write() as connection:
        for host, told in (("ai-2", []), ("ai-1", gpus)):
            for number in (1, 2):  # of whom each tells the same
                running = Running(
                    owner=f"{host}-{number}", role="work", host=host, pid=number, version=VERSION
                )
                processes.beat(connection, running, {"gpus": told})
    shown = as_json(wetread, "status")["gpus"]
    assert shown == [
        {"host": "ai-1", "number": 0} | gpus[0],
        {"host": "ai-1", "number": 1} | gpus[1],
        {
            "host": "ai-2", "number": None,
            "memory_used": None, "memory_total": None, "utilization": None,
        },
    ]  # fmt: skip
    lines = [each for each in wetread("status")[1].splitlines() if each.startswith("gpu ")]
    assert [each.split(maxsplit=1)[1] for each in lines] == [
        "0 on ai-1: 41 % busy, 3.0 GB of 80.0 GB in use",
        "1 on ai-1: 0 % busy, 0 bytes of 80.0 GB in use",
        "none on ai-2",
    ]


def test_totals_of_many_are_those_that_a_role_counted_a_moment_ago(
    wetread: Wetread, database: Database
) -> None:
    def shown() -> int:
        instances: int = as_json(wetread, "status")["disk"]["instances"]
        return instances

    figures.refresh(database, TOTALS, overview.totals, 30)
    receive(database, 1, 10**6, hours_ago=0)
    assert shown() == 1  # so few are counted at once
    with database.write() as connection:
        counted = figures.shown(connection, TOTALS)
        assert counted is not None
        counted.value["stored"]["instances"] = 10**6
        many = {"value": json.dumps(counted.value)}
        connection.execute(text("update figure set value = :value"), many)
    assert shown() == 10**6
    with database.write() as connection:
        connection.execute(text("update figure set counted_at = counted_at - 200"))
    assert shown() == 1


def test_a_node_whose_data_folder_is_not_made_yet(
    wetread: Wetread, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WETREAD_NODE__DATA_DIR", "not/made")
    monkeypatch.setenv("WETREAD_DATABASE__URL", "sqlite:///wetread-data/wetread.db")
    assert as_json(wetread, "status")["disk"]["free_bytes"] > 0
    assert not Path("not").exists()


def test_destinations(
    wetread: Wetread, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places = [
        {"name": name, "ae_title": "PACS", "host": "localhost", "port": 104}
        for name in ("near", "far")
    ]
    monkeypatch.setenv("WETREAD_DESTINATION", json.dumps(places))
    archive = Archive(tmp_path / "results")
    for study, destination in (("1.2.4", "far"), ("1.2.5", "gone"), ("1.2.6", "near")):
        report(database, archive, study, destination)
    with database.write() as connection:
        outage.begin(connection, "far", "PACS@localhost:104: no connection")
        (parcel,) = outbox.claim(connection, "near", "c", 30, 9, RETRY)
        outbox.hold(connection, parcel, "another patient ID", RETRY)
    shown = {each["name"]: each for each in as_json(wetread, "status")["destinations"]}
    assert {name: each["state"] for name, each in shown.items()} == {
        "near": "ok",
        "far": "away",
        "gone": "unknown",
    }
    assert shown["far"]["waiting"] == shown["gone"]["waiting"] == shown["near"]["held"] == 1
    out = wetread("status")[1]
    assert "near: ok; 1 HELD" in out
    assert "(PACS@localhost:104: no connection); 1 wait" in out
    assert "gone: NOT IN THE SETTINGS" in out


def test_the_time_left_goes_by_the_last_day(
    wetread: Wetread, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 1024 + 4800)
    receive(database, 1, 10**9, hours_ago=30)
    receive(database, 2, 2 * 10**9, hours_ago=20)
    receive(database, 3, 400 * 10**6, hours_ago=0)
    disk = as_json(wetread, "status")["disk"]
    assert (disk["instances"], disk["archive_bytes"]) == (3, 3_400_000_000)
    assert disk["received_bytes_per_hour"] == 100_000_000
    assert disk["hours_left"] == 48.0
    _, out, _ = wetread("status")
    assert "2 days at this rate" in out
    assert "3 instances, 3.4 GB" in out


def test_a_young_node_goes_by_its_age(
    wetread: Wetread, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 1024 + 1000)
    receive(database, 1, 200 * 10**6, hours_ago=0)
    assert as_json(wetread, "status")["disk"]["hours_left"] == 5.0  # as if within one hour
    receive(database, 2, 200 * 10**6, hours_ago=4)
    assert as_json(wetread, "status")["disk"]["hours_left"] == 10.0
    _, out, _ = wetread("status")
    assert "10.0 hours at this rate" in out


@pytest.mark.parametrize(("mark", "state"), [(1024, "low"), (0, "off")])
def test_a_disk_below_the_mark(
    wetread: Wetread,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    mark: int,
    state: str,
) -> None:
    monkeypatch.setenv("WETREAD_NODE__FREE_MEGABYTES", str(mark))
    free(monkeypatch, 500)
    receive(database, 1, 200 * 10**6, hours_ago=0)
    disk = as_json(wetread, "status")["disk"]
    assert disk["state"] == state
    assert disk["hours_left"] == (0.0 if mark else 2.5)
    _, out, _ = wetread("status")
    assert ("LOW" in out) is bool(mark)


def add_dead(database: Database, transaction: str = "2.25.7") -> int:
    asked = Asked(
        calling_ae="CONSOLE",
        transaction_uid=transaction,
        references=(Reference("1.2.4", "1.2.3.1"), Reference("1.2.4", "1.2.3.2")),
    )
    with database.write() as connection:
        number = commitment.record(connection, asked)
        claimed = commitment.claim(connection, "CONSOLE", "w", 30, RETRY)
        assert claimed is not None
        commitment.bury(connection, claimed, "no address")
    return number


def test_commitments_are_listed_and_shown(wetread: Wetread, database: Database) -> None:
    assert wetread("commitments", "list")[1] == "no commitments\n"
    number = add_dead(database)
    (row,) = as_json(wetread, "commitments", "list")
    assert set(row) == {
        "id", "state", "calling_ae", "transaction_uid", "instances", "failed", "attempts",
        "reason", "created_at", "reported_at",
    }  # fmt: skip
    assert (row["state"], row["instances"], row["failed"]) == ("dead", 2, None)
    shown = as_json(wetread, "commitments", "show", number)
    assert shown == row | {
        "items": [
            {"sop_class_uid": "1.2.4", "sop_instance_uid": f"1.2.3.{each}", "failure": None}
            for each in (1, 2)
        ]
    }
    assert as_json(wetread, "commitments", "list", "--state", "pending") == []
    code, out, _ = wetread("commitments", "show", number)
    assert code == 0
    assert "no address" in out
    assert "1.2.3.2" in out
    assert as_json(wetread, "status")["commitments"]["dead"] == 1
    assert "1 dead" in wetread("status")[1]


def test_a_commitment_that_does_not_exist_is_named(wetread: Wetread, database: Database) -> None:
    code, _, err = wetread("commitments", "show", 99)
    assert (code, err) == (4, "wetread: there is no commitment 99\n")


def test_what_was_reported_as_failed_is_shown(wetread: Wetread, database: Database) -> None:
    number = add_dead(database)
    with database.write() as connection:
        commitment.retry(connection, number)
        claimed = commitment.claim(connection, "CONSOLE", "w", 30, RETRY)
        assert claimed is not None
        commitment.reported(connection, claimed, [None, 0x0112])
    shown = as_json(wetread, "commitments", "show", number)
    assert (shown["state"], shown["failed"]) == ("reported", 1)
    assert [each["failure"] for each in shown["items"]] == [None, "0112"]


def test_dead_commitments_are_retried_together_or_not_at_all(
    wetread: Wetread, database: Database
) -> None:
    first, second = add_dead(database, "2.25.1"), add_dead(database, "2.25.2")
    code, _, err = wetread("commitments", "retry", first, second, 99)
    assert (code, "no commitment 99" in err) == (4, True)
    assert {each["state"] for each in as_json(wetread, "commitments", "list")} == {"dead"}
    code, out, _ = wetread("commitments", "retry", first, second)
    assert (code, out) == (0, f"commitment {first} is pending\ncommitment {second} is pending\n")
    code, _, err = wetread("commitments", "retry", first)
    assert (code, "only a dead one" in err) == (1, True)
