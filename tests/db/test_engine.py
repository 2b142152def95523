"""Connections that are kept, and what a commit waits for."""

from __future__ import annotations

import pytest
from sqlalchemy import text

import db.engine
from db import holds
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
