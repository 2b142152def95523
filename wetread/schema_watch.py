"""Stops a role when a newer version brings the database to its own schema beneath it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db import migrate
from db.engine import Database
from db.errors import SchemaError

_LOOK_SECONDS = 5.0
_LEAVE_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@contextmanager
def watched_schema(url: str, stop: threading.Event) -> Iterator[None]:
    """Set ``stop`` when the schema is newer than this program; the work at hand is finished.

    Parameters
    ----------
    url
        Of the database.
    stop
        What ends the role; also set when the block is left.

    Raises
    ------
    SchemaError
        The schema became newer, on leaving the block.
    """
    database, found = Database(url), list[SchemaError]()
    thread = threading.Thread(target=_watch, args=(database, stop, found), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_LEAVE_SECONDS)  # the database may be away, and takes its time to say so
        database.close()
    if found:
        raise found[0]


def _watch(database: Database, stop: threading.Event, found: list[SchemaError]) -> None:
    while not stop.wait(_LOOK_SECONDS):
        try:
            with database.read() as connection:
                migrate.refuse_newer(connection)
        except SQLAlchemyError:  # the database is away, as the role itself finds out
            continue
        except SchemaError as error:
            _log.error("schema.newer", reason=str(error))
            found.append(error)
            stop.set()
