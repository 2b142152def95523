"""Storage commitment requests and the judgement on them, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from db import commitment, studies
from db.archive import Archive
from db.commitment import Asked, Claimed, Reference
from db.engine import Database
from db.errors import IllegalMove, LeaseLost, NotFound
from db.retry import RetryPolicy
from db.schema import COMMITMENT_MOVES, CommitmentState
from db.studies import StoredInstance
from db.verdict import EventType, Failure, judge, report, taken

RETRY = RetryPolicy(attempts=2, first_seconds=0.0, longest_seconds=0.0)
CT = "1.2.840.10008.5.1.4.1.1.2"
ONE, TWO = Reference(CT, "1.2.3.1"), Reference(CT, "1.2.3.2")


def asked(
    *references: Reference, transaction: str = "2.25.7", calling_ae: str = "CONSOLE"
) -> Asked:
    return Asked(calling_ae=calling_ae, transaction_uid=transaction, references=references)


def record(database: Database, request: Asked) -> int:
    with database.write() as connection:
        return commitment.record(connection, request)


def claim(database: Database, lease: float = 30.0, calling_ae: str = "CONSOLE") -> Claimed | None:
    with database.write() as connection:
        return commitment.claim(connection, calling_ae, "courier", lease, RETRY)


def claimed_one(database: Database, lease: float = 30.0) -> Claimed:
    claimed = claim(database, lease)
    assert claimed is not None
    return claimed


def row(database: Database, commitment_id: int) -> dict[str, object]:
    with database.read() as connection:
        found = connection.execute(text(f"select * from commitment where id = {commitment_id}"))
        return dict(found.one()._mapping)


def test_a_request_is_claimed_by_its_sender_once(database: Database) -> None:
    record(database, asked(TWO, ONE))
    with database.read() as connection:
        assert commitment.claimable(connection, "CONSOLE")
        assert not commitment.claimable(connection, "ANOTHER")
    assert claim(database, calling_ae="ANOTHER") is None
    claimed = claimed_one(database)
    assert claimed.references == (TWO, ONE)
    assert (claimed.transaction_uid, claimed.duplicate, claimed.attempt) == ("2.25.7", False, 1)
    assert claim(database) is None
    with database.read() as connection:
        assert not commitment.claimable(connection, "CONSOLE")


def test_reported_keeps_what_was_said_of_each_instance(database: Database) -> None:
    number = record(database, asked(ONE, TWO))
    with database.write() as connection:
        commitment.reported(connection, _claim(connection), [None, Failure.NO_SUCH_INSTANCE])
    shown = row(database, number)
    assert (shown["state"], shown["lease_owner"]) == ("reported", None)
    assert shown["reason"] == "1 of 2 instances are not committed"
    assert shown["reported_at"] is not None
    with database.read() as connection:
        told = connection.execute(text("select failure from commitment_item order by number"))
        assert list(told.scalars()) == [None, 0x0112]


def _claim(connection: object) -> Claimed:
    claimed = commitment.claim(connection, "CONSOLE", "courier", 30, RETRY)  # type: ignore[arg-type]
    assert claimed is not None
    return claimed


def test_failure_retries_then_dies_and_retry_by_hand_revives(database: Database) -> None:
    number = record(database, asked(ONE))
    for expected in (CommitmentState.PENDING, CommitmentState.DEAD):
        with database.write() as connection:
            assert commitment.fail(connection, _claim(connection), "no answer", RETRY) is expected
    assert (row(database, number)["state"], row(database, number)["reason"]) == (
        "dead",
        "no answer",
    )
    assert claim(database) is None
    with database.write() as connection:
        commitment.retry(connection, number)
    assert claimed_one(database).attempt == 1
    with pytest.raises(IllegalMove, match="reporting"), database.write() as connection:
        commitment.retry(connection, number)
    with pytest.raises(NotFound, match="no commitment 7"), database.write() as connection:
        commitment.retry(connection, 7)


def test_an_expired_lease_comes_back_and_the_first_finds_out(database: Database) -> None:
    record(database, asked(ONE))
    first = claimed_one(database, lease=0.0)
    time.sleep(0.01)
    assert claimed_one(database).attempt == 2
    with pytest.raises(LeaseLost), database.write() as connection:
        commitment.reported(connection, first, [None])
    with pytest.raises(LeaseLost), database.write() as connection:
        commitment.give_back(connection, first)
    with pytest.raises(LeaseLost), database.write() as connection:
        commitment.fail(connection, first, "no answer", RETRY)


def test_leases_lost_too_often_end_in_dead(database: Database) -> None:
    number = record(database, asked(ONE))
    for _ in range(RETRY.attempts):
        claimed_one(database, lease=0.0)
        time.sleep(0.01)
    assert claim(database) is None
    assert row(database, number)["state"] == "dead"
    assert row(database, number)["reason"] == commitment.LEASE_LOST


def test_give_back_is_not_counted(database: Database) -> None:
    record(database, asked(ONE))
    with database.write() as connection:
        commitment.give_back(connection, _claim(connection))
    assert claimed_one(database).attempt == 1


def test_take_leases_one_request_and_no_other(database: Database) -> None:
    first = record(database, asked(ONE, transaction="2.25.1"))
    second = record(database, asked(ONE, transaction="2.25.2"))
    with database.write() as connection:
        taken = commitment.take(connection, second, "receiver", 30)
        assert taken is not None
        assert taken.transaction_uid == "2.25.2"
        assert commitment.take(connection, second, "receiver", 30) is None
    assert claimed_one(database).commitment_id == first


def test_the_same_request_again_is_one_row_and_reported_again(database: Database) -> None:
    number = record(database, asked(ONE, TWO))
    assert record(database, asked(TWO, ONE)) == number
    with database.write() as connection:
        claimed = _claim(connection)
        assert commitment.record(connection, asked(ONE, TWO)) == number
        commitment.reported(connection, claimed, [None, None])  # still ours
    assert row(database, number)["state"] == "reported"
    assert record(database, asked(ONE, TWO)) == number
    again = claimed_one(database)
    assert (again.commitment_id, again.attempt, again.duplicate) == (number, 1, False)


def test_a_sender_that_asks_again_need_not_wait_for_the_retry(database: Database) -> None:
    number = record(database, asked(ONE))
    slow = RetryPolicy(attempts=9, first_seconds=3600.0, longest_seconds=3600.0)
    with database.write() as connection:
        commitment.fail(connection, _claim(connection), "no answer", slow)
    assert claim(database) is None
    with database.write() as connection:
        assert commitment.record(connection, asked(ONE)) == number
        assert commitment.take(connection, number, "receiver", 30) is not None


def test_what_no_retry_can_mend_is_dead_at_once(database: Database) -> None:
    number = record(database, asked(ONE))
    with database.write() as connection:
        commitment.bury(connection, _claim(connection), "no address")
    assert (row(database, number)["state"], row(database, number)["reason"]) == (
        "dead",
        "no address",
    )


def test_a_transaction_uid_used_for_other_instances_is_a_duplicate(database: Database) -> None:
    first = record(database, asked(ONE))
    second = record(database, asked(TWO))
    assert first != second
    assert record(database, asked(TWO)) == second
    assert record(database, asked(ONE)) == first
    assert [claimed_one(database).duplicate, claimed_one(database).duplicate] == [False, True]
    record(database, asked(TWO, calling_ae="ANOTHER"))  # another sender's names are its own
    other = claim(database, calling_ae="ANOTHER")
    assert other is not None
    assert not other.duplicate


def test_requests_that_come_at_once_under_one_transaction_uid_are_told_apart(
    database: Database,
) -> None:
    requests = [asked(ONE), asked(TWO), asked(ONE, TWO)] * 3
    with ThreadPoolExecutor(9) as pool:
        numbers = list(pool.map(lambda each: record(database, each), requests))
    assert numbers[:3] == numbers[3:6] == numbers[6:]
    assert len(set(numbers)) == 3
    claimed = [claimed_one(database) for _ in range(3)]
    assert sorted(each.duplicate for each in claimed) == [False, True, True]
    assert claim(database) is None


def test_a_claim_reads_by_index(database: Database) -> None:
    query = commitment.oldest_due("CONSOLE", 1.0)
    compiled = query.compile(database.engine, compile_kwargs={"literal_binds": True})
    explain = "explain query plan " if database.is_sqlite else "explain "
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("set enable_seqscan = off"))  # the table is empty
        plan = " ".join(map(str, connection.execute(text(f"{explain}{compiled}")).all()))
    assert "ix_commitment_claim" in plan


@pytest.mark.parametrize(
    ("status", "expected"),
    [(0x0000, True), (0x0107, True), (0xB000, True), (0x0110, False), (0xA700, False)],
)
def test_a_warning_says_that_the_report_has_come(status: int, expected: bool) -> None:
    assert taken(status) is expected


def test_a_sender_without_an_address_is_named(database: Database) -> None:
    lost = record(database, asked(ONE, calling_ae="NOWHERE"))
    record(database, asked(ONE))
    with database.write() as connection:
        assert commitment.any_stranded(connection, ["CONSOLE"])
        assert commitment.strand(connection, ["CONSOLE"]) == [(lost, "NOWHERE")]
        assert not commitment.any_stranded(connection, ["CONSOLE"])
    assert row(database, lost)["state"] == "dead"
    assert "AE title NOWHERE" in str(row(database, lost)["reason"])
    assert claim(database) is not None


def test_what_the_receiver_is_about_to_report_is_not_stranded(database: Database) -> None:
    number = record(database, asked(ONE))
    with database.write() as connection:
        assert commitment.take(connection, number, "receiver", 0.2) is not None
        assert commitment.strand(connection, []) == []
    time.sleep(0.3)
    with database.write() as connection:
        assert commitment.strand(connection, []) == [(number, "CONSOLE")]


def test_the_moves_name_every_state() -> None:
    assert set(COMMITMENT_MOVES) == set(CommitmentState)


def store(database: Database, archive: Archive, reference: Reference) -> Path:
    """An instance as the receiver leaves it."""
    path = archive.instance_path("1.2.3", reference.sop_instance_uid)
    size = archive.write(path, [b"bytes"])
    instance = StoredInstance(
        sop_instance_uid=reference.sop_instance_uid, study_uid="1.2.3", series_uid="1.2.3.9",
        sop_class_uid=reference.sop_class_uid, transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality="CT", own=False, size=size, digest="0" * 64, path=path, calling_ae="CONSOLE",
    )  # fmt: skip
    with database.write() as connection:
        studies.record(connection, instance, 0)
    return archive.full_path(path)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "data")


def verdict(
    database: Database, archive: Archive, *references: Reference
) -> tuple[Failure | None, ...]:
    claimed = Claimed(
        commitment_id=1, calling_ae="CONSOLE", transaction_uid="2.25.7", references=references,
        duplicate=False, attempt=1, owner="w",
    )  # fmt: skip
    with database.read() as connection:
        return judge(connection, archive, claimed)


def test_row_class_and_whole_file_make_an_instance_committed(
    database: Database, archive: Archive
) -> None:
    file = store(database, archive, ONE)
    store(database, archive, TWO)
    missing = Reference(CT, "1.2.3.3")
    assert verdict(database, archive, ONE, TWO, missing) == (None, None, Failure.NO_SUCH_INSTANCE)
    other_class = Reference("1.2.840.10008.5.1.4.1.1.4", ONE.sop_instance_uid)
    assert verdict(database, archive, other_class) == (Failure.CLASS_CONFLICT,)
    file.write_bytes(b"byte")
    assert verdict(database, archive, ONE, TWO) == (Failure.PROCESSING_FAILURE, None)
    file.unlink()
    assert verdict(database, archive, ONE, TWO) == (Failure.PROCESSING_FAILURE, None)


def test_a_uid_under_which_two_data_sets_came_is_not_committed(
    database: Database, archive: Archive
) -> None:
    store(database, archive, ONE)
    store(database, archive, TWO)
    archive.write(f"conflicts/{TWO.sop_instance_uid}-ff.dcm", [b"other bytes"])
    assert verdict(database, archive, ONE, TWO) == (None, Failure.PROCESSING_FAILURE)


def test_a_file_in_conflicts_alone_is_no_instance(database: Database, archive: Archive) -> None:
    archive.write(f"conflicts/{ONE.sop_instance_uid}-ff.dcm", [b"other bytes"])
    assert verdict(database, archive, ONE) == (Failure.NO_SUCH_INSTANCE,)


def test_many_instances_are_judged_at_once(database: Database, archive: Archive) -> None:
    references = [Reference(CT, f"1.2.3.{number}") for number in range(1, 1301)]
    for each in references[::100]:
        store(database, archive, each)
    told = verdict(database, archive, *references)
    assert [number for number, failure in enumerate(told) if failure is None] == [
        *range(0, 1300, 100)
    ]


def test_a_report_lists_what_is_committed_and_what_is_not(
    database: Database, archive: Archive
) -> None:
    record(database, asked(ONE, TWO))
    claimed = claimed_one(database)
    event_type, information = report(claimed, [None, None])
    assert event_type is EventType.SUCCESSFUL
    assert information.TransactionUID == "2.25.7"
    assert len(information.ReferencedSOPSequence) == 2
    assert "FailedSOPSequence" not in information
    event_type, information = report(claimed, [Failure.NO_SUCH_INSTANCE] * 2)
    assert event_type is EventType.FAILURES_EXIST
    assert "ReferencedSOPSequence" not in information
    assert [each.FailureReason for each in information.FailedSOPSequence] == [0x0112, 0x0112]
    assert information.FailedSOPSequence[1].ReferencedSOPInstanceUID == TWO.sop_instance_uid
    assert information.FailedSOPSequence[1].ReferencedSOPClassUID == CT


def test_every_instance_of_a_duplicate_fails(database: Database, archive: Archive) -> None:
    store(database, archive, ONE)
    store(database, archive, TWO)
    record(database, asked(ONE))
    record(database, asked(TWO))
    with database.read() as connection:
        assert judge(connection, archive, claimed_one(database)) == (None,)
        assert judge(connection, archive, claimed_one(database)) == (Failure.DUPLICATE_TRANSACTION,)
