"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import migrate
from db.engine import Database
from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server of our own for the whole test session."""
    if not PostgresServer.installed():
        pytest.skip("no PostgreSQL server binaries: apt-get install postgresql")
    with PostgresServer() as server:
        yield server


def _opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Database]:
    """A database of the kind that the fixture's parameter names, without any table."""
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'wetread.db'}"
    else:
        url = request.getfixturevalue("postgres").new_database()
    database = Database(url)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind without any table."""
    yield from _opened(request, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty database of each kind."""
    for opened in _opened(request, tmp_path):
        migrate.upgrade(opened)
        yield opened


@pytest.fixture
def real_head() -> Path:
    """28 slices of 4 and 7 mm, gantry tilted by 18.5 degrees, from the skull base up."""
    if "WETREAD_DATA" not in os.environ:
        pytest.skip("WETREAD_DATA does not name the folder with the real data")
    return Path(os.environ["WETREAD_DATA"]) / "dicom" / "dcm_qa_ct" / "GE_head"
