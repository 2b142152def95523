"""Connections that are kept, on a server that closes them, and waiting for the write lock."""

from __future__ import annotations

import pytest
from sqlalchemy import text

import db.engine
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
