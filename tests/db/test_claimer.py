"""What a worker's claims cost the others: nothing while it is idle, and tidying now and then."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, update

from db import claimer, holds, jobs, studies
from db.claimer import Claimer
from db.engine import Database
from db.errors import LeaseLost
from db.jobs import ROUTINE, URGENT, Claim, ModelRef
from db.retry import RetryPolicy
from db.schema import Job, JobState
from db.studies import StoredInstance

MODEL = ModelRef("cxr-covid", "1")
RETRY = RetryPolicy(attempts=2, first_seconds=0.0, longest_seconds=0.0)


def queue(database: Database, study: str, priority: int = ROUTINE) -> int:
    instance = StoredInstance(
        sop_instance_uid=f"{study}.1.1", study_uid=study, series_uid=f"{study}.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1", transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality="DX", own=False, size=10, digest="", path=f"archive/{study}.dcm",
        calling_ae="CONSOLE",
    )  # fmt: skip
    with database.write() as connection:
        studies.record(connection, instance, 0)
        job_id = jobs.enqueue(connection, study, MODEL, [instance], priority)
    assert job_id is not None
    return job_id


def claimer_of(database: Database, lease: float = 30.0) -> Claimer:
    return Claimer(database, owner="w", models=[MODEL], lease_seconds=lease, retry=RETRY)


def ids(claims: list[Claim]) -> list[int]:
    return [each.job_id for each in claims]


def test_an_idle_worker_claims_what_comes(database: Database) -> None:
    one = claimer_of(database)
    assert one.claim() == []
    job_id = queue(database, "1.1")
    assert ids(one.claim()) == [job_id]
    assert one.claim() == []
    with database.write() as connection:
        holds.pause(connection, MODEL.name)
    queue(database, "1.2")
    assert one.claim() == []


def test_an_idle_worker_takes_no_lock_that_a_writer_waits_for(database: Database) -> None:
    one = claimer_of(database)
    with database.write() as connection:
        connection.execute(update(Job).values(reason="being written"))
        assert one.claim() == []


def test_who_had_a_claim_that_a_power_cut_undid_can_record_nothing(database: Database) -> None:
    job_id = queue(database, "1.1")
    one = claimer_of(database)
    (before,) = one.claim()
    undone = {"state": JobState.QUEUED, "attempts": 0, "lease_owner": None, "lease_until": None}
    with database.write() as connection:
        connection.execute(update(Job).values(undone))
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.finish(connection, before)
    assert ids(one.claim()) == [job_id]


def test_one_claim_in_four_is_of_the_overdue(database: Database) -> None:
    overdue = queue(database, "1.1")
    with database.write() as connection:
        connection.execute(update(Job).values(run_at=Job.run_at - 1000.0))
    urgent = [queue(database, f"2.{number}", URGENT) for number in range(4)]
    one = claimer_of(database)
    got = [job_id for _ in range(5) for job_id in ids(one.claim())]
    assert got == [*urgent[:3], overdue, urgent[3]]


def test_expired_leases_are_looked_for_now_and_then(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, job_id = queue(database, "1.1"), queue(database, "1.2")
    gone = claimer_of(database, lease=-1.0)
    assert ids(gone.claim()) == [lost]
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id == lost).values(attempts=RETRY.attempts))
    assert ids(gone.claim()) == [job_id]

    monkeypatch.setattr(claimer, "_LOOK_SECONDS", 3600.0)
    one = claimer_of(database)
    assert [each.job_id for each in one.stranded()] == [lost]
    (again,) = one.claim()
    assert (again.job_id, again.attempt) == (job_id, 2)
    assert one.stranded() == [], "it has just looked"

    monkeypatch.setattr(claimer, "_LOOK_SECONDS", 0.0)
    other = claimer_of(database)
    assert [[each.job_id for each in other.stranded()] for _ in range(2)] == [[lost], [lost]]
    with database.read() as connection:
        running = connection.execute(
            select(func.count()).where(Job.state == JobState.RUNNING)
        ).scalar_one()
    assert running == 2, "whoever has it buries it"
