"""Whether the node can do its work: for load balancers, containers and people in a hurry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from db import migrate, processes
from db.engine import Database
from wetread.config import Settings


def obstacles(settings: Settings, database: Database) -> list[str]:
    """Reasons why the node as a whole is not ready, on whatever hosts its roles run."""
    return [*_of_archive(settings.node.data_dir), *_of_database(settings, database)]


def _of_archive(folder: Path) -> Iterator[str]:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"wetread")
            file.flush()
    except OSError as error:
        yield f"archive: cannot be written: {error.strerror}"


def _of_database(settings: Settings, database: Database) -> Iterator[str]:
    try:
        with database.read() as connection:
            found, ours = migrate.revision(connection), migrate.revisions()[-1]
            if found != ours:
                yield f"database: has schema {found or 'none'}, and this version needs {ours}"
                return
            running = {each.role for each in processes.seen(connection) if not each.silent}
    except SQLAlchemyError as error:
        yield f"database: does not answer ({type(error).__name__})"
        return
    # Workers may all be on other hosts, with settings of their own.
    for role in dict.fromkeys([*settings.roles(), "work"]):
        if role not in running:
            yield f"{role}: nobody does it"
