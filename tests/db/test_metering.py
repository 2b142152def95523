"""What has happened is counted once, whoever counts, and stays counted."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import pytest
from sqlalchemy import update

from db import confirmation, dispatch, figures, jobs, metering, meters, outbox, studies
from db.archive import Archive
from db.confirmation import Report
from db.engine import Database, now
from db.jobs import Claim, ModelRef
from db.meters import Increments, Tally
from db.outbox import StoredResult
from db.retention import Policy, Retention
from db.retry import RetryPolicy
from db.schema import Delivery, Instance, Job, Study
from db.studies import StoredInstance
from tests.mail import letters

MODEL = ModelRef("chest", "1")
RETRY = RetryPolicy(attempts=1, first_seconds=0.0, longest_seconds=0.0)
SAID = {"answer": "abnormal", "leading": "pneumonia", "abnormal_probability": 0.91}


def instance(study: str, number: int = 1, modality: str = "DX") -> StoredInstance:
    return StoredInstance(
        sop_instance_uid=f"{study}.{number}", study_uid=study, series_uid=f"{study}.0",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1", transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality=modality, own=False, size=1000, digest="", path=f"archive/{study}/{number}.dcm",
        calling_ae="CONSOLE",
    )  # fmt: skip


def receive(database: Database, *instances: StoredInstance) -> None:
    with database.write() as connection:
        for each in instances:
            studies.record(connection, each, 0.0)


def claimed(database: Database, study: str) -> Claim:
    """A job over one image, in a worker's hands."""
    receive(database, instance(study))
    with database.write() as connection:
        jobs.enqueue(connection, study, MODEL, [instance(study)])
        (work,) = dispatch.claim(connection, "w", [MODEL], 30)
    return work


def read(database: Database, study: str, said: object = SAID, batch: int = 1) -> None:
    """A study comes, and is read, with one report for the destination ``pacs``."""
    work = claimed(database, study)
    report = StoredResult(
        kind="sr", number=1, rank=0, style="", sop_class_uid="1.2",
        sop_instance_uid=f"2.25.{study}", path=f"results/{study}.dcm", size=1,
    )  # fmt: skip
    with database.write() as connection:
        jobs.finish(connection, work, answers=json.dumps(said), batch=batch)
        outbox.post(connection, work.job_id, [report], letters("pacs", [report]))


def send(database: Database, *, commit: bool = False) -> None:
    with database.write() as connection:
        for each in outbox.claim(connection, "pacs", "c", 30, 10, RETRY):
            outbox.sent(connection, each, each.alternatives[0].result_id, commit=commit)


def commit(database: Database, uid: str) -> None:
    """The destination is asked, and commits."""
    with database.write() as connection:
        connection.execute(update(Delivery).values(commit_at=0.0))
        assert confirmation.ask(connection, "pacs", "2.25.9")
        report = Report(transaction_uid="2.25.9", committed=frozenset({uid}), failed={})
        assert confirmation.note(connection, report).committed == 1


def count(database: Database) -> None:
    assert metering.run(database, older=-1.0)


def counted(database: Database, tally: Tally) -> dict[tuple[str, ...], float]:
    """Values by labels; of a histogram, by labels and bucket."""
    with database.read() as connection:
        found = meters.values(connection).get(tally.name, [])
    names = (*tally.labels, "le")
    return {tuple(labels[name] for name in names if name in labels): v for labels, v in found}


def set_times(database: Database, *, received: float, job: Sequence[float]) -> None:
    """Date everything: an image, then a job's creation, start and end."""
    names = ("created_at", "started_at", "finished_at")
    with database.write() as connection:
        connection.execute(update(Instance).values(received_at=received))
        connection.execute(update(Job).values(dict(zip(names, job, strict=True))))


def test_what_comes_is_counted_by_modality_and_what_a_peer_invents_is_other(
    database: Database,
) -> None:
    receive(database, instance("1.1"), instance("1.1", 2), instance("1.2", 1, "CT"))
    receive(database, instance("1.3", 1, "DOE^JANE"))
    count(database)
    assert counted(database, meters.INSTANCES) == {("DX",): 2, ("CT",): 1, ("other",): 1}
    assert counted(database, meters.BYTES) == {("DX",): 2000, ("CT",): 1000, ("other",): 1000}


def test_a_pass_counts_nothing_twice(database: Database) -> None:
    for study in ("1.1", "1.2"):
        read(database, study)
        count(database)
        count(database)
    assert counted(database, meters.INSTANCES) == {("DX",): 2}
    assert counted(database, meters.JOBS) == {("chest", "done"): 2}


def test_jobs_are_counted_by_how_they_ended(database: Database) -> None:
    read(database, "1.1")
    with database.write() as connection:
        jobs.skip(connection, "1.1", ModelRef("head", "1"), [], "no CT")
    failed = claimed(database, "1.2")
    with database.write() as connection:
        jobs.fail(connection, failed, "broken", None)
    cancelled = claimed(database, "1.3")
    with database.write() as connection:
        jobs.cancel(connection, cancelled.job_id)
    claimed(database, "1.4")  # goes on
    count(database)
    assert counted(database, meters.JOBS) == {
        ("chest", "done"): 1, ("head", "skipped"): 1, ("chest", "dead"): 1,
        ("chest", "cancelled"): 1,
    }  # fmt: skip


def test_answers_are_counted_by_model(database: Database) -> None:
    read(database, "1.1", batch=3)
    read(database, "1.2", {"answer": "normal", "leading": "none", "abnormal_probability": 0.03})
    read(database, "1.3", {"answer": None, "leading": None, "abnormal_probability": None})
    count(database)
    assert counted(database, meters.ANSWERS) == {
        ("chest", "abnormal"): 1, ("chest", "normal"): 1, ("chest", "none"): 1,
    }  # fmt: skip
    assert counted(database, meters.LEADING) == {("chest", "pneumonia"): 1, ("chest", "none"): 1}
    assert counted(database, meters.PROBABILITY) == {("chest", "0.1"): 1, ("chest", "1.0"): 1}
    assert counted(database, meters.BATCH) == {("chest", "1.0"): 2, ("chest", "4.0"): 1}


def test_each_stage_is_measured(database: Database) -> None:
    read(database, "1.1")
    set_times(database, received=1000.0, job=(1004.0, 1004.25, 1024.25))
    count(database)
    assert counted(database, meters.COMPLETION) == {("chest", "5.0"): 1}
    assert counted(database, meters.WAITING) == {("chest", "0.25"): 1}
    assert counted(database, meters.READING) == {("chest", "30.0"): 1}
    with database.read() as connection:
        ((labels, seconds),) = meters.values(connection)[meters.sum_of(meters.READING)]
    assert (labels, seconds) == ({"model": "chest"}, 20.0)


def test_deliveries_are_counted_and_measured(database: Database) -> None:
    read(database, "1.1")
    send(database, commit=True)
    with database.write() as connection:
        connection.execute(update(Instance).values(received_at=Instance.received_at - 1000))
    count(database)
    assert counted(database, meters.SENT) == {("pacs",): 1}
    assert sum(counted(database, meters.DELIVERY).values()) == 1
    assert counted(database, meters.TURNAROUND) == {("chest", "3600.0"): 1}
    assert counted(database, meters.COMMITTED) == {}
    commit(database, "2.25.1.1")
    count(database)
    assert counted(database, meters.COMMITTED) == {("pacs",): 1}
    assert counted(database, meters.SENT) == {("pacs",): 1}


def test_what_is_purged_stays_counted(database: Database, archive: Archive) -> None:
    archive.write("archive/1.1/1.dcm", [b"DICM"])
    read(database, "1.1")
    send(database)
    count(database)
    with database.write() as connection:
        connection.execute(update(Study).values(last_received_at=1.0, due_at=None))
    policy = Policy(source_days=0.0, delivered_days=0.0, mark_bytes=0, result_days=1.0)
    Retention(policy, database, archive, lambda: 10**12).run_once(threading.Event())
    with database.read() as connection:
        assert connection.execute(Job.__table__.select()).all() == []
    read(database, "1.2")
    count(database)
    assert counted(database, meters.JOBS) == {("chest", "done"): 2}
    assert counted(database, meters.INSTANCES) == {("DX",): 2}


def test_many_count_at_once_while_more_comes(database: Database) -> None:
    """Several processes, with pages so small that they get into each other's way."""
    ended = threading.Event()

    def keep_counting() -> None:
        own = Database(database.engine.url.render_as_string(hide_password=False))
        while not ended.is_set():
            metering.run(own, older=-1.0)
        own.close()

    counters = [threading.Thread(target=keep_counting) for _ in range(3)]
    for each in counters:
        each.start()
    try:
        for number in range(30):
            receive(database, *(instance(f"1.{number}", k) for k in range(1, 11)))
    finally:
        ended.set()
        for each in counters:
            each.join()
    count(database)
    assert counted(database, meters.INSTANCES) == {("DX",): 300}


def test_a_long_history_is_caught_up_with_over_passes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "_BUSY_SECONDS", 0.0)
    source = metering._Source(Instance.received_at, 2, metering._received)
    monkeypatch.setattr(metering, "_SOURCES", (source,))
    for number in range(5):
        receive(database, instance(f"1.{number}"))
    seen = []
    for _ in range(3):
        count(database)
        seen.append(counted(database, meters.INSTANCES)["DX",])
    assert seen == [2, 4, 5]


def test_what_is_committed_late_is_not_passed_over(server_database: Database) -> None:
    """On PostgreSQL; on SQLite nobody commits after who began later."""
    with server_database.write() as slow:
        studies.record(slow, instance("1.1"), 0.0)
        receive(server_database, instance("1.2"))
        count(server_database)
        assert counted(server_database, meters.INSTANCES) == {}
    count(server_database)
    assert counted(server_database, meters.INSTANCES) == {("DX",): 2}


def test_it_is_counted_now_and_then(database: Database) -> None:
    assert metering.run(database)
    assert not metering.run(database)
    with database.read() as connection:
        noted = figures.shown(connection, metering.PASS)
        assert noted is not None
        assert noted.value <= now(connection)


def test_what_is_logged_adds_up(database: Database) -> None:
    for _ in range(2):
        found = Increments()
        found.count(meters.EVENTS, "work", "error", "job.failed", by=2)
        found.count(meters.EVENTS, "work", "warning", "job.discarded")
        with database.write() as connection:
            meters.add(connection, found)
            meters.add(connection, Increments())
    assert counted(database, meters.EVENTS) == {
        ("work", "error", "job.failed"): 4, ("work", "warning", "job.discarded"): 2,
    }  # fmt: skip
