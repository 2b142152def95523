"""Engine, migrations and read models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Column, Connection, MetaData, String, insert, text

from db import migrate, outbox, stats
from db.engine import Database
from db.errors import NotFound, SchemaError, StoreError
from db.retry import RetryPolicy
from db.schema import Base


def test_migrations_give_the_tables_of_the_code(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_the_revisions_are_those_of_the_scripts() -> None:
    scripts = ScriptDirectory(str(Path(migrate.__file__).with_name("migrations")))
    known = [each.revision for each in scripts.walk_revisions()]
    assert list(migrate.revisions()) == known[::-1]


def test_upgrade_again_does_nothing(database: Database) -> None:
    migrate.upgrade(database)
    with database.read() as connection:
        assert migrate.revision(connection) == "0008"


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
        connection.execute(text("insert into study values ('1.2', 1, 1, 1, null)"))
        raise RuntimeError
    with database.read() as connection:
        assert stats.studies(connection) == []


def test_roles_that_start_together_migrate_once(empty_database: Database) -> None:
    url = empty_database.engine.url.render_as_string(hide_password=False)
    program = f"from db import engine, migrate; migrate.upgrade(engine.Database({url!r}))"
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait() for process in started] == [0, 0, 0]


def _fill(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Put a row into every table that there is; what each holds."""
    metadata = MetaData()
    metadata.reflect(connection)
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for table in metadata.sorted_tables:
        if table.name != "alembic_version":
            values = {each.name: _value(each) for each in table.columns}
            connection.execute(insert(table).values(values))
            rows[table.name] = [tuple(values.values())]
    return rows


def _value(column: Column[Any]) -> Any:
    """A value that is the same wherever it must be: in a key and in what refers to it."""
    if isinstance(column.type, String):
        return "1.2"
    return False if isinstance(column.type, Boolean) else 1


def _rows(connection: Connection, before: dict[str, list[tuple[Any, ...]]]) -> object:
    """The same columns of the same tables, now."""
    return {
        name: [
            tuple(row)[: len(rows[0])] for row in connection.execute(text(f"select * from {name}"))
        ]
        for name, rows in before.items()
    }


@pytest.mark.parametrize("earlier", migrate.revisions()[:-1])
def test_every_earlier_schema_is_upgraded_with_its_data(
    empty_database: Database, earlier: str
) -> None:
    migrate.upgrade(empty_database, earlier)
    with empty_database.write() as connection:
        before = _fill(connection)
    migrate.upgrade(empty_database)
    with empty_database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        after = _rows(connection, before)
        if empty_database.is_sqlite:
            assert connection.execute(text("pragma foreign_key_check")).all() == []
    assert after == before


_BEFORE_PROFILES = """
insert into study values ('1.2', 1, 1, null);
insert into job (id, study_uid, model, model_version, input_digest, state, priority, attempts,
    created_at, run_at) values (1, '1.2', 'm', '1', 'x', 'done', 0, 1, 1, 1);
insert into result (id, job_id, kind, number, rank, sop_class_uid, sop_instance_uid, path, size)
    values (1, 1, 'sr', 1, 0, '1.3', '2.25.1', 'a', 1), (2, 1, 'sr', 1, 1, '1.4', '2.25.2', 'b', 1),
           (3, 1, 'sc', 1, 0, '1.5', '2.25.3', 'c', 1);
insert into delivery (id, job_id, kind, number, destination, state, priority, attempts, created_at,
    run_at, result_id)
    values (1, 1, 'sr', 1, 'pacs', 'pending', 0, 0, 1, 1, null),
           (2, 1, 'sc', 1, 'pacs', 'sent', 0, 1, 1, 1, 3)
"""


def test_what_waits_for_delivery_survives_the_upgrade(empty_database: Database) -> None:
    migrate.upgrade(empty_database, "0001")
    with empty_database.write() as connection:
        for statement in _BEFORE_PROFILES.split(";"):
            connection.execute(text(statement))
    migrate.upgrade(empty_database)
    retry = RetryPolicy(attempts=2, first_seconds=0, longest_seconds=0)
    with empty_database.write() as connection:
        (parcel,) = outbox.claim(connection, "pacs", "courier", 30, 10, retry)
        outbox.sent(connection, parcel, parcel.alternatives[1].result_id)
        shown = stats.job(connection, 1)
    assert [each.sop_class_uid for each in parcel.alternatives] == ["1.3", "1.4"]
    assert [each["state"] for each in shown["deliveries"]] == ["sent", "sent"]
    assert [each["style"] for each in shown["results"]] == ["", "", ""]


def test_a_delivery_of_an_earlier_schema_is_sent(empty_database: Database) -> None:
    migrate.upgrade(empty_database, "0003")
    with empty_database.write() as connection:
        for statement in _BEFORE_PROFILES.split(";"):
            connection.execute(text(statement))
        connection.execute(text("insert into delivery_form values (1, 0, 1), (1, 1, 2)"))
    migrate.upgrade(empty_database)
    retry = RetryPolicy(attempts=2, first_seconds=0, longest_seconds=0)
    with empty_database.write() as connection:
        (parcel,) = outbox.claim(connection, "pacs", "courier", 30, 10, retry)
        outbox.sent(connection, parcel, parcel.alternatives[0].result_id)
        shown = stats.job(connection, 1)
    assert [each["state"] for each in shown["deliveries"]] == ["sent", "sent"]
