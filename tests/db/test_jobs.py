"""The job table's contract, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import select, update

from db import dispatch, holds, jobs, outbox, stats, studies
from db.engine import Database
from db.errors import IllegalMove, LeaseLost, NotFound
from db.jobs import ModelRef
from db.outbox import StoredResult
from db.retry import RetryPolicy
from db.schema import EVERYTHING, JOB_MOVES, Job, JobState, Study
from db.studies import DueStudy, StoredInstance
from tests.mail import letters

RETRY = RetryPolicy(attempts=3, first_seconds=0.0, longest_seconds=0.0)
MODEL = ModelRef("cxr-covid", "1")


def instance(number: int = 1, study: str = "1.2.3", own: bool = False) -> StoredInstance:
    return StoredInstance(
        sop_instance_uid=f"{study}.1.{number}",
        study_uid=study,
        series_uid=f"{study}.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality="DX",
        own=own,
        size=10,
        digest=f"{number:064d}",
        path=f"archive/{study}/{number}.dcm",
        calling_ae="CONSOLE",
    )


def arrive(database: Database, *instances: StoredInstance, quiet: float = 5.0) -> None:
    with database.write() as connection:
        for each in instances:
            studies.record(connection, each, quiet)


def queue(database: Database, study: str = "1.2.3", priority: int = 0) -> int:
    arrive(database, instance(study=study))
    with database.write() as connection:
        assert jobs.enqueue(connection, study, MODEL, [instance(study=study)], priority)
        return int(stats.jobs(connection, study_uid=study)[0]["id"])


def claim(database: Database, owner: str = "w1", lease: float = 30.0) -> jobs.Claim | None:
    with database.write() as connection:
        dispatch.reclaim(connection, RETRY)
        return next(iter(dispatch.claim(connection, owner, [MODEL], lease)), None)


def claimed(database: Database, owner: str = "w1", lease: float = 30.0) -> jobs.Claim:
    found = claim(database, owner, lease)
    assert found is not None
    return found


def state(database: Database, job_id: int) -> JobState:
    with database.write() as connection:
        return jobs.state_of(connection, job_id)


def test_recording_twice_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        assert studies.record(connection, instance(), 5)
    with database.read() as connection:
        before = stats.study(connection, "1.2.3")
    with database.write() as connection:
        assert not studies.record(connection, instance(), 5)
    with database.read() as connection:
        assert stats.study(connection, "1.2.3") == before


def test_each_image_pushes_due_out_and_release_pulls_it_in(database: Database) -> None:
    arrive(database, instance(1), quiet=100)
    with database.read() as connection:
        first = stats.study(connection, "1.2.3")["due_at"]
    arrive(database, instance(2), quiet=200)
    with database.read() as connection:
        assert stats.study(connection, "1.2.3")["due_at"] > first
        assert studies.due(connection) == []
    with database.write() as connection:
        studies.release(connection, ["1.2.3"], 0)
    with database.read() as connection:
        assert [each.study_uid for each in studies.due(connection)] == ["1.2.3"]


def test_an_image_with_a_shorter_quiet_time_pulls_nothing_in(database: Database) -> None:
    arrive(database, instance(1), quiet=100)
    with database.read() as connection:
        before = stats.study(connection, "1.2.3")["due_at"]
    arrive(database, instance(2), quiet=5)
    with database.read() as connection:
        assert stats.study(connection, "1.2.3")["due_at"] == before


def test_due_is_pushed_out_before_an_images_quiet_time_is_cut_short(database: Database) -> None:
    def due_and_last() -> tuple[Any, Any]:
        with database.read() as connection:
            row = stats.study(connection, "1.2.3")
        return row["due_at"], row["last_received_at"]

    arrive(database, instance(1), quiet=100)
    first = due_and_last()
    arrive(database, instance(2), quiet=100)
    assert due_and_last() == first, "110 seconds were given, 100 are still there"
    with database.write() as connection:
        studies.release(connection, ["1.2.3"], 99)
    arrive(database, instance(3), quiet=100)
    assert due_and_last() > first


def test_release_never_pushes_out(database: Database) -> None:
    arrive(database, instance(), quiet=1)
    with database.read() as connection:
        before = stats.study(connection, "1.2.3")["due_at"]
    with database.write() as connection:
        studies.release(connection, ["1.2.3"], 60)
    with database.read() as connection:
        assert stats.study(connection, "1.2.3")["due_at"] == before


def test_own_results_make_no_study_due(database: Database) -> None:
    arrive(database, instance(own=True), quiet=0)
    with database.read() as connection:
        assert studies.due(connection) == []
        assert studies.instances(connection, "1.2.3") == []


def test_the_next_due_study_is_known_ahead(database: Database) -> None:
    def seconds() -> float | None:
        with database.read() as connection:
            return studies.seconds_to_next(connection)

    assert seconds() is None
    arrive(database, instance(), quiet=100)
    ahead = seconds()
    assert ahead is not None
    assert 0 < ahead <= 110
    arrive(database, instance(study="1.2.4"), quiet=0)
    assert seconds() == 0.0


def test_a_due_study_is_taken_once(database: Database) -> None:
    arrive(database, instance(), quiet=0)
    with database.read() as connection:
        (due,) = studies.due(connection)
    with database.write() as connection:
        assert studies.take(connection, due, 1)
    with database.write() as connection:
        assert not studies.take(connection, due, 1)


def test_a_study_that_grew_after_it_was_seen_is_not_taken(database: Database) -> None:
    arrive(database, instance(1), quiet=0)
    with database.read() as connection:
        (due,) = studies.due(connection)
    arrive(database, instance(2), quiet=50)
    with database.write() as connection:
        assert not studies.take(connection, due, 1)


def test_a_study_that_grew_without_moving_due_is_not_taken_and_stays_due(
    database: Database,
) -> None:
    def due_at() -> float:
        with database.read() as connection:
            found = connection.execute(select(Study.due_at)).scalar_one()
        assert found is not None
        return found

    arrive(database, instance(1), quiet=5)
    seen = DueStudy("1.2.3", due_at())
    arrive(database, instance(2), quiet=5)
    assert due_at() == seen.due_at
    with database.write() as connection:
        assert not studies.take(connection, seen, 1)
    assert due_at() == seen.due_at
    with database.write() as connection:
        assert studies.take(connection, seen, 2)


def test_the_same_input_is_queued_once(database: Database) -> None:
    queue(database)
    with database.write() as connection:
        assert not jobs.enqueue(connection, "1.2.3", MODEL, [instance()])
        assert len(stats.jobs(connection)) == 1


def test_a_grown_study_replaces_the_job_that_waits(database: Database) -> None:
    first = queue(database)
    arrive(database, instance(2))
    with database.write() as connection:
        assert jobs.enqueue(connection, "1.2.3", MODEL, [instance(1), instance(2)])
    assert state(database, first) is JobState.CANCELLED
    work = claimed(database)
    with database.read() as connection:
        assert [uid for uid, _ in jobs.inputs(connection, work.job_id)] == [
            "1.2.3.1.1",
            "1.2.3.1.2",
        ]
    assert claim(database) is None


def test_a_grown_study_takes_the_job_from_the_worker_that_reads_it(database: Database) -> None:
    first = queue(database)
    work = claimed(database)
    arrive(database, instance(2))
    with database.write() as connection:
        assert jobs.enqueue(connection, "1.2.3", MODEL, [instance(1), instance(2)])
    assert state(database, first) is JobState.CANCELLED
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.finish(connection, work)


def test_urgent_first_then_oldest(database: Database) -> None:
    routine = queue(database, "1.1")
    later = queue(database, "1.2")
    urgent = queue(database, "1.3", priority=10)
    order = [claimed(database).job_id for _ in range(3)]
    assert order == [urgent, routine, later]


def test_skip_leaves_a_reason_and_is_never_claimed(database: Database) -> None:
    arrive(database, instance())
    with database.write() as connection:
        assert jobs.skip(connection, "1.2.3", MODEL, [instance()], "view LL is not PA or AP")
    assert claim(database) is None
    with database.read() as connection:
        (job,) = stats.jobs(connection, state="skipped")
    assert job["reason"] == "view LL is not PA or AP"
    assert job["finished_at"] is not None


@pytest.mark.parametrize(
    ("queued", "read", "then"),
    [(0, None, 0), (0, jobs.URGENT, 10), (10, jobs.UNDECIDED, 10), (10, None, 10)],
)
def test_a_reading_can_only_make_a_job_more_urgent(
    database: Database, queued: int, read: int | None, then: int
) -> None:
    job_id = queue(database, priority=queued)
    work = claimed(database)
    with database.write() as connection:
        jobs.finish(connection, work, read)
    with database.read() as connection:
        assert stats.job(connection, job_id)["priority"] == then


def test_finish_posts_results_in_the_same_transaction(database: Database) -> None:
    job_id = queue(database)
    work = claimed(database)
    result = StoredResult(
        kind="sr", number=1, rank=0, style="", sop_class_uid="1.2", sop_instance_uid="2.25.1",
        path="results/x.dcm", size=5,
    )  # fmt: skip
    with pytest.raises(RuntimeError), database.write() as connection:
        jobs.finish(connection, work)
        outbox.post(connection, work.job_id, [result], letters("pacs", [result]))
        raise RuntimeError("power cut")
    assert state(database, job_id) is JobState.RUNNING
    with database.write() as connection:
        jobs.finish(connection, work)
        both = [*letters("pacs", [result]), *letters("archive", [result])]
        outbox.post(connection, work.job_id, [result], both)
    with database.read() as connection:
        shown = stats.job(connection, job_id)
        assert outbox.own_instance(connection, "2.25.1")
        assert not outbox.own_instance(connection, "2.25.2")
    assert shown["state"] == "done"
    assert [each["destination"] for each in shown["deliveries"]] == ["archive", "pacs"]


def test_failure_retries_with_a_cap(database: Database) -> None:
    job_id = queue(database)
    for expected in (JobState.QUEUED, JobState.QUEUED, JobState.DEAD):
        with database.write() as connection:
            (work,) = dispatch.claim(connection, "w1", [MODEL], 30)
            assert jobs.fail(connection, work, "out of memory", RETRY) is expected
    assert state(database, job_id) is JobState.DEAD
    with database.write() as connection:
        jobs.retry(connection, job_id)
    assert claimed(database).attempt == 1


def test_backoff_delays_the_next_claim(database: Database) -> None:
    queue(database)
    slow = RetryPolicy(attempts=3, first_seconds=60, longest_seconds=60)
    with database.write() as connection:
        (work,) = dispatch.claim(connection, "w1", [MODEL], 30)
        jobs.fail(connection, work, "busy", slow)
    assert claim(database) is None


def test_an_error_no_retry_can_mend_is_dead_at_once(database: Database) -> None:
    job_id = queue(database)
    with database.write() as connection:
        (work,) = dispatch.claim(connection, "w1", [MODEL], 30)
        assert jobs.fail(connection, work, "no pixels", None) is JobState.DEAD
    assert state(database, job_id) is JobState.DEAD


def test_an_expired_lease_is_claimed_by_another_and_the_first_finds_out(
    database: Database,
) -> None:
    queue(database)
    first = claimed(database, "w1", lease=0.0)
    time.sleep(0.01)
    second = claimed(database, "w2")
    assert second.job_id == first.job_id
    assert second.attempt == 2
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.finish(connection, first)
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.renew(connection, first, 30)
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.fail(connection, first, "late", RETRY)
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.give_back(connection, first)
    with database.write() as connection:
        jobs.finish(connection, second)


def test_leases_lost_too_often_end_in_dead(database: Database) -> None:
    job_id = queue(database)
    for _ in range(RETRY.attempts):
        claimed(database, lease=0.0)
        time.sleep(0.01)
    assert claim(database) is None
    with database.write() as connection:
        (lost,) = dispatch.stranded(connection, RETRY)
        dispatch.bury(connection, lost)
    assert state(database, job_id) is JobState.DEAD
    with pytest.raises(LeaseLost), database.write() as connection:
        dispatch.bury(connection, lost)


def test_a_job_whose_worker_comes_back_in_time_is_not_buried(database: Database) -> None:
    queue(database)
    once = RetryPolicy(attempts=1, first_seconds=0.0, longest_seconds=0.0)
    work = claimed(database, lease=-1.0)
    with database.read() as connection:
        (lost,) = dispatch.stranded(connection, once)
    with database.write() as connection:
        jobs.renew(connection, work, 30)
    with pytest.raises(LeaseLost), database.write() as connection:
        dispatch.bury(connection, lost)


def test_of_workers_that_bury_a_job_at_once_one_posts_its_notice(database: Database) -> None:
    job_id = queue(database)
    once = RetryPolicy(attempts=1, first_seconds=0.0, longest_seconds=0.0)
    claimed(database, lease=-1.0)
    notice = StoredResult(
        kind="notice", number=1, rank=0, style="", sop_class_uid="1.2", sop_instance_uid="2.25.1",
        path="results/x.dcm", size=5,
    )  # fmt: skip
    barrier, buried = threading.Barrier(4), []

    def bury() -> None:
        with database.read() as connection:
            (lost,) = dispatch.stranded(connection, once)
        barrier.wait()
        with suppress(LeaseLost), database.write() as connection:
            dispatch.bury(connection, lost)
            outbox.post(connection, job_id, [notice], letters("pacs", [notice]))
            buried.append(lost.job_id)

    threads = [threading.Thread(target=bury) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buried == [job_id]
    with database.read() as connection:
        shown = stats.job(connection, job_id)
    assert shown["state"] == "dead"
    assert [each["kind"] for each in shown["deliveries"]] == ["notice"]


def test_renew_keeps_the_lease(database: Database) -> None:
    queue(database)
    work = claimed(database, lease=0.0)
    with database.write() as connection:
        jobs.renew(connection, work, 30)
    assert claim(database, "w2") is None


def test_cancel_takes_the_job_from_its_worker(database: Database) -> None:
    job_id = queue(database)
    work = claimed(database)
    with database.write() as connection:
        jobs.cancel(connection, job_id)
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.finish(connection, work)


def test_moves_by_hand_obey_the_table(database: Database) -> None:
    job_id = queue(database)
    refusal = pytest.raises(IllegalMove, match=r"is queued and cannot become queued")
    with refusal, database.write() as connection:
        jobs.retry(connection, job_id)
    work = claimed(database)
    with database.write() as connection:
        jobs.finish(connection, work)
    assert JOB_MOVES[JobState.DONE] == frozenset()
    for move in (jobs.retry, jobs.cancel):
        with pytest.raises(IllegalMove), database.write() as connection:
            move(connection, job_id)
        with pytest.raises(NotFound), database.write() as connection:
            move(connection, 999)


def test_many_workers_claim_each_job_once(database: Database) -> None:
    for number in range(24):
        queue(database, f"1.{number + 1}")
    seen: list[int] = []

    def work(owner: str) -> None:
        while (found := claim(database, owner)) is not None:
            seen.append(found.job_id)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 24
    assert len(set(seen)) == 24


def test_two_receivers_record_the_same_new_study_at_once(database: Database) -> None:
    outcomes: list[bool] = []
    barrier = threading.Barrier(4)

    def record() -> None:
        barrier.wait()
        with database.write() as connection:
            outcomes.append(studies.record(connection, instance(), 5))

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, False, False, True]


def test_a_job_waits_for_a_worker_that_has_its_model(database: Database) -> None:
    queue(database)
    with database.write() as connection:
        assert dispatch.claim(connection, "w1", [ModelRef(MODEL.name, "2")], 30) == []
        assert dispatch.claim(connection, "w1", [], 30) == []
    assert claim(database) is not None


def _age(database: Database, job_id: int, seconds: float) -> None:
    """Let a job have waited."""
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id == job_id).values(run_at=Job.run_at - seconds))


def test_a_routine_job_that_waited_too_long_goes_before_an_urgent_one(database: Database) -> None:
    routine, urgent = queue(database, "1.1"), queue(database, "1.2", jobs.URGENT)
    for waited, first, second in ((0.0, urgent, routine), (1000.0, routine, urgent)):
        _age(database, routine, waited)
        with database.write() as connection:
            got = [
                each
                for _ in range(2)
                for each in dispatch.claim(connection, "w", [MODEL], 30, overdue_first=True)
            ]
            assert [each.job_id for each in got] == [first, second]
            for each in got:
                jobs.postpone(connection, each, "again", 0.0)
    assert claimed(database).job_id == urgent, "not every turn is that of the overdue"


def test_of_several_models_the_most_urgent_then_oldest_job_is_taken(database: Database) -> None:
    other = ModelRef("head-ct", "1")
    first, urgent = queue(database, "1.1"), None
    arrive(database, instance(study="1.2"))
    with database.write() as connection:
        jobs.enqueue(connection, "1.2", other, [instance(study="1.2")])
        urgent = jobs.enqueue(connection, "1.1", other, [instance(study="1.1")], jobs.URGENT)
        got = [dispatch.claim(connection, "w", [other, MODEL], 30) for _ in range(4)]
    assert [[each.model for each in claims] for claims in got] == [[other], [MODEL], [other], []]
    assert got[0][0].job_id == urgent
    assert got[1][0].job_id == first


@pytest.mark.parametrize("held", [MODEL.name, EVERYTHING])
def test_of_a_paused_model_nothing_is_claimed(database: Database, held: str) -> None:
    queue(database)
    work = claimed(database)
    with database.write() as connection:
        assert holds.pause(connection, "another")
        assert holds.pause(connection, held, "being mended")
        assert not holds.pause(connection, held)
        assert [(each.name, each.reason) for each in holds.held(connection)] == sorted(
            [("another", None), (held, "being mended")]
        )
        jobs.finish(connection, work)  # what is being read goes on
    job_id = queue(database, "1.1")
    with database.read() as connection:
        assert not dispatch.claimable(connection, [MODEL])
    assert claim(database) is None
    with database.write() as connection:
        assert holds.resume(connection, held)
        assert not holds.resume(connection, held)
    with database.read() as connection:
        assert dispatch.claimable(connection, [MODEL])
    assert claimed(database).job_id == job_id


def test_no_more_jobs_of_a_model_run_than_it_may_have(database: Database) -> None:
    for number in range(12):
        queue(database, f"1.{number + 1}")
    limits, barrier = {MODEL.name: 2}, threading.Barrier(6)
    running: list[jobs.Claim] = []

    def work(owner: str) -> None:
        barrier.wait()
        for _ in range(2):
            with database.write() as connection:
                running.extend(dispatch.claim(connection, owner, [MODEL], 30, limits))

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(running) == 2
    with database.read() as connection:
        assert not dispatch.claimable(connection, [MODEL], limits)
        assert dispatch.claimable(connection, [MODEL], {"another": 1})
    with database.write() as connection:
        jobs.finish(connection, running[0])
        assert dispatch.claim(connection, "w", [MODEL], 30, limits)


def claim_some(
    database: Database,
    most: int,
    limits: Mapping[str, int] = dispatch.NO_LIMITS,
    *,
    overdue: bool = False,
) -> list[int]:
    with database.write() as connection:
        claims = dispatch.claim(
            connection, "w", [MODEL], 30, limits, batches={MODEL: most}, overdue_first=overdue
        )
        return [each.job_id for each in claims]


def test_jobs_of_one_model_are_claimed_together_in_their_order(database: Database) -> None:
    ids = [queue(database, f"1.{number + 1}") for number in range(5)]
    _age(database, ids[3], 10.0)
    other = ModelRef("head-ct", "1")
    with database.write() as connection:
        jobs.enqueue(connection, "1.1", other, [instance(study="1.1")])
        claims = dispatch.claim(connection, "w", [other, MODEL], 30, batches={MODEL: 3, other: 3})
    assert [each.job_id for each in claims] == [ids[3], ids[0], ids[1]]
    assert {each.model for each in claims} == {MODEL}
    assert {each.attempt for each in claims} == {1}
    for each in claims:
        with database.write() as connection:
            jobs.finish(connection, each)
    assert claim_some(database, 8) == [ids[2], ids[4]]
    assert claim_some(database, 8) == []


def test_an_urgent_job_is_claimed_without_routine_ones(database: Database) -> None:
    routine = [queue(database, f"1.{number + 1}") for number in range(2)]
    urgent = [queue(database, f"2.{number + 1}", jobs.URGENT) for number in range(2)]
    assert claim_some(database, 8) == urgent
    assert claim_some(database, 8) == routine


def test_what_is_claimed_with_an_overdue_job_is_the_urgent(database: Database) -> None:
    overdue, routine = queue(database, "1.1"), queue(database, "1.2")
    urgent = queue(database, "1.3", jobs.URGENT)
    _age(database, overdue, 1000.0)
    assert claim_some(database, 2, overdue=True) == [overdue, urgent]
    assert claim_some(database, 2, overdue=True) == [routine]


@pytest.mark.parametrize("retried", [0, 1])
def test_a_job_that_was_tried_before_is_claimed_alone(database: Database, retried: int) -> None:
    """It may be what killed its worker."""
    ids = [queue(database, f"1.{number + 1}") for number in range(3)]
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id == ids[retried]).values(attempts=1))
    others = [each for each in ids if each != ids[retried]]
    assert [claim_some(database, 8) for _ in range(2)] == (
        [others, [ids[retried]]] if retried else [[ids[retried]], others]
    )


def test_a_batch_takes_no_more_than_the_models_limit_leaves(database: Database) -> None:
    ids = [queue(database, f"1.{number + 1}") for number in range(8)]
    limits = {MODEL.name: 4}
    assert claim_some(database, 3, limits) == ids[:3]
    assert claim_some(database, 3, limits) == ids[3:4]
    assert claim_some(database, 3, limits) == []
    assert claim_some(database, 3, {"another": 1}) == ids[4:7]


def test_many_workers_claim_batches_and_each_job_once(database: Database) -> None:
    for number in range(24):
        queue(database, f"1.{number + 1}")
    seen: list[int] = []

    def work() -> None:
        while found := claim_some(database, 4):
            seen.extend(found)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 24
    assert len(set(seen)) == 24
