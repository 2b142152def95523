"""Statements that SQLAlchemy builds once and the driver runs.

For the few that run for every received instance: SQLAlchemy's care for one execution takes ten
times as long as SQLite takes for the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Dialect, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

Row = tuple[Any, ...]


class Step(NamedTuple):
    """A statement to run.

    Attributes
    ----------
    build
        Makes it, given the dialect's name; called once per database.
    values
        Its named parameters, but for values that the statement holds itself.
    """

    build: Callable[[str], Executable]
    values: Mapping[str, Any]


class Driver:
    """A connection as its driver sees it; fails with SQLAlchemy's exceptions.

    Parameters
    ----------
    connection
        A ``sqlite3`` or ``psycopg`` connection.
    dialect
        What its statements are compiled for.
    """

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self.is_postgresql = dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write; commits on leaving, rolls back on an exception.

        Raises
        ------
        DBAPIError
            It cannot begin, or the commit fails: it may then have come to pass nevertheless.
        """
        self.begin()
        try:
            yield
            with self._errors():
                self._connection.commit()
        except BaseException:
            with self._errors():
                self._connection.rollback()
            raise

    def begin(self) -> None:
        """Begin to write; for a transaction that somebody else ends.

        Raises
        ------
        DBAPIError
            Others have been writing for too long.
        """
        if not self.is_postgresql:  # where the first statement begins it
            with self._errors():
                self._connection.begin_writing()

    def run(self, steps: Sequence[Step]) -> list[list[Row]]:
        """Run statements in order, on PostgreSQL without waiting for each; return their rows.

        Raises
        ------
        DBAPIError
            One fails; the transaction is to be rolled back.
        """
        calls = [_call(self._dialect, step) for step in steps]
        with self._errors():
            if not self.is_postgresql or len(calls) == 1:  # a pipeline of one takes longer
                return [_rows(self._connection.execute(*call)) for call in calls]
            with self._connection.pipeline():
                cursors = [self._connection.execute(*call) for call in calls]
            return [_rows(cursor) for cursor in cursors]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        base: Any = self._dialect.loaded_dbapi.Error
        try:
            yield
        except base as error:
            raise DBAPIError.instance(None, None, error, base) from error


class _Statement:
    """A compiled statement."""

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        assert isinstance(statement, ClauseElement)
        compiled: Any = statement.compile(dialect=dialect)
        self.text: str = compiled.string
        self._order: Sequence[str] | None = compiled.positiontup
        self._own = {name: each for name, each in compiled.params.items() if each is not None}

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Values as the driver takes them: in order, or by name."""
        given = {**self._own, **values}
        return given if self._order is None else [given[name] for name in self._order]


def _call(dialect: Dialect, step: Step) -> tuple[str, Any]:
    statement = _compiled(step.build, dialect)
    return statement.text, statement.parameters(step.values)


@lru_cache(maxsize=64)
def _compiled(build: Callable[[str], Executable], dialect: Dialect) -> _Statement:
    return _Statement(build(dialect.name), dialect)


def _rows(cursor: Any) -> list[Row]:
    return list(cursor.fetchall()) if cursor.description else []
