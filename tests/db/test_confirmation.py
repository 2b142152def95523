"""Storage commitment of what was sent, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedSRStorage
from sqlalchemy import update

from db import confirmation, outbox, overview, stats
from db.archive import Archive
from db.commitment import Reference
from db.confirmation import INVALID_ARGUMENT, SUCCESS, Noted, Report
from db.engine import Database
from db.errors import InvalidUID
from db.retry import RetryPolicy
from db.schema import Delivery, DeliveryState
from tests.delivering import deliveries, report

TWICE = RetryPolicy(attempts=2, first_seconds=0.0, longest_seconds=0.0)
FIRST, SECOND = "1.2.4.7", "1.2.5.7"


@pytest.fixture
def job_ids(database: Database, tmp_path: Path) -> list[int]:
    """Two reports that were sent to a destination that is to commit."""
    archive = Archive(tmp_path / "data")
    made = [report(database, archive, study) for study in ("1.2.4", "1.2.5")]
    send(database)
    return made


def send(database: Database) -> None:
    with database.write() as connection:
        for parcel in outbox.claim(connection, "pacs", "courier", 30, 10, TWICE):
            outbox.sent(connection, parcel, parcel.alternatives[0].result_id, commit=True)
    make_due(database)


def make_due(database: Database) -> None:
    """What is to be done about commitment in future is to be done now."""
    with database.write() as connection:
        connection.execute(
            update(Delivery).where(Delivery.commit_at.is_not(None)).values(commit_at=0.0)
        )


def ask(database: Database, transaction_uid: str) -> list[str]:
    with database.write() as connection:
        references = confirmation.ask(connection, "pacs", transaction_uid)
    assert {each.sop_class_uid for each in references} <= {EnhancedSRStorage}
    return [each.sop_instance_uid for each in references]


def asked(database: Database, transaction_uid: str) -> None:
    with database.write() as connection:
        confirmation.asked(connection, transaction_uid, 3600)


def note(database: Database, transaction_uid: str, *committed: str, **failed: int) -> Noted:
    with database.write() as connection:
        return confirmation.note(
            connection,
            Report(
                transaction_uid=transaction_uid,
                committed=frozenset(committed),
                failed={{"first": FIRST, "second": SECOND}[name]: failed[name] for name in failed},
            ),
        )


def give_up(database: Database) -> list[confirmation.Uncommitted]:
    with database.write() as connection:
        return confirmation.give_up(connection, "pacs", TWICE)


def shown(database: Database, job_id: int) -> dict[str, Any]:
    return deliveries(database, job_id)["sr"]


def test_a_destination_that_is_not_to_commit_is_not_asked(
    database: Database, tmp_path: Path
) -> None:
    job_id = report(database, Archive(tmp_path / "data"), "1.2.4")
    with database.write() as connection:
        (parcel,) = outbox.claim(connection, "pacs", "courier", 30, 10, TWICE)
        outbox.sent(connection, parcel, parcel.alternatives[0].result_id)
        assert not confirmation.due(connection, "pacs")
        assert confirmation.ask(connection, "pacs", "2.25.1") == ()
    assert shown(database, job_id)["commitment"] is None


def test_what_is_committed_is_at_the_destination(database: Database, job_ids: list[int]) -> None:
    with database.read() as connection:
        assert confirmation.due(connection, "pacs")
        assert overview.destinations(connection, ["pacs"])[0]["uncommitted"] == 2
    assert shown(database, job_ids[0])["commitment"] == "to be asked"
    assert ask(database, "2.25.1") == [FIRST, SECOND]
    asked(database, "2.25.1")
    assert shown(database, job_ids[0])["commitment"] == "asked"
    assert ask(database, "2.25.2") == []
    assert note(database, "2.25.1", FIRST, SECOND) == Noted(committed=2, failed=0)
    for job_id in job_ids:
        assert shown(database, job_id)["state"] == "committed"
        assert shown(database, job_id)["commitment"] == "committed"
    with database.read() as connection:
        assert stats.job(connection, job_ids[0])["undelivered"] == 0
        assert overview.destinations(connection, ["pacs"])[0]["uncommitted"] == 0
        assert overview.deliveries(connection)["committed"] == 2


def test_what_is_listed_as_failed_is_sent_again_and_then_dead(
    database: Database, job_ids: list[int]
) -> None:
    for transaction, expected in (("2.25.1", "pending"), ("2.25.2", "dead")):
        ask(database, transaction)
        asked(database, transaction)
        assert note(database, transaction, SECOND, first=0x0110).failed == 1
        (given_up,) = give_up(database)
        assert given_up.state == expected
        assert given_up.parcel.alternatives[0].sop_instance_uid == FIRST
        assert "failure reason 0110" in given_up.reason
        assert shown(database, job_ids[0])["state"] == expected
        send(database)
    assert shown(database, job_ids[1])["state"] == "committed"
    with database.write() as connection:
        assert outbox.retry(connection, job_ids[0]) == 1


def test_without_a_report_in_time_it_is_sent_again_under_another_transaction(
    database: Database, job_ids: list[int]
) -> None:
    ask(database, "2.25.1")
    asked(database, "2.25.1")
    assert give_up(database) == []
    make_due(database)
    assert {each.reason for each in give_up(database)} == {confirmation.OVERDUE}
    send(database)
    assert ask(database, "2.25.2") == [FIRST, SECOND]
    assert note(database, "2.25.1", FIRST) == Noted(committed=0, failed=0)
    assert note(database, "2.25.2", FIRST) == Noted(committed=1, failed=0)


def test_a_late_report_saves_sending_again(database: Database, job_ids: list[int]) -> None:
    ask(database, "2.25.1")
    asked(database, "2.25.1")
    make_due(database)
    assert len(give_up(database)) == 2
    assert note(database, "2.25.1", FIRST, second=0x0110) == Noted(committed=1, failed=0)
    with database.write() as connection:
        (parcel,) = outbox.claim(connection, "pacs", "courier", 30, 10, TWICE)
    assert parcel.alternatives[0].sop_instance_uid == SECOND


def test_a_report_may_overtake_the_answer(database: Database, job_ids: list[int]) -> None:
    ask(database, "2.25.1")
    note(database, "2.25.1", FIRST, second=0x0112)
    asked(database, "2.25.1")
    assert shown(database, job_ids[0])["state"] == "committed"
    (given_up,) = give_up(database)
    assert given_up.parcel.job_id == job_ids[1]


def test_who_dies_while_asking_leaves_it_to_be_asked_again(
    database: Database, job_ids: list[int]
) -> None:
    ask(database, "2.25.1")
    make_due(database)
    assert give_up(database) == []
    assert ask(database, "2.25.2") == [FIRST, SECOND]


def test_who_could_not_be_asked_is_asked_again(database: Database, job_ids: list[int]) -> None:
    ask(database, "2.25.1")
    with database.write() as connection:
        confirmation.put_off(connection, "2.25.1", "no connection")
        assert not confirmation.due(connection, "pacs")
    assert shown(database, job_ids[0])["reason"] == "no connection"
    assert shown(database, job_ids[0])["state"] == "sent"
    make_due(database)
    assert ask(database, "2.25.2") == [FIRST, SECOND]
    assert shown(database, job_ids[0])["reason"] is None


def information(transaction_uid: str, *committed: str) -> Dataset:
    made = Dataset()
    made.TransactionUID = transaction_uid
    made.ReferencedSOPSequence = []
    for uid in committed:
        item = Dataset()
        item.ReferencedSOPClassUID = EnhancedSRStorage
        item.ReferencedSOPInstanceUID = uid
        made.ReferencedSOPSequence.append(item)
    return made


def test_a_report_is_answered(database: Database, job_ids: list[int]) -> None:
    def answer(made: Dataset) -> int:
        return confirmation.take_report(database, lambda: made, "PACS")

    ask(database, "2.25.1")
    assert answer(information("2.25.1", FIRST)) == SUCCESS
    assert answer(information("2.25.404", FIRST)) == SUCCESS  # the PACS could not mend that
    assert answer(information("2.25.1", "")) == INVALID_ARGUMENT
    assert answer(Dataset()) == INVALID_ARGUMENT
    assert shown(database, job_ids[0])["state"] == DeliveryState.COMMITTED


def test_a_report_without_a_transaction_cannot_be_read() -> None:
    with pytest.raises(InvalidUID):
        confirmation.read_report(information(""))


def test_a_reference_names_class_and_instance(database: Database, job_ids: list[int]) -> None:
    with database.write() as connection:
        assert confirmation.ask(connection, "pacs", "2.25.1")[0] == Reference(
            EnhancedSRStorage, FIRST
        )
