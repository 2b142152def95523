"""Engine, migrations and read models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from db import migrate, stats
from db.engine import Database
from db.errors import NotFound, SchemaError, StoreError
from db.schema import Base


def test_migrations_give_the_tables_of_the_code(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_upgrade_again_does_nothing(database: Database) -> None:
    migrate.upgrade(database)
    with database.read() as connection:
        assert migrate.revision(connection) == "0002"


def test_a_newer_schema_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(SchemaError, match="9999"):
        migrate.upgrade(database)


@pytest.mark.parametrize("url", ["mysql://x/y", "no url", "sqlite+nonsense:///x"])
def test_a_database_that_cannot_be_used_is_named(url: str) -> None:
    with pytest.raises(StoreError):
        Database(url)


def test_unknown_study_and_job_are_named(database: Database) -> None:
    with database.read() as connection:
        with pytest.raises(NotFound):
            stats.study(connection, "1.2.3")
        with pytest.raises(NotFound):
            stats.job(connection, 1)


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as connection:
        connection.execute(text("insert into study values ('1.2', 1, 1, 1)"))
        raise RuntimeError
    with database.read() as connection:
        assert stats.studies(connection) == []


def test_roles_that_start_together_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'wetread.db'}"
    program = f"from db import engine, migrate; migrate.upgrade(engine.Database({url!r}))"
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait() for process in started] == [0, 0, 0]
