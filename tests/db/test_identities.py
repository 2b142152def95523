"""Studies found by whose they are."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select

from db import identities
from db.engine import Database
from db.identities import Person
from db.schema import Identity, Study

MUELLER = Person(
    patient_name="MÜLLER^Jörg=x", patient_id="P-1", accession_number="A1", description="CT head"
)


@pytest.fixture
def noted(database: Database) -> Database:
    people = {
        "1.1": MUELLER,
        "1.2": Person(patient_name="Mull^Ann", patient_id="P-2", accession_number="A2"),
        "1.3": Person(patient_name="100%_sure", patient_id="P-3"),
        "1.4": Person(),
    }
    with database.write() as connection:
        for uid, person in people.items():
            connection.execute(
                insert(Study).values(study_uid=uid, first_received_at=1, last_received_at=1)
            )
            identities.record(connection, uid, person)
    return database


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("A1", ["1.1"]),
        ("P-2", ["1.2"]),
        ("müller", ["1.1"]),
        ("MULLER JO", ["1.1"]),
        ("muller^jorg", ["1.1"]),
        ("mull", ["1.1", "1.2"]),
        ("örg", []),
        ("100%", ["1.3"]),
        ("1%", []),
        ("100__", []),
        ("", []),
        ("^", []),
        ("nobody", []),
    ],
)
def test_who_is_found(noted: Database, words: str, found: list[str]) -> None:
    with noted.read() as connection:
        query = identities.found_by(words).order_by(Identity.study_uid)
        assert list(connection.execute(query).scalars()) == found


def test_an_accession_number_finds_its_study_alone(noted: Database) -> None:
    with noted.read() as connection:
        assert list(connection.execute(identities.with_accession("A2")).scalars()) == ["1.2"]
        assert list(connection.execute(identities.with_accession("P-2")).scalars()) == []


def test_what_was_noted_comes_back_and_a_later_one_replaces_it(noted: Database) -> None:
    with noted.write() as connection:
        assert identities.of(connection, ["1.1", "9.9"]) == {"1.1": MUELLER}
        identities.record(connection, "1.1", Person(patient_id="P-9"))
        assert identities.of(connection, ["1.1"]) == {"1.1": Person(patient_id="P-9")}
        identities.forget(connection, "1.1")
        assert identities.of(connection, ["1.1"]) == {}


def test_a_header_that_no_database_takes_is_made_fit(noted: Database) -> None:
    with noted.write() as connection:
        identities.record(connection, "1.4", Person(patient_name="A\x00B", patient_id="x" * 4000))
        (stored,) = identities.of(connection, ["1.4"]).values()
        assert stored.patient_name == "AB"
        assert len(stored.patient_id) == 255
        assert connection.execute(select(Identity.name_key).where(Identity.study_uid == "1.4"))
