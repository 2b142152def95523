"""Statements that SQLAlchemy builds once and the driver runs.

For the few that run for every received instance: SQLAlchemy's care for one execution takes ten
times as long as SQLite takes for the statement. They run within SQLAlchemy's transaction, and
fail with its exceptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

Row = tuple[Any, ...]


class _Statement:
    """A statement compiled for one dialect.

    Parameters
    ----------
    statement
        What SQLAlchemy would execute; its parameters are named by ``bindparam``.
    dialect
        Of the connections that it will run on.
    """

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        assert isinstance(statement, ClauseElement)
        compiled: Any = statement.compile(dialect=dialect)
        self.text: str = compiled.string
        self._order: Sequence[str] | None = compiled.positiontup

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Values as the driver takes them: in order, or by name."""
        return values if self._order is None else [values[name] for name in self._order]


class Step(NamedTuple):
    """A statement to run.

    Attributes
    ----------
    build
        Makes it, given the dialect's name; called once per database.
    values
        Its parameters by name.
    """

    build: Callable[[str], Executable]
    values: Mapping[str, Any]


def run(connection: Connection, steps: Sequence[Step]) -> list[list[Row]]:
    """Run statements in order, on PostgreSQL without waiting for each; return their rows.

    Raises
    ------
    DBAPIError
        One fails; the transaction is to be rolled back.
    """
    driver: Any = connection.connection.driver_connection
    calls = [_call(connection.dialect, step) for step in steps]
    with _errors_of(connection):
        if connection.dialect.name != "postgresql":
            return [_rows(driver.execute(*call)) for call in calls]
        with driver.pipeline():
            cursors = [driver.execute(*call) for call in calls]
        return [_rows(cursor) for cursor in cursors]


def _call(dialect: Dialect, step: Step) -> tuple[str, Any]:
    statement = _compiled(step.build, dialect)
    return statement.text, statement.parameters(step.values)


@lru_cache(maxsize=64)
def _compiled(build: Callable[[str], Executable], dialect: Dialect) -> _Statement:
    return _Statement(build(dialect.name), dialect)


def _rows(cursor: Any) -> list[Row]:
    return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def _errors_of(connection: Connection) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy would."""
    base: Any = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except base as error:
        raise DBAPIError.instance(None, None, error, base) from error
