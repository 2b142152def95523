"""Brings the database to the schema of this program, or refuses one that is newer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from db.engine import Database
from db.errors import SchemaError

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS = Path(__file__).with_name("migrations")
_LOCK = 0x77657472  # "wetr": PostgreSQL advisory lock, so that one role migrates and others wait


def upgrade(database: Database, target: str = "head") -> None:
    """Create or upgrade the schema; does nothing if it is current.

    Roles that start together wait for the first of them.

    Parameters
    ----------
    database
        The database.
    target
        Revision to stop at.

    Raises
    ------
    SchemaError
        The database was written by a newer version of this program.
    """
    with database.read() as connection:
        refuse_newer(connection)
        if target == "head" and revision(connection) == revisions()[-1]:
            return  # without a lock, and without alembic, which is slow to import
    from alembic import command

    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        refuse_newer(connection)
        if revision(connection) != revisions()[-1]:
            command.upgrade(_config(connection), target)


def refuse_newer(connection: Connection) -> None:
    """Do nothing unless the schema is one that this program does not know.

    Raises
    ------
    SchemaError
        The database was written by a newer version of this program.
    """
    found = revision(connection)
    if found is not None and found not in revisions():
        raise SchemaError(
            f"the database has schema {found}, which this version does not know; "
            "run the newer version of wetread that wrote it, or restore a backup"
        )


@cache  # what an upgrade of the program puts into its place is not this program
def revisions() -> tuple[str, ...]:
    """Every schema revision that this program knows, oldest first, as its scripts are named."""
    names = sorted(each.name for each in (_SCRIPTS / "versions").glob("[0-9]*.py"))
    return tuple(name.partition("_")[0] for name in names)


def revision(connection: Connection) -> str | None:
    """Schema revision of the database, None if it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    return config
