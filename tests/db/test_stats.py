"""What administrators are shown: lists that narrow and page, a study's way, and how much passes."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, text

from db import delivery_stats, dispatch, identities, jobs, outbox, stats, studies, throughput
from db.engine import Database, now
from db.errors import NotFound
from db.identities import Person
from db.jobs import ModelRef
from db.outbox import StoredResult
from db.retry import RetryPolicy
from db.studies import StoredInstance
from db.timeline import timeline
from tests.mail import letters

RETRY = RetryPolicy(attempts=3, first_seconds=60, longest_seconds=60)
CHEST, HEAD = ModelRef("chest", "1"), ModelRef("head", "1")


def receive(connection: Connection, study: str, modality: str = "DX", count: int = 1) -> Any:
    instances = [
        StoredInstance(
            sop_instance_uid=f"{study}.{modality}.{number}", study_uid=study, series_uid="1.2.3",
            sop_class_uid="1.2.4", transfer_syntax_uid="1.2.840.10008.1.2.1", modality=modality,
            own=False, size=1, digest="", path=f"archive/{study}.{number}", calling_ae="CONSOLE",
        )
        for number in range(count)
    ]  # fmt: skip
    for each in instances:
        studies.record(connection, each, 3600)
    return instances


def queue(connection: Connection, study: str, model: ModelRef = CHEST, priority: int = 0) -> int:
    inputs = receive(connection, study)
    connection.execute(text("update study set due_at = null where study_uid = :s"), {"s": study})
    job_id = jobs.enqueue(connection, study, model, inputs, priority)
    assert job_id is not None
    return job_id


def read(connection: Connection, job_id: int, model: ModelRef = CHEST) -> None:
    """Finish the next job of a model, which makes a report for two destinations."""
    (claimed,) = dispatch.claim(connection, "w", [model], 30)
    assert claimed.job_id == job_id
    result = StoredResult(
        kind="sr", number=1, rank=0, style="", sop_class_uid="1.2.9",
        sop_instance_uid=f"2.25.{job_id}", path="results/x.dcm", size=7,
    )  # fmt: skip
    jobs.finish(connection, claimed, answers='{"answer": "abnormal"}', batch=1)
    mail = [letter for name in ("pacs", "web") for letter in letters(name, [result])]
    outbox.post(connection, job_id, [result], mail)


def send(connection: Connection, destination: str = "pacs") -> None:
    (parcel, *_) = outbox.claim(connection, destination, "c", 30, 9, RETRY)
    outbox.sent(connection, parcel, parcel.alternatives[0].result_id, commit=True)


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ({}, [3, 2, 1]),
        ({"state": "done"}, [1]),
        ({"model": "head"}, [2]),
        ({"study_uid": "1.3"}, [3]),
        ({"accession": "A2"}, [2]),
        ({"accession": "A9"}, []),
        ({"delivery": "sent"}, [1]),
        ({"urgent": True}, [3]),
        ({"limit": 1}, [3]),
        ({"before": 3}, [2, 1]),
        ({"before": 3, "limit": 1}, [2]),
        ({"since": 2000.0}, [3, 2]),
        ({"since": 2000.5}, [3]),
        ({"since": 9e9}, []),
        ({"state": "queued", "model": "chest", "urgent": True}, [3]),
    ],
)
def test_jobs_are_narrowed(database: Database, which: dict[str, Any], found: list[int]) -> None:
    with database.write() as connection:
        read(connection, queue(connection, "1.1"))
        send(connection)
        queue(connection, "1.2", HEAD)
        queue(connection, "1.3", priority=jobs.URGENT)
        for number in (1, 2, 3):
            identities.record(connection, f"1.{number}", Person(accession_number=f"A{number}"))
        connection.execute(text("update job set created_at = 1000.0 * id"))
    with database.read() as connection:
        assert ids(stats.jobs(connection, **which)) == found


def test_since_finds_the_first_row_whatever_was_removed(database: Database) -> None:
    with database.write() as connection:
        for number in range(1, 12):
            queue(connection, f"1.{number}")
        connection.execute(text("update job set created_at = 1000.0 * id"))
        connection.execute(text("delete from job_input where job_id in (1, 2, 5, 6, 10)"))
        connection.execute(text("delete from job where id in (1, 2, 5, 6, 10)"))
    with database.read() as connection:
        for first in range(13):
            expected = [each for each in (11, 9, 8, 7, 4, 3) if each >= first]
            assert ids(stats.jobs(connection, since=1000.0 * first)) == expected


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ({}, ["1.5", "1.4", "1.3", "1.2", "1.1"]),
        ({"state": "waiting"}, ["1.5"]),
        ({"state": "due"}, ["1.4"]),
        ({"state": "routed"}, ["1.3", "1.1"]),
        ({"state": "purged"}, ["1.2"]),
        ({"accession": "A2"}, ["1.2"]),
        ({"person": "doe j"}, ["1.3", "1.1"]),
        ({"person": "P4"}, ["1.4"]),
        ({"since": 3000.0}, ["1.5", "1.4", "1.3"]),
        ({"limit": 2}, ["1.5", "1.4"]),
        ({"before": "1.4", "limit": 2}, ["1.3", "1.2"]),
        ({"before": "1.1"}, []),
    ],
)
def test_studies_are_narrowed(database: Database, which: dict[str, Any], found: list[str]) -> None:
    with database.write() as connection:
        for number, name in enumerate(["Doe^John", "Roe^Ann", "DOE^JANE", "Poe", "Moe"], start=1):
            receive(connection, f"1.{number}")
            person = Person(
                patient_name=name, accession_number=f"A{number}", patient_id=f"P{number}"
            )
            identities.record(connection, f"1.{number}", person)
        set_to = {1: "due_at = null", 2: "due_at = null, purged_at = 1", 3: "due_at = null"}
        set_to |= {4: "due_at = 1", 5: "due_at = 9e9"}
        for number, values in set_to.items():
            values += f", last_received_at = {number * 1000}"
            connection.execute(text(f"update study set {values} where study_uid = '1.{number}'"))
    with database.read() as connection:
        rows = stats.studies(connection, **which)
        assert [row["study_uid"] for row in rows] == found
        with pytest.raises(NotFound):
            stats.studies(connection, before="9.9")


def test_studies_of_one_moment_are_paged_without_loss(database: Database) -> None:
    with database.write() as connection:
        for number in range(5):
            receive(connection, f"1.{number}")
        connection.execute(text("update study set last_received_at = 7"))
    seen: list[str] = []
    with database.read() as connection:
        while page := stats.studies(connection, before=seen[-1] if seen else None, limit=2):
            seen += [row["study_uid"] for row in page]
    assert seen == [f"1.{number}" for number in reversed(range(5))]


def test_a_study_counts_its_images(database: Database) -> None:
    with database.write() as connection:
        receive(connection, "1.1", "DX", 2)
        receive(connection, "1.1", "CT", 3)
        receive(connection, "1.2", "MR")
        gone = "update instance set state = 'purged' where sop_instance_uid = '1.1.CT.0'"
        connection.execute(text(gone))
    with database.read() as connection:
        rows = {row["study_uid"]: row for row in stats.studies(connection)}
    shown = rows["1.1"]
    assert (shown["instances"], shown["purged"], shown["lost"]) == (4, 1, 0)
    assert (shown["modalities"], rows["1.2"]["modalities"]) == (["CT", "DX"], ["MR"])


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ({}, [2, 1]),
        ({"state": "sent"}, [1]),
        ({"destination": "web"}, [2]),
        ({"state": "sent", "destination": "web"}, []),
        ({"before": 2}, [1]),
        ({"since": 2000.0}, [2]),
        ({"limit": 1}, [2]),
    ],
)
def test_deliveries_are_narrowed(
    database: Database, which: dict[str, Any], found: list[int]
) -> None:
    with database.write() as connection:
        read(connection, queue(connection, "1.1"))
        send(connection)
        connection.execute(text("update delivery set created_at = 1000.0 * id"))
    with database.read() as connection:
        rows = delivery_stats.listed(connection, **which)
        assert ids(rows) == found
        assert all(row["study_uid"] == "1.1" and row["model"] == "chest" for row in rows)
        assert delivery_stats.shown(connection, 1)["commitment"] == "to be asked"
        with pytest.raises(NotFound, match="there is no delivery 9"):
            delivery_stats.shown(connection, 9)


def test_a_timeline_tells_the_whole_way(database: Database) -> None:
    with database.write() as connection:
        read(connection, queue(connection, "1.1"))
        send(connection)
        (parcel,) = outbox.claim(connection, "web", "c", 30, 9, RETRY)
        outbox.refused(connection, parcel, "no SR class is accepted")
        connection.execute(
            text("update delivery set asked_at = sent_at + 1, committed_at = sent_at + 2")
        )
    with database.read() as connection:
        steps = timeline(connection, "1.1")
    assert [step["event"] for step in steps] == [
        "first image received", "last of 1 images received", "job queued", "job started",
        "job done", "result to be sent", "result to be sent", "result sent", "commitment asked",
        "result committed", "result refused",
    ]  # fmt: skip
    seconds = [step["seconds"] for step in steps[:-1]]
    assert seconds == sorted(seconds)
    assert seconds[0] == 0
    by_event = {step["event"]: step for step in steps}
    assert by_event["job done"]["answers"] == {"answer": "abnormal"}
    assert by_event["result sent"]["destination"] == "pacs"
    assert by_event["result refused"]["at"] is None
    assert by_event["result refused"]["reason"] == "no SR class is accepted"
    assert len({frozenset(step) for step in steps}) == 1


def test_a_timeline_says_what_is_still_to_come(database: Database) -> None:
    with database.write() as connection:
        receive(connection, "1.1")
        queue(connection, "1.2")
        (claimed,) = dispatch.claim(connection, "w", [CHEST], 30)
        jobs.fail(connection, claimed, "out of memory", RETRY)
        inputs = receive(connection, "1.3")
        jobs.skip(connection, "1.3", CHEST, inputs, "no image fits")
    with database.read() as connection:
        assert timeline(connection, "1.1")[-1]["event"] == "due"
        *_, started, again = timeline(connection, "1.2")
        assert (again["event"], again["reason"]) == ("job to be tried again", "out of memory")
        assert again["seconds"] > started["seconds"]
        events = [step["event"] for step in timeline(connection, "1.3")]
        assert "job skipped" in events
        assert "job queued" not in events
        with pytest.raises(NotFound):
            timeline(connection, "9.9")


def at(connection: Connection, study: str, *, last: float, times: tuple[float, ...]) -> None:
    """Say when a study's images came, and its job was queued, started, done and delivered."""
    values = dict(zip(("created", "started", "finished", "sent"), times, strict=True))
    values |= {"last": last}
    asked = {"study": study} | values
    for statement in (
        "update study set last_received_at = :last where study_uid = :study",
        "update instance set received_at = :last where study_uid = :study",
        "update job set created_at = :created, started_at = :started, finished_at = :finished"
        " where study_uid = :study",
        "update delivery set sent_at = :sent, state = 'sent' where destination = 'pacs'"
        " and job_id = (select id from job where study_uid = :study)",
    ):
        connection.execute(text(statement), asked)


def test_latencies_are_those_of_the_stages(database: Database) -> None:
    with database.write() as connection:
        moment = now(connection) - 100
        for number in range(1, 22):
            read(connection, queue(connection, f"1.{number}"))
            stage = [moment, moment + 1, moment + 1 + number, moment + 31 + number]
            times = (stage[0] + 1, stage[1] + 1, stage[2] + 1, stage[3] + 1)
            at(connection, f"1.{number}", last=moment, times=times)
        # This one got another image after it was read: nobody knows which one it waited for.
        at(connection, "1.1", last=moment + 90, times=times)
    with database.read() as connection:
        found = throughput.latencies(connection, seconds=3600)
        assert tuple(found) == throughput.STAGES
        assert found["routing"] == {"median": 1, "p95": 1, "count": 20}
        assert found["waiting"] == {"median": 1, "p95": 1, "count": 21}
        assert (found["reading"]["median"], found["reading"]["p95"]) == (12, 21)
        assert (found["delivery"]["median"], found["delivery"]["count"]) == (30, 21)
        assert found["whole"]["count"] == 20
        nothing = throughput.latencies(connection, seconds=0)
        assert nothing["whole"] == {"median": None, "p95": None, "count": 0}


def test_what_passed_is_counted_by_the_minute(database: Database) -> None:
    with database.write() as connection:
        this_minute = now(connection) // 60 * 60
        for number, minutes in enumerate((0, 1, 1, 3), start=1):
            read(connection, queue(connection, f"1.{number}"))
            # The last moment of a minute belongs to it, the first of the next does not.
            moment = this_minute - minutes * 60 + (0 if minutes == 0 else 59.9)
            at(connection, f"1.{number}", last=moment, times=(moment,) * 4)
        found = throughput.buckets(connection, seconds=60, count=4)
        if now(connection) // 60 * 60 != this_minute:
            pytest.skip("the minute ended meanwhile")
    assert [row["instances"] for row in found] == [1, 0, 2, 1]
    assert [row["jobs"] for row in found] == [1, 0, 2, 1]
    assert [row["deliveries"] for row in found] == [1, 0, 2, 1]
    assert found[-1]["start"] == stats.iso(this_minute)
    with database.read() as connection:
        hour = throughput.passed(connection, seconds=3600)
    assert hour == {"instances": 4, "jobs": 4, "deliveries": 4}
