"""Group commit on both databases: what is answered is on disk, and one's trouble stays one's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from db import studies
from db.archive import Archive
from db.committer import Committer
from db.driver import Driver
from db.engine import Database
from db.studies import Arriving, StoredInstance

STUDY = "1.2.3"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "data")


def arriving(archive: Archive, number: int, **changes: Any) -> Arriving:
    uid = f"{STUDY}.{number}"
    fields: dict[str, Any] = {
        "sop_instance_uid": uid,
        "study_uid": STUDY,
        "series_uid": f"{STUDY}.0",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "modality": "CT",
        "own": False,
        "size": 3,
        "digest": "",
        "path": archive.instance_path(STUDY, uid),
        "calling_ae": "CONSOLE",
    }
    return Arriving(StoredInstance(**(fields | changes)), 30.0)


def partial(archive: Archive, content: bytes) -> Path:
    path = archive.partial_path()
    path.write_bytes(content)
    return path


def at_once(*calls: Callable[[], None]) -> None:
    threads = [threading.Thread(target=each) for each in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def rows(database: Database) -> list[str]:
    with database.read() as connection:
        return [each.sop_instance_uid for each in studies.instances(connection, STUDY)]


def test_a_commit_records_and_names(database: Database, archive: Archive) -> None:
    first = arriving(archive, 1)
    assert Committer(database, archive).commit(first, partial(archive, b"abc"))
    assert archive.full_path(first.instance.path).read_bytes() == b"abc"
    assert rows(database) == [f"{STUDY}.1"]


def test_a_known_uid_changes_nothing(database: Database, archive: Archive) -> None:
    committer, first = Committer(database, archive), arriving(archive, 1)
    assert committer.commit(first, partial(archive, b"abc"))
    assert not committer.commit(first, partial(archive, b"xyz"))
    assert archive.full_path(first.instance.path).read_bytes() == b"abc"


def test_what_a_crash_left_under_the_name_is_replaced(database: Database, archive: Archive) -> None:
    first = arriving(archive, 1)
    archive.write(first.instance.path, [b"torn"])
    whole = partial(archive, b"whole")
    assert not archive.claim(whole, first.instance.path)
    assert Committer(database, archive).commit(first, whole)
    assert archive.full_path(first.instance.path).read_bytes() == b"whole"


def test_many_at_once_share_transactions(
    database: Database, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = 0
    whole = studies.record_all

    def counted(driver: Driver, some: Sequence[Arriving]) -> set[str]:
        nonlocal transactions
        transactions += 1
        return whole(driver, some)

    monkeypatch.setattr(studies, "record_all", counted)
    committer = Committer(database, archive)
    new: list[bool] = []

    def console(number: int) -> None:
        for each in range(10):
            one = arriving(archive, 100 * number + each)
            new.append(committer.commit(one, partial(archive, b"abc")))

    at_once(*(lambda number=number: console(number) for number in range(1, 9)))
    assert new == [True] * 80
    assert len(rows(database)) == 80
    assert 0 < transactions < 80


def test_one_uid_from_many_at_once_is_new_once(database: Database, archive: Archive) -> None:
    committers = [Committer(database, archive), Committer(database, archive)]
    barrier = threading.Barrier(8)
    outcomes: list[tuple[bool, bytes]] = []

    def console(number: int) -> None:
        one, content = arriving(archive, 1), b"from %d" % number
        file = partial(archive, content)
        barrier.wait()
        archive.claim(file, one.instance.path)
        outcomes.append((committers[number % 2].commit(one, file), content))

    at_once(*(lambda number=number: console(number) for number in range(8)))
    (stored,) = [content for new, content in outcomes if new]
    assert archive.full_path(arriving(archive, 1).instance.path).read_bytes() == stored


def test_one_that_cannot_be_recorded_takes_no_other_with_it(
    database: Database, archive: Archive
) -> None:
    committer = Committer(database, archive)
    failed: list[Exception] = []
    barrier = threading.Barrier(8)

    def console(number: int) -> None:
        # Neither database takes a text whose file has no name: settling it fails.
        changes = {"path": "no/such\0name.dcm"} if number == 3 else {}
        one = arriving(archive, number, **changes)
        barrier.wait()
        try:
            committer.commit(one, partial(archive, b"abc"))
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    at_once(*(lambda number=number: console(number) for number in range(1, 9)))
    assert len(failed) == 1
    assert rows(database) == [f"{STUDY}.{number}" for number in (1, 2, 4, 5, 6, 7, 8)]


def test_a_database_that_refuses_leaves_no_name(database: Database, archive: Archive) -> None:
    committer, first = Committer(database, archive), arriving(archive, 1)
    with database.write() as connection:
        connection.execute(text("alter table instance rename to hidden"))
    file = partial(archive, b"abc")
    assert archive.claim(file, first.instance.path)
    with pytest.raises(SQLAlchemyError):
        committer.commit(first, file)
    assert not archive.full_path(first.instance.path).exists()
    with database.write() as connection:
        connection.execute(text("alter table hidden rename to instance"))
    assert committer.commit(first, file)


def test_a_name_that_another_file_has_is_not_taken_back(archive: Archive) -> None:
    path = "archive/1/x.dcm"
    first, second = partial(archive, b"first"), partial(archive, b"second")
    assert archive.claim(first, path)
    archive.settle(second, path)
    archive.unclaim(first, path)
    assert archive.full_path(path).read_bytes() == b"second"


def test_our_own_result_makes_no_study_due(database: Database, archive: Archive) -> None:
    Committer(database, archive).commit(arriving(archive, 1, own=True), partial(archive, b"abc"))
    with database.read() as connection:
        assert studies.seconds_to_next(connection) is None
