"""What receivers, workers and couriers ask over and over reads by index, however much is stored.

The tables hold some thousand rows and the planner's statistics are fresh, so these are the plans of
a node that has been at work for a while.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from bench.full_table import fill
from db import (
    commitment,
    confirmation,
    delivery_stats,
    dispatch,
    gauges,
    jobs,
    metering,
    migrate,
    outbox,
    overview,
    retention,
    stats,
    studies,
    superseding,
    throughput,
    waiting,
)
from db.confirmation import Report
from db.driver import Driver, Row, Step, _call
from db.engine import Database, driver_of
from db.jobs import Claim, ModelRef
from db.outbox import Letter
from db.retention import Rule
from db.retry import RetryPolicy
from db.schema import JobState
from db.studies import Arriving, DueStudy, StoredInstance
from db.timeline import timeline

MODEL = ModelRef("chest", "1")
OTHER = ModelRef("head", "1")
LETTER = Letter(destination="pacs", kind="sr", number=1, forms=("2.25.1",))
COMMITTED = Report(transaction_uid="2.25.1", committed=frozenset({"2.25.1"}), failed={})
RETRY = RetryPolicy(attempts=3, first_seconds=1.0, longest_seconds=1.0)
# SQLite's plan of a new instance has a scan of job_input as well, which it skips: it would look for
# references that were there before the instance, and there are none.
_TABLES = r"(?:instance|study|job|delivery|result|commitment)\b"
_SCAN = {
    "sqlite": re.compile(rf"SCAN {_TABLES}.*"),
    "postgresql": re.compile(rf"Seq Scan on {_TABLES}.*"),
}
_READ_BEFORE = """
insert into job (study_uid, model, model_version, input_digest, state, priority, attempts,
    created_at, run_at) select study_uid, 'chest', '1', 'x', 'done', 0, 1, 1, 1 from study;
insert into result (job_id, kind, number, rank, sop_class_uid, sop_instance_uid, path, size)
    select id, 'sr', 1, 0, '1.3', '2.25.' || id, 'x', 1 from job;
insert into delivery (job_id, kind, number, destination, state, priority, attempts, created_at,
    run_at) select id, 'sr', 1, 'pacs', 'sent', 0, 1, 1, 1 from job;
insert into commitment (calling_ae, transaction_uid, number, state, attempts, created_at, run_at)
    select 'CONSOLE', study_uid, 0, 'reported', 1, 1, 1 from study;
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """5,000 studies of 4 instances, all of them read, delivered and committed."""
    url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'wetread.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    database = Database(url)
    migrate.upgrade(database)
    fill(url, 20_000, per_study=4)
    with database.write() as connection:
        for statement in filter(str.strip, _READ_BEFORE.split(";")):
            connection.execute(text(statement))
        if not database.is_sqlite:
            connection.execute(text("analyze"))
    yield database
    database.close()


def scans(
    database: Database, ask: Callable[[Connection, str], object], monkeypatch: Any
) -> list[str]:
    """Tables that are read in full where a study's UID is asked about; each as the plan says it."""
    pattern = _SCAN[database.engine.dialect.name]
    return [found for plan in plans(database, ask, monkeypatch) for found in pattern.findall(plan)]


def plans(
    database: Database, ask: Callable[[Connection, str], object], monkeypatch: Any
) -> list[str]:
    """The plan of each statement."""
    told: list[tuple[str, Any]] = []

    def on_execute(*given: Any) -> None:
        _, _, statement, values, *_ = given
        told.append((statement, values))

    run = Driver.run

    def on_run(driver: Driver, steps: Sequence[Step]) -> list[list[Row]]:
        for step in steps:
            statement, values = _call(database.engine.dialect, step)
            told.append((statement, tuple(values) if database.is_sqlite else values))
        return run(driver, steps)

    monkeypatch.setattr(Driver, "run", on_run)
    with database.engine.connect() as connection, connection.begin() as transaction:
        study_uid = connection.execute(text("select max(study_uid) from study")).scalar_one()
        event.listen(connection, "before_cursor_execute", on_execute)
        ask(connection, study_uid)
        event.remove(connection, "before_cursor_execute", on_execute)
        explain = "explain query plan " if database.is_sqlite else "explain "
        told_plans = [
            "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + asked, values))
            for asked, values in told
        ]
        transaction.rollback()
    assert told_plans
    return told_plans


def arriving(study_uid: str) -> list[Arriving]:
    instance = StoredInstance(
        sop_instance_uid="1.2.3.4", study_uid=study_uid, series_uid="1.2.3", sop_class_uid="1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1", modality="CT", own=False, size=1, digest="",
        path="x", calling_ae="CONSOLE",
    )  # fmt: skip
    return [Arriving(instance, 1.0)]


def retention_page(rule: Rule, connection: Connection, _study: str) -> object:
    """The first look of a rule; nothing is that old."""
    return connection.execute(retention._page(rule, 1.0, (-1.0, ""))).all()


def claim_of_one(connection: Connection) -> Claim:
    connection.execute(text("update job set state = 'queued' where id = 1"))
    (claimed,) = dispatch.claim(connection, "w", [MODEL], 30.0)
    return claimed


def claim_of_batch(connection: Connection) -> None:
    connection.execute(text("update job set state = 'queued', attempts = 0 where id < 9"))
    claims = dispatch.claim(connection, "w", [MODEL], 30.0, {"chest": 7}, batches={MODEL: 8})
    assert len(claims) == 7


def count_page(source: metering._Source, connection: Connection, _study: str) -> None:
    """What happened in the last seconds of a long time."""
    until = metering._end_of_page(connection, source, 8e9, 9e9)
    source.count(connection, metering._Page(source.column, 8e9, until))


Ask = Callable[[Connection, str], object]
RECEIVER: dict[str, Ask] = {
    "record": lambda connection, study: studies.record_all(driver_of(connection), arriving(study)),
    "stored": lambda connection, study: studies.stored(connection, study),
    "release": lambda connection, study: studies.release(connection, [study], 1.0),
}
WORKER: dict[str, Ask] = {
    "due": lambda connection, _: studies.due(connection),
    "next-due": lambda connection, _: studies.seconds_to_next(connection),
    "take": lambda connection, study: studies.take(connection, DueStudy(study, 1.0), 4),
    "instances": lambda connection, study: studies.instances(connection, study),
    "claimable": lambda connection, _: dispatch.claimable(connection, [MODEL]),
    "claim": lambda connection, _: dispatch.claim(connection, "w", [MODEL], 30.0),
    "claim-of-two": lambda connection, _: dispatch.claim(connection, "w", [MODEL, OTHER], 30.0),
    "claim-limited": lambda connection, _: dispatch.claim(
        connection, "w", [MODEL], 30.0, {"chest": 1}, overdue_first=True
    ),
    "claim-batch": lambda connection, _: claim_of_batch(connection),
    "finish": lambda connection, _: jobs.finish(connection, claim_of_one(connection)),
    "stranded-jobs": lambda connection, _: dispatch.stranded(connection, RETRY),
    "reclaim": lambda connection, _: dispatch.reclaim(connection, RETRY),
    "inputs": lambda connection, _: jobs.inputs(connection, 1),
    "own": lambda connection, study: outbox.own_instance(connection, study),
    "posted": lambda connection, _: outbox.posted(connection, LETTER),
    "supersede": lambda connection, _: superseding.withdraw(
        connection, claim_of_one(connection), [LETTER], ["sr"], []
    ),
}
COURIER: dict[str, Ask] = {
    "deliverable": lambda connection, _: outbox.claimable(connection, "pacs"),
    "deliver": lambda connection, _: outbox.claim(connection, "pacs", "w", 30.0, 10, RETRY),
    "committable": lambda connection, _: confirmation.due(connection, "pacs"),
    "ask": lambda connection, _: confirmation.ask(connection, "pacs", "2.25.1"),
    "uncommitted": lambda connection, _: confirmation.give_up(connection, "pacs", RETRY),
    "committed": lambda connection, _: confirmation.note(connection, COMMITTED),
    "reportable": lambda connection, _: commitment.claimable(connection, "CONSOLE"),
    "report": lambda connection, _: commitment.claim(connection, "CONSOLE", "w", 30.0, RETRY),
    "stranded": lambda connection, _: commitment.any_stranded(connection, ["CONSOLE"]),
}
COMMAND_LINE: dict[str, Ask] = {
    "show-study": lambda connection, study: stats.study(connection, study),
    "show-job": lambda connection, _: stats.job(connection, 1),
    "timeline": lambda connection, study: timeline(connection, study),
    "studies-waiting": lambda connection, _: stats.studies(connection, state="waiting"),
    "studies-due": lambda connection, _: stats.studies(connection, state="due"),
    "studies-since": lambda connection, _: stats.studies(connection, since=1.0),
    "studies-after": lambda connection, study: stats.studies(connection, before=study),
    "studies-accession": lambda connection, _: stats.studies(connection, accession="A1"),
    "studies-person": lambda connection, _: stats.studies(connection, person="doe"),
    "jobs-dead": lambda connection, _: stats.jobs(connection, state="dead"),
    "jobs-study": lambda connection, study: stats.jobs(connection, study_uid=study),
    "jobs-accession": lambda connection, _: stats.jobs(connection, accession="A1"),
    "jobs-since": lambda connection, _: stats.jobs(connection, since=9e9),
    "jobs-page": lambda connection, _: stats.jobs(connection, before=100),
    "deliveries-since": lambda connection, _: delivery_stats.listed(connection, since=9e9),
    "deliveries-page": lambda connection, _: delivery_stats.listed(connection, before=5),
    "passed": lambda connection, _: throughput.passed(connection, seconds=60),
    "by-minute": lambda connection, _: throughput.buckets(connection, seconds=60, count=60),
    "latencies": lambda connection, _: throughput.latencies(connection, seconds=60),
}
TIDY: dict[str, Ask] = {rule.value: partial(retention_page, rule) for rule in Rule}
TIDY["requests"] = lambda connection, _: commitment.forget(
    connection, commitment.finished(connection, 9e9)
)
METERS: dict[str, Ask] = {
    f"count-{source.column.key}": partial(count_page, source) for source in metering._SOURCES
}
GAUGES: dict[str, Ask] = {
    "queues": lambda connection, _: waiting.queued(connection),
    "running": lambda connection, _: gauges.jobs(connection, JobState.RUNNING),
    "unsettled": lambda connection, _: gauges.deliveries(connection),
}
ALL = RECEIVER | WORKER | COURIER | COMMAND_LINE | TIDY | METERS | GAUGES


@pytest.mark.parametrize("name", ALL)
def test_no_table_is_read_in_full(
    full: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scans(full, ALL[name], monkeypatch) == []


@pytest.mark.parametrize("overdue", [False, True])
def test_a_claim_neither_sorts_nor_reads_jobs_that_are_done(
    full: Database, overdue: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(connection: Connection, _study: str) -> None:
        connection.execute(text("update job set state = 'queued', attempts = 0 where id < 1000"))
        claims = dispatch.claim(
            connection, "w", [MODEL], 30.0, {MODEL.name: 9}, batches={MODEL: 8},
            overdue_first=overdue,
        )  # fmt: skip
        assert len(claims) == 8

    plan = "\n".join(plans(full, ask, monkeypatch)[1:])
    assert "ix_job_queued" in plan
    assert not re.search(r"\bsort|TEMP B-TREE", plan, re.IGNORECASE)


def test_a_claim_neither_sorts_what_waits_for_delivery_nor_reads_the_rest(
    full: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(connection: Connection, _study: str) -> None:
        connection.execute(text("update delivery set state = 'pending' where id < 4000"))
        assert outbox.claim(connection, "pacs", "w", 30.0, 10, RETRY)

    asked = [each for each in plans(full, ask, monkeypatch) if "ix_delivery_pending" in each]
    assert len(asked) == 3  # the first priority, its deliveries, and the priority below
    assert not re.search(r"\bsort|TEMP B-TREE", "\n".join(asked), re.IGNORECASE)


def test_the_latest_studies_are_read_from_the_end_of_the_index(
    full: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite calls that a scan; it ends with the page."""
    (page, _) = plans(full, lambda connection, _: stats.studies(connection)[:0], monkeypatch)[-2:]
    assert "ix_study_kept" in page
    assert "Seq Scan" not in page


def test_a_table_that_is_read_in_full_is_noticed(
    full: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``wetread status`` adds up all that is stored."""
    assert scans(full, lambda connection, _: overview.stored(connection), monkeypatch)
