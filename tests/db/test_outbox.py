"""The outbox's contract, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import time

import pytest

from db import dispatch, jobs, outbox, overview, stats, studies
from db.engine import Database
from db.errors import LeaseLost, NotFound
from db.jobs import ModelRef
from db.outbox import Parcel, StoredResult
from db.retry import RetryPolicy
from db.schema import DeliveryState
from db.studies import StoredInstance
from tests.mail import letters

RETRY = RetryPolicy(attempts=2, first_seconds=0.0, longest_seconds=0.0)


@pytest.fixture
def job_id(database: Database) -> int:
    """A finished job with a report in two forms and one overlay, for one destination."""
    instance = StoredInstance(
        sop_instance_uid="1.2.3.4", study_uid="1.2.3", series_uid="1.2.3.1", sop_class_uid="1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1", modality="DX", own=False, size=1,
        digest="0" * 64, path="archive/x.dcm", calling_ae="CONSOLE",
    )  # fmt: skip
    with database.write() as connection:
        studies.record(connection, instance, 0)
        jobs.enqueue(connection, "1.2.3", ModelRef("m", "1"), [instance])
        (work,) = dispatch.claim(connection, "w", [ModelRef("m", "1")], 30)
        jobs.finish(connection, work)
        results = [result("sr", 0), result("sr", 1), result("sc", 0)]
        outbox.post(connection, work.job_id, results, letters("pacs", results))
    return work.job_id


def result(kind: str, rank: int) -> StoredResult:
    uid = f"2.25.{len(kind)}{ord(kind[1])}{rank}"
    return StoredResult(
        kind=kind, number=1, rank=rank, style="", sop_class_uid=f"1.2.{rank}", sop_instance_uid=uid,
        path=f"results/{uid}.dcm", size=1,
    )  # fmt: skip


def claim(database: Database, limit: int = 10, lease: float = 30.0) -> list[Parcel]:
    with database.write() as connection:
        return outbox.claim(connection, "pacs", "courier", lease, limit, RETRY)


def states(database: Database, job_id: int) -> dict[str, str]:
    with database.read() as connection:
        return {each["kind"]: each["state"] for each in stats.deliveries(connection, job_id)}


def test_a_parcel_carries_its_alternatives_best_first(database: Database, job_id: int) -> None:
    parcels = {each.kind: each for each in claim(database)}
    assert [each.sop_class_uid for each in parcels["sr"].alternatives] == ["1.2.0", "1.2.1"]
    assert len(parcels["sc"].alternatives) == 1
    assert claim(database) == []


def test_a_destination_claims_only_its_own(database: Database, job_id: int) -> None:
    with database.write() as connection:
        assert outbox.claim(connection, "elsewhere", "courier", 30, 10, RETRY) == []


def test_sent_names_the_form_that_was_sent(database: Database, job_id: int) -> None:
    parcel = next(each for each in claim(database) if each.kind == "sr")
    with database.write() as connection:
        outbox.sent(connection, parcel, parcel.alternatives[1].result_id)
    with database.read() as connection:
        shown = {each["kind"]: each for each in stats.deliveries(connection, job_id)}
    assert shown["sr"]["state"] == "sent"
    assert shown["sr"]["sop_class_uid"] == "1.2.1"
    assert shown["sr"]["sent_at"] is not None


def test_failure_retries_then_dies_and_retry_by_hand_revives(
    database: Database, job_id: int
) -> None:
    for expected in (DeliveryState.PENDING, DeliveryState.DEAD):
        for parcel in claim(database):
            with database.write() as connection:
                assert outbox.fail(connection, parcel, "no answer", RETRY) is expected
    assert set(states(database, job_id).values()) == {"dead"}
    with database.write() as connection:
        assert outbox.retry(connection, job_id) == 2
    assert len(claim(database)) == 2


def test_refused_stands_alone(database: Database, job_id: int) -> None:
    for parcel in claim(database):
        with database.write() as connection:
            if parcel.kind == "sr":
                outbox.refused(connection, parcel, "no SR class is accepted")
            else:
                outbox.sent(connection, parcel, parcel.alternatives[0].result_id)
    assert states(database, job_id) == {"sr": "refused", "sc": "sent"}


def test_an_expired_lease_comes_back_and_the_first_courier_finds_out(
    database: Database, job_id: int
) -> None:
    first = claim(database, lease=0.0)
    time.sleep(0.01)
    second = claim(database)
    assert {each.delivery_id for each in first} == {each.delivery_id for each in second}
    with pytest.raises(LeaseLost), database.write() as connection:
        outbox.sent(connection, first[0], first[0].alternatives[0].result_id)
    with pytest.raises(LeaseLost), database.write() as connection:
        outbox.give_back(connection, first[0])


def test_leases_lost_too_often_end_in_dead(database: Database, job_id: int) -> None:
    for _ in range(RETRY.attempts):
        assert len(claim(database, lease=0.0)) == 2
        time.sleep(0.01)
    assert claim(database) == []
    assert set(states(database, job_id).values()) == {"dead"}


def test_give_back_is_not_counted(database: Database, job_id: int) -> None:
    (parcel,) = claim(database, limit=1)
    with database.write() as connection:
        outbox.give_back(connection, parcel)
    assert {each.attempt for each in claim(database)} == {1}


def test_held_is_looked_at_again_without_end(database: Database, job_id: int) -> None:
    for _ in range(3 * RETRY.attempts):
        parcels = claim(database)
        assert len(parcels) == 2
        with database.write() as connection:
            for parcel in parcels:
                outbox.hold(connection, parcel, "another patient ID", RETRY)
        assert set(states(database, job_id).values()) == {"held"}
    later = RetryPolicy(attempts=2, first_seconds=3600.0, longest_seconds=3600.0)
    for parcel in claim(database):
        with database.write() as connection:
            outbox.hold(connection, parcel, "another patient ID", later)
    with database.read() as connection:
        assert not outbox.claimable(connection, "pacs")
        assert overview.destinations(connection, ["pacs"])[0]["held"] == 2
    with database.write() as connection:
        assert outbox.retry(connection, job_id) == 2
    assert len(claim(database)) == 2


def hold_all(database: Database) -> None:
    for parcel in claim(database):
        with database.write() as connection:
            outbox.hold(connection, parcel, "another patient ID", RETRY)


def test_what_is_held_is_sent_unchecked_by_hand_and_only_then(
    database: Database, job_id: int
) -> None:
    hold_all(database)
    with database.write() as connection:
        assert outbox.retry(connection, job_id, unchecked=True) == 2
    parcels = claim(database)
    assert {each.unchecked for each in parcels} == {True}
    with database.write() as connection:
        outbox.give_back(connection, parcels[0], "the destination is away")
    (again,) = claim(database)
    assert again.unchecked
    hold_all(database)
    with database.write() as connection:
        outbox.hold(connection, again, "another patient ID", RETRY)
        assert outbox.retry(connection, job_id) == 1
    assert [each.unchecked for each in claim(database)] == [False]


def test_what_is_held_is_given_up_by_hand_and_may_be_revived(
    database: Database, job_id: int
) -> None:
    with database.write() as connection:
        assert outbox.give_up(connection, job_id) == 0
    hold_all(database)
    with database.write() as connection:
        assert outbox.give_up(connection, job_id) == 2
    with database.read() as connection:
        shown = stats.deliveries(connection, job_id)
        assert [each["id"] for each in stats.jobs(connection, delivery="dead")] == [job_id]
        assert stats.jobs(connection, delivery="held") == []
    assert {(each["state"], each["reason"]) for each in shown} == {
        ("dead", "given up by hand: another patient ID")
    }
    assert claim(database) == []
    with database.write() as connection:
        assert outbox.retry(connection, job_id) == 2


def test_retry_names_a_job_that_does_not_exist(database: Database) -> None:
    for act in (outbox.retry, outbox.give_up):
        with pytest.raises(NotFound, match="no job 7"), database.write() as connection:
            act(connection, 7)


def test_parcels_that_wait_their_turn_keep_their_lease(database: Database, job_id: int) -> None:
    first, second = claim(database, lease=0.0)
    with database.write() as connection:
        outbox.renew(connection, [second], 30)
    time.sleep(0.01)
    assert [each.delivery_id for each in claim(database)] == [first.delivery_id]


def test_a_destination_takes_back_no_other_ones_parcels(database: Database, job_id: int) -> None:
    parcels = claim(database, lease=0.0)
    time.sleep(0.01)
    with database.write() as connection:
        assert outbox.claim(connection, "elsewhere", "other", 30, 10, RETRY) == []
        outbox.sent(connection, parcels[0], parcels[0].alternatives[0].result_id)


def test_deliveries_of_an_urgent_job_are_claimed_before_older_ones(
    database: Database, job_id: int
) -> None:
    instance = StoredInstance(
        sop_instance_uid="9.2.3.4", study_uid="9.2.3", series_uid="9.2.3.1", sop_class_uid="1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1", modality="DX", own=False, size=1,
        digest="1" * 64, path="archive/y.dcm", calling_ae="CONSOLE",
    )  # fmt: skip
    with database.write() as connection:
        studies.record(connection, instance, 0)
        jobs.enqueue(connection, "9.2.3", ModelRef("m", "1"), [instance])
        (work,) = dispatch.claim(connection, "w", [ModelRef("m", "1")], 30)
        jobs.finish(connection, work, jobs.URGENT)
        results = [result("sr", 0)]
        outbox.post(connection, work.job_id, results, letters("pacs", results))
    assert [each.job_id for each in claim(database, limit=1)] == [work.job_id]
    assert [each.job_id for each in claim(database)] == [job_id, job_id]
    with database.read() as connection:
        assert stats.job(connection, work.job_id)["priority"] == jobs.URGENT
        assert stats.job(connection, job_id)["priority"] == jobs.ROUTINE
