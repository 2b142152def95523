"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import migrate
from db.archive import Archive
from db.engine import Database
from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server of our own for the whole test session."""
    if not PostgresServer.installed():
        pytest.skip("no PostgreSQL server binaries: apt-get install postgresql")
    with PostgresServer(durable=False) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind without any table."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'wetread.db'}"
    else:
        url = request.getfixturevalue("postgres").new_database()
    database = Database(url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file: to copy it takes a fraction of the time of making one."""
    file = tmp_path_factory.mktemp("migrated") / "wetread.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_url(postgres: PostgresServer) -> str:
    """A migrated, empty database on the server, to copy likewise."""
    url = postgres.new_database()
    _migrate(url)
    return url


@pytest.fixture
def sqlite_database(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty SQLite database."""
    file = tmp_path / "wetread.db"
    shutil.copy(migrated_file, file)
    database = Database(f"sqlite:///{file}")
    yield database
    database.close()


@pytest.fixture
def server_database(postgres: PostgresServer, migrated_url: str) -> Iterator[Database]:
    """A migrated, empty database on the server."""
    database = Database(postgres.new_database(migrated_url))
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """A migrated, empty database of each kind."""
    name = "sqlite_database" if request.param == "sqlite" else "server_database"
    opened: Database = request.getfixturevalue(name)
    return opened


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty archive."""
    return Archive(tmp_path / "data")


def _migrate(url: str) -> None:
    database = Database(url)
    migrate.upgrade(database)
    database.close()


@pytest.fixture
def real_head() -> Path:
    """28 slices of 4 and 7 mm, gantry tilted by 18.5 degrees, from the skull base up."""
    if "WETREAD_DATA" not in os.environ:
        pytest.skip("WETREAD_DATA does not name the folder with the real data")
    return Path(os.environ["WETREAD_DATA"]) / "dicom" / "dcm_qa_ct" / "GE_head"
