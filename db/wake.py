"""Wakes whoever waits for work: workers for jobs, couriers for deliveries.

On PostgreSQL by LISTEN and NOTIFY. On SQLite by asking whether anybody has written, which reads no
table. Nothing depends on it: who was not woken finds the work at the next look.
"""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from typing import Any, Self

import structlog
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection

from db.engine import Database

_log = structlog.get_logger(__name__)
_LOOK_SECONDS = 0.03  # between two questions to SQLite
_SLICE_SECONDS = 0.25  # how soon a wait for PostgreSQL sees that it is to end


class Topic(StrEnum):
    """What somebody waits for; the channel's name on PostgreSQL."""

    JOBS = "wetread_jobs"
    DELIVERIES = "wetread_deliveries"


def notify(connection: Connection, topic: Topic) -> None:
    """Wake those who wait for it, as soon as this transaction is committed."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(topic.value, "")))


class Waiter:
    """Waits for a topic over a connection of its own; for one thread.

    Parameters
    ----------
    database
        Where the work is.
    topic
        What to wait for.
    """

    def __init__(self, database: Database, topic: Topic) -> None:
        self._database = database
        self._topic = topic
        self._connection: PoolProxiedConnection | None = None
        self._version: object = None  # of the SQLite file, at the last look
        dialect = database.engine.dialect
        self._errors: Any = (dialect.loaded_dbapi.Error, SQLAlchemyError)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return when there may be something new, ``stop`` is set, or the time is over.

        The first wait returns at once, and so does that after a loss of the connection: what came
        before is not told. While there is no connection, the time is waited out.
        """
        try:
            if self._connection is None:
                self._connect()
            elif self._database.is_sqlite:
                self._wait_for_version(seconds, stop)
            else:
                self._wait_for_notice(seconds, stop)
        except self._errors as error:
            _log.debug("wake.trouble", error=type(error).__name__)
            self.close()
            stop.wait(seconds)

    def close(self) -> None:
        """Close the connection; a later wait opens another."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None

    def _connect(self) -> None:
        self._connection = self._database.engine.raw_connection()
        if self._database.is_sqlite:
            self._version = self._data_version()
        else:
            driver: Any = self._connection.driver_connection
            driver.autocommit = True
            driver.execute(f"listen {self._topic.value}")

    def _wait_for_version(self, seconds: float, stop: threading.Event) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not stop.wait(min(left, _LOOK_SECONDS)):
            version = self._data_version()
            if version != self._version:
                self._version = version
                return

    def _data_version(self) -> object:
        """Changes whenever another connection commits (sqlite.org, PRAGMA data_version)."""
        assert self._connection is not None
        driver: Any = self._connection.driver_connection
        return driver.execute("pragma data_version").fetchone()[0]

    def _wait_for_notice(self, seconds: float, stop: threading.Event) -> None:
        assert self._connection is not None
        driver: Any = self._connection.driver_connection
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not stop.is_set():
            for _ in driver.notifies(timeout=min(left, _SLICE_SECONDS), stop_after=1):
                return
