"""Destinations that are away, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, select, update

from db import outage, overview
from db.engine import Database, now
from db.schema import Outage


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with database.write() as opened:
        yield opened


def wait(connection: Connection) -> float:
    """Seconds until the next probe."""
    return connection.execute(select(Outage.probe_at)).scalar_one() - now(connection)


def make_due(connection: Connection) -> None:
    connection.execute(update(Outage).values(probe_at=now(connection) - 0.001))


def test_only_the_first_failure_is_news(connection: Connection) -> None:
    assert outage.find(connection, "pacs") is None
    assert outage.begin(connection, "pacs", "no connection")
    assert not outage.begin(connection, "pacs", "rejected")
    (shown,) = overview.destinations(connection, ["pacs"])
    assert shown["state"] == "away"
    assert shown["reason"] == "rejected"
    assert outage.find(connection, "elsewhere") is None


def test_probes_come_at_growing_intervals_of_at_most_half_a_minute(
    connection: Connection,
) -> None:
    waits = []
    for limit in (1, 2, 4, 8, 16, 30, 30):
        outage.begin(connection, "pacs", "no connection")
        waits.append(wait(connection))
        assert waits[-1] <= limit
    assert sorted(waits[:6]) == waits[:6]


def test_one_of_all_takes_the_probe(connection: Connection) -> None:
    outage.begin(connection, "pacs", "no connection")
    assert not outage.take_probe(connection, "pacs")
    make_due(connection)
    assert outage.find(connection, "pacs") == outage.Away(due=True)
    assert outage.take_probe(connection, "pacs")
    assert not outage.take_probe(connection, "pacs")
    assert outage.find(connection, "pacs") == outage.Away(due=False)


def test_the_end_says_how_long_it_was(connection: Connection) -> None:
    outage.begin(connection, "pacs", "no connection")
    connection.execute(update(Outage).values(since=now(connection) - 60))
    seconds = outage.end(connection, "pacs")
    assert seconds is not None
    assert seconds >= 60
    assert outage.end(connection, "pacs") is None
    assert overview.destinations(connection, ["pacs"])[0]["state"] == "ok"
