"""``/metrics``, ``/healthz`` and ``/readyz`` on a socket, over a database of each kind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from db import holds, jobs, metering, outage, processes, studies
from db.archive import Archive
from db.engine import Database
from db.jobs import ModelRef
from db.processes import Running
from db.studies import StoredInstance
from tests.certificates import Authority
from tools.ports import free_port
from wetread.config import load
from wetread.metrics.families import documented
from wetread.web.app import application
from wetread.web.serving import Server

Site = Callable[..., AbstractContextManager[str]]
EVERYBODY = ("receive", "work", "deliver", "web")
DESTINATION = """
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = 104
"""


@pytest.fixture
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """What serves the dashboard of a node with further settings; its address."""

    @contextmanager
    def served(extra: str = "", database: Database | None = None) -> Iterator[str]:
        port, config = free_port(), tmp_path / "wetread.toml"
        (tmp_path / "wetread-data").mkdir(exist_ok=True)
        config.write_text(f"[web]\nport = {port}\n{DESTINATION}{extra}", "utf-8")
        settings, stop = load(config), threading.Event()
        database = database or request.getfixturevalue("database")
        app = application(settings, database, Archive(settings.node.data_dir))
        with Server(settings, app) as server:
            thread = threading.Thread(target=server.run, args=(stop,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                stop.set()
                thread.join()

    return served


def beat(database: Database, *roles: str, **details: object) -> None:
    for role in roles:
        running = Running(owner=role, role=role, host="reader", pid=1, version="9.9")
        with database.write() as connection:
            processes.beat(connection, running, details)


def queue(database: Database, study: str, priority: int) -> None:
    instance = StoredInstance(
        sop_instance_uid=f"{study}.1", study_uid=study, series_uid=f"{study}.0",
        sop_class_uid="1.2", transfer_syntax_uid="1.2.840.10008.1.2.1", modality="DX", own=False,
        size=1000, digest="", path=f"archive/{study}.dcm", calling_ae="CONSOLE",
    )  # fmt: skip
    with database.write() as connection:
        studies.record(connection, instance, 0.0)
        jobs.enqueue(connection, study, ModelRef("chest", "1"), [instance], priority)


def samples(url: str) -> dict[tuple[str, ...], float]:
    """Values by name and labels, in the order of the labels' names."""
    found = text_string_to_metric_families(requests.get(f"{url}/metrics", timeout=20).text)
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in found
        for sample in family.samples
    }


def test_what_waits_and_who_runs_is_told(database: Database, serve: Site) -> None:
    queue(database, "1.1", jobs.URGENT)
    queue(database, "1.2", jobs.ROUTINE)
    queue(database, "1.3", jobs.ROUTINE)
    worker = {"models": [{"name": "chest", "version": "1", "provider": "CUDAExecutionProvider"}]}
    gpu = {"memory_used": 3e9, "memory_total": 8e10, "utilization": 0.5}
    beat(database, "work", clock_offset=0.25, gpus=[gpu], **worker)
    with database.write() as connection:
        holds.pause(connection, "chest")
        connection.execute(text("update job set created_at = created_at - 100 where id = 1"))
    metering.run(database)
    with serve() as url:
        found = samples(url)
    assert found["wetread_queued_jobs", "chest", "urgent"] == 1
    assert found["wetread_queued_jobs", "chest", "routine"] == 2
    assert found["wetread_queue_oldest_seconds", "chest", "urgent"] >= 100
    assert found["wetread_queue_oldest_seconds", "chest", "routine"] < 100
    assert found["wetread_paused_info", "chest"] == 1
    assert found["wetread_role_processes", "work"] == 1
    assert found["wetread_role_processes", "receive"] == 0
    assert found["wetread_processes", "reader", "work", "9.9"] == 1
    assert found["wetread_model_workers", "reader", "chest", "CUDAExecutionProvider", "1"] == 1
    assert found["wetread_clock_offset_seconds", "reader"] == 0.25
    assert found["wetread_gpu_present", "reader"] == 1
    assert found["wetread_gpu_memory_used_bytes", "0", "reader"] == 3e9
    assert found["wetread_gpu_utilization_ratio", "0", "reader"] == 0.5
    assert found["wetread_deliveries", "pacs", "held"] == 0
    assert found["wetread_destination_up", "pacs"] == 1
    assert found["wetread_instances_received_total", "DX"] == 3
    assert found["wetread_database_up",] == 1
    assert found["wetread_jobs_ended_total", "chest", "dead"] == 0
    assert found["wetread_answers_total", "abnormal", "chest"] == 0
    assert found["wetread_deliveries_sent_total", "pacs"] == 0


def test_a_histogram_is_cumulated_and_closed(database: Database, serve: Site) -> None:
    queue(database, "1.1", jobs.ROUTINE)
    with database.write() as connection:
        connection.execute(
            text(
                "update job set state = 'done', created_at = 1000, started_at = 1000.2,"
                " finished_at = 1004.2"
            )
        )
    metering.run(database)
    with serve() as url:
        found = samples(url)
    name = "wetread_reading_seconds_bucket"
    by_bound = {labels[0]: value for (each, *labels), value in found.items() if each == name}
    assert (by_bound["2.5"], by_bound["5.0"], by_bound["3600.0"], by_bound["+Inf"]) == (0, 1, 1, 1)
    assert found["wetread_reading_seconds_count", "chest"] == 1
    assert found["wetread_reading_seconds_sum", "chest"] == pytest.approx(4.0)


def test_every_metric_is_documented_and_no_other(database: Database, serve: Site) -> None:
    with serve() as url:
        told = requests.get(f"{url}/metrics", timeout=20).text
    found = text_string_to_metric_families(told)
    shown = {(each.name, each.type, each.documentation) for each in found}
    assert shown == {
        (each.name.removesuffix("_total"), each.kind, each.meaning) for each in documented()
    }


def test_open_metrics_are_given_to_who_asks_for_them(database: Database, serve: Site) -> None:
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    with serve() as url:
        answer = requests.get(f"{url}/metrics", headers=accept, timeout=20)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    families = open_metrics(answer.text)  # type: ignore[no-untyped-call]
    assert {each.name for each in families} >= {"wetread_info", "wetread_answers"}


def test_metrics_are_for_near_ones_and_bearers_of_the_token(
    database: Database, serve: Site, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("open sesame\n", "utf-8")
    far = '[metrics]\nnetworks = ["192.0.2.0/24"]\ntoken_file = "token"\n'
    with serve(far) as url:
        asked = {
            given: requests.get(f"{url}/metrics", headers={"Authorization": given}, timeout=20)
            for given in ("", "Bearer open", "Basic open sesame", "Bearer ", "bearer open sesame")
        }
        (tmp_path / "token").write_text("", "utf-8")
        emptied = requests.get(f"{url}/metrics", headers={"Authorization": "Bearer "}, timeout=20)
        (tmp_path / "token").unlink()
        gone = requests.get(f"{url}/metrics", headers={"Authorization": "Bearer x"}, timeout=20)
        alive = requests.get(f"{url}/healthz", timeout=20)
    assert [each.status_code for each in asked.values()] == [401, 401, 401, 401, 200]
    assert "wetread_" not in asked["Bearer open"].text
    assert (emptied.status_code, gone.status_code, alive.status_code) == (401, 401, 200)


def test_a_node_with_all_roles_is_ready(database: Database, serve: Site) -> None:
    beat(database, *EVERYBODY)
    with serve() as url:
        answer = requests.get(f"{url}/readyz", timeout=20)
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})


def test_a_role_that_nobody_does_is_named(database: Database, serve: Site) -> None:
    beat(database, *EVERYBODY)
    with database.write() as connection:
        connection.execute(text("update process set seen_at = seen_at - 60 where role = 'work'"))
    with serve() as url:
        answer = requests.get(f"{url}/readyz", timeout=20)
        silent = samples(url)["wetread_silent_processes", "reader", "work"]
    assert (answer.status_code, silent) == (503, 1)
    assert answer.json() == {"ready": False, "reasons": ["work: nobody does it"]}


def test_a_schema_that_is_not_ours_is_named(database: Database, serve: Site) -> None:
    with database.write() as connection:
        connection.execute(text("update alembic_version set version_num = '0001'"))
    with serve() as url:
        answer = requests.get(f"{url}/readyz", timeout=20)
    assert answer.status_code == 503
    assert answer.json()["reasons"][0].startswith("database: has schema 0001, and this version")


def test_an_archive_that_is_away_is_named(database: Database, serve: Site, tmp_path: Path) -> None:
    beat(database, *EVERYBODY)
    with serve() as url:
        (tmp_path / "wetread-data").rmdir()
        answer, found = requests.get(f"{url}/readyz", timeout=20), samples(url)
    assert answer.json()["reasons"] == ["archive: cannot be written: No such file or directory"]
    assert ("wetread_disk_free_bytes",) not in found
    assert found["wetread_disk_mark_bytes",] == 1024e6


def test_without_the_database_what_this_host_knows_is_told(serve: Site) -> None:
    away = Database(f"postgresql+psycopg://wetread@127.0.0.1:{free_port()}/wetread")
    with serve(database=away) as url:
        found = samples(url)
        answer, alive = (
            requests.get(f"{url}/{each}", timeout=20) for each in ("readyz", "healthz")
        )
    assert found["wetread_database_up",] == 0
    assert found["wetread_disk_free_bytes",] > 0
    assert answer.json()["reasons"] == ["database: does not answer (OperationalError)"]
    assert (answer.status_code, alive.status_code) == (503, 200)


def test_a_destination_that_is_away_is_down(database: Database, serve: Site) -> None:
    with database.write() as connection:
        outage.begin(connection, "pacs", "connection refused")
    with serve() as url:
        assert samples(url)["wetread_destination_up", "pacs"] == 0


def test_certificates_are_told_by_what_they_are_for(
    database: Database, serve: Site, tmp_path: Path
) -> None:
    if not Authority.installed():
        pytest.skip("openssl is not installed: apt-get install openssl")
    authority = Authority(tmp_path / "clinic")
    pair = authority.issue("node", days=20)
    files = {"certificate": pair.certificate, "key": pair.key, "ca": authority.certificate}
    lines = [f'{name} = "{path}"' for name, path in files.items()]
    with serve("\n".join(["[tls]", *lines])) as url:
        told = requests.get(f"{url}/metrics", timeout=20).text
        found = samples(url)
    left = found["wetread_certificate_expiry_timestamp_seconds", "certificate", "receiving"]
    assert 19 <= (left - time.time()) / 86_400 <= 21
    assert ("wetread_certificate_expiry_timestamp_seconds", "ca", "receiving") in found
    assert str(tmp_path) not in told
