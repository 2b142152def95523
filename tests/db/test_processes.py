"""Processes that say that they run, and figures that are counted now and then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection, func, select, update

from db import figures, processes
from db.engine import Database
from db.processes import SILENT_SECONDS, Running
from db.schema import Figure, Process

WORKER = Running(owner="host:work:1", role="work", host="host", pid=1, version="1.0")


def test_a_process_is_seen_with_what_it_said_last(database: Database) -> None:
    with database.write() as connection:
        processes.beat(connection, WORKER, {"clock_offset": 0.5})
        processes.beat(connection, WORKER, {"clock_offset": 0.1, "models": []})
    with database.read() as connection:
        (seen,) = processes.seen(connection)
    assert (seen.owner, seen.role, seen.host, seen.pid) == ("host:work:1", "work", "host", 1)
    assert seen.details == {"clock_offset": 0.1, "models": []}
    assert seen.started_at <= seen.seen_at
    assert not seen.silent


def test_a_process_that_says_nothing_is_silent(database: Database) -> None:
    with database.write() as connection:
        processes.beat(connection, WORKER, {})
        connection.execute(update(Process).values(seen_at=Process.seen_at - SILENT_SECONDS - 1))
        processes.beat(connection, replace(WORKER, owner="host:work:2", pid=2), {})
    with database.read() as connection:
        silent = {each.pid: each.silent for each in processes.seen(connection)}
    assert silent == {1: True, 2: False}


def test_a_process_that_leaves_is_gone(database: Database) -> None:
    with database.write() as connection:
        processes.beat(connection, WORKER, {})
        processes.leave(connection, WORKER.owner)
        assert processes.seen(connection) == []


def test_a_process_that_died_is_forgotten_after_a_day(database: Database) -> None:
    with database.write() as connection:
        processes.beat(connection, WORKER, {})
        connection.execute(update(Process).values(seen_at=Process.seen_at - 90_000))
        processes.beat(connection, replace(WORKER, owner="host:work:2"), {})
        assert [each.owner for each in processes.seen(connection)] == ["host:work:2"]


def test_a_figure_is_counted_once_until_it_is_old(database: Database) -> None:
    counted: list[int] = []

    def count(connection: Connection) -> dict[str, int]:
        counted.append(connection.execute(select(func.count()).select_from(Figure)).scalar_one())
        return {"times": len(counted)}

    with database.read() as connection:
        assert figures.shown(connection, "rows") is None
    assert figures.refresh(database, "rows", count, older=30)
    assert not figures.refresh(database, "rows", count, older=30)
    with database.write() as connection:
        found = figures.shown(connection, "rows")
        assert found is not None
        assert found.value == {"times": 1}
        assert 0 <= found.age < 30
        connection.execute(update(Figure).values(counted_at=Figure.counted_at - 31))
    assert figures.refresh(database, "rows", count, older=30)
    with database.read() as connection:
        again = figures.shown(connection, "rows")
    assert again is not None
    assert again.value == {"times": 2}


def test_a_figure_that_could_not_be_counted_is_none(database: Database) -> None:
    """Who takes it on and fails leaves no false figure."""

    def fail(_connection: Connection) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        figures.refresh(database, "rows", fail, older=30)
    with database.read() as connection:
        assert figures.shown(connection, "rows") is None
