"""Connections that are kept, and what writers wait for."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

import db.engine
from db import holds, writelock
from db.engine import Database
from tests.postgres import PostgresServer


def _backend(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(text("select pg_backend_pid()")).scalar_one())


def test_a_connection_that_the_server_closed_is_replaced_after_a_pause(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database()
    database, another = Database(url), Database(url)
    first = _backend(database)
    assert _backend(database) == first
    with another.write() as connection:
        connection.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": first})
    monkeypatch.setattr(db.engine, "_KEPT_SECONDS", 0.0)
    assert _backend(database) != first
    for each in (database, another):
        each.close()


def test_a_hasty_transaction_commits_and_rolls_back_as_others_do(database: Database) -> None:
    with database.write_hastily() as connection:
        holds.pause(connection, "one")
    with pytest.raises(RuntimeError), database.write_hastily() as connection:
        holds.pause(connection, "another")
        raise RuntimeError("the worker was stopped")
    with database.read() as connection:
        assert [each.name for each in holds.held(connection)] == ["one"]


def test_only_a_hasty_transaction_does_not_wait_for_the_disk(database: Database) -> None:
    ask = text("pragma synchronous" if database.is_sqlite else "show synchronous_commit")
    with database.write() as one, database.read() as other:
        told = [each.execute(ask).scalar_one() for each in (one, other)]
    with database.write_hastily() as connection:
        told.append(connection.execute(ask).scalar_one())
    full, normal = 2, 1
    assert told == ([full, full, normal] if database.is_sqlite else ["on", "on", "off"])


def test_of_writers_in_turn_each_sees_what_the_last_one_wrote(tmp_path: Path) -> None:
    databases = [Database(f"sqlite:///{tmp_path / 'x.db'}") for _ in range(4)]
    with databases[0].write() as connection:
        connection.execute(text("create table counter as select 0 as number"))

    def count(database: Database) -> None:
        for _ in range(10):
            with database.write() as connection:
                number = connection.execute(text("select number from counter")).scalar_one()
                connection.execute(text("update counter set number = :next"), {"next": number + 1})

    threads = [threading.Thread(target=count, args=(each,)) for each in databases]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with databases[0].read() as connection:
        assert connection.execute(text("select number from counter")).scalar_one() == 40
    for database in databases:
        database.close()


def test_a_folder_that_is_gone_is_an_error_of_the_database(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    database = Database(f"sqlite:///{folder / 'x.db'}")
    with database.write():
        pass
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(OperationalError, match="No such file"), database.write():
        pass
    database.close()


def test_who_waits_too_long_to_write_is_told(tmp_path: Path) -> None:
    one, other, third = (writelock.Connection(str(tmp_path / "x.db"), 0.05) for _ in range(3))
    for each in (one, other, third):
        each.isolation_level = None
    one.begin_writing()
    for each in (other, third):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            each.begin_writing()
    one.execute("COMMIT")
    other.begin_writing()
    assert other.in_transaction
    (waits,) = other.execute("PRAGMA busy_timeout").fetchone()
    assert waits == 50, "others than writers wait as before"
    for each in (one, other, third):
        each.close()
