"""Opens the database and hands out transactions.

SQLite runs in WAL mode with ``synchronous=FULL``: a committed row survives a power cut, but for
those of ``write_hastily``. Writers take the lock at once (``BEGIN IMMEDIATE``), because a
transaction that upgrades from reading to writing may fail where waiting would have helped, and
they take it in turn (``db.writelock``).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Executable, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from db import writelock
from db.driver import Driver
from db.errors import StoreError
from db.schema import Base

_WRITES = "wetread_writes"
_BUSY_SECONDS = 30.0
_KEPT_SECONDS = 1.0  # how long a connection that was not used is trusted


class Database:
    """One engine and its transactions; safe to share between threads.

    Parameters
    ----------
    url
        SQLAlchemy URL, ``sqlite:///path`` or ``postgresql+psycopg://user:password@host/name``.

    Raises
    ------
    StoreError
        The URL cannot be read or names another kind of database.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
            backend = parsed.get_backend_name()
            if backend not in ("sqlite", "postgresql"):
                raise StoreError(f"database {backend!r}: use sqlite or postgresql+psycopg")
            if backend == "sqlite" and parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            options: dict[str, Any] = {}
            if backend == "sqlite":
                options = {"timeout": _BUSY_SECONDS, "factory": writelock.Connection}
            self.engine: Engine = create_engine(parsed, connect_args=options)
            self._hasty = create_engine(parsed, connect_args=options)
        except (ArgumentError, NoSuchModuleError) as error:
            raise StoreError(f"database URL cannot be used: {error}") from error
        self._writers: list[Writer] = []
        self.is_sqlite = backend == "sqlite"
        for engine in (self.engine, self._hasty):
            (_prepare_sqlite if self.is_sqlite else _ping_after_a_pause)(engine)
        event.listen(self._hasty, "connect", self._make_hasty)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; commits on leaving, rolls back on an exception."""
        with self.engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def write_hastily(self) -> Iterator[Connection]:
        """Open a transaction that writes and whose commit does not wait for the disk.

        A crash of the host or the server may undo it, though only with all that was committed
        after it.
        """
        with self._hasty.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads; sees one consistent state."""
        with self.engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: False})
            with connection.begin():
                yield connection

    def writer(self) -> Writer:
        """Return a writer of its own for whoever writes often; closed with this database."""
        writer = Writer(self.engine)
        self._writers.append(writer)
        return writer

    def close(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()
        self.engine.dispose()
        self._hasty.dispose()

    def _make_hasty(self, connection: Any, _record: object) -> None:
        if self.is_sqlite:
            connection.execute("PRAGMA synchronous=NORMAL")
        else:
            connection.execute("SET synchronous_commit TO off")
            connection.commit()


class Writer:
    """Writing transactions over a connection that is kept from one to the next.

    Taking a connection from the pool and giving it back costs more than a small transaction. For
    one thread at a time.

    Parameters
    ----------
    engine
        Where connections come from.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pooled: PoolProxiedConnection | None = None
        self._used_at = 0.0

    @contextmanager
    def transaction(self) -> Iterator[Driver]:
        """Open a transaction; commits on leaving, rolls back on an exception."""
        driver = Driver(self._kept().driver_connection, self._engine.dialect)
        try:
            with driver.transaction():
                yield driver
        except BaseException:
            self.close()  # the connection may be the reason
            raise
        self._used_at = time.monotonic()

    def close(self) -> None:
        """Give the connection back; the next transaction takes another."""
        if self._pooled is not None:
            self._pooled.close()
            self._pooled = None

    def _kept(self) -> PoolProxiedConnection:
        if self._pooled is not None and time.monotonic() - self._used_at > _KEPT_SECONDS:
            self.close()  # the server may have gone meanwhile; the pool finds out
        if self._pooled is None:
            self._pooled = self._engine.raw_connection()
        return self._pooled


def driver_of(connection: Connection) -> Driver:
    """What runs statements within a transaction of SQLAlchemy's."""
    return Driver(connection.connection.driver_connection, connection.dialect)


def now(connection: Connection) -> float:
    """Seconds since 1970 UTC by the clock all processes share: the server's, or this host's."""
    if connection.dialect.name == "postgresql":
        return float(connection.execute(server_clock()).scalar_one())
    return time.time()


def server_clock(_dialect: str = "postgresql") -> Executable:
    """PostgreSQL's statement that asks for the time."""
    return text("select extract(epoch from clock_timestamp())")


def insert_ignoring(connection: Connection, table: type[Base], values: dict[str, Any]) -> Any:
    """Insert a row unless its key is taken; its first primary key column, or None if it was.

    A second transaction with the same key waits for the first, so exactly one inserts.
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    target = table.metadata.tables[table.__tablename__]
    return connection.execute(
        dialect.insert(target)
        .values(**values)
        .on_conflict_do_nothing()
        .returning(next(iter(target.primary_key.columns)))
    ).scalar_one_or_none()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # this module says BEGIN, not the driver
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, True)
        if writes:
            driver_of(connection).begin()
        else:
            connection.exec_driver_sql("BEGIN")


def _ping_after_a_pause(engine: Engine) -> None:
    """Replace connections that the server has closed, without asking it before each transaction."""

    @event.listens_for(engine, "checkin")
    def _on_checkin(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _on_checkout(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        moment = time.monotonic()
        if moment - record.info.get("used_at", moment) <= _KEPT_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error  # the pool opens another
