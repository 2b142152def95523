"""Whose studies there are, for an authorised user who looks for one.

The only place that reads or writes the table ``identity``. Nothing of it may go into a log, a
metric, a file name or an error text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Select, delete, false, or_, select

from db.engine import insert_ignoring
from db.schema import Identity

_LONGEST = 255


@dataclass(frozen=True, kw_only=True)
class Person:
    """Patient and study, as the images' headers name them; empty where they do not.

    Attributes
    ----------
    patient_name
        As in the header, components parted by "^" (PS3.5 section 6.2, VR PN).
    patient_id, birth_date, sex
        (0010,0020), (0010,0030), (0010,0040).
    accession_number, study_date, study_time, description
        (0008,0050), (0008,0020), (0008,0030), (0008,1030).
    """

    patient_name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_time: str = ""
    description: str = ""


def record(connection: Connection, study_uid: str, person: Person) -> None:
    """Note whose study it is, in place of what was noted before."""
    values = {name: _storable(value) for name, value in asdict(person).items()}
    values |= {"study_uid": study_uid, "name_key": name_key(values["patient_name"])}
    connection.execute(delete(Identity).where(Identity.study_uid == study_uid))
    insert_ignoring(connection, Identity, values)


def of(connection: Connection, study_uids: Collection[str]) -> dict[str, Person]:
    """Whose studies these are; without those that nobody noted."""
    rows = connection.execute(select(Identity).where(Identity.study_uid.in_(study_uids)))
    return {
        row.study_uid: Person(
            patient_name=row.patient_name,
            patient_id=row.patient_id,
            birth_date=row.birth_date,
            sex=row.sex,
            accession_number=row.accession_number,
            study_date=row.study_date,
            study_time=row.study_time,
            description=row.description,
        )
        for row in rows
    }


def with_accession(number: str) -> Select[str]:
    """Study UIDs with an accession number, for a condition."""
    return select(Identity.study_uid).where(Identity.accession_number == number)


def found_by(words: str) -> Select[str]:
    """Study UIDs of a patient ID, an accession number, or names that begin like this.

    A name is found by the beginning of its family name, or of family and given name parted by a
    space or "^", whatever the case and the accents. No words find nothing.
    """
    key = name_key(words)
    exact = or_(Identity.accession_number == words, Identity.patient_id == words)
    if not key:
        return select(Identity.study_uid).where(false())
    named = Identity.name_key.startswith(key, autoescape=True)
    return select(Identity.study_uid).where(or_(exact, named))


def forget(connection: Connection, study_uid: str) -> None:
    """Remove what was noted of a study."""
    connection.execute(delete(Identity).where(Identity.study_uid == study_uid))


def name_key(name: str) -> str:
    """A name without case, accents and separators, as it is searched."""
    apart = unicodedata.normalize("NFKD", name.replace("^", " ").replace("=", " "))
    plain = "".join(each for each in apart if not unicodedata.combining(each))
    return " ".join(plain.casefold().split())[:_LONGEST]


def _storable(value: str) -> str:
    """A value without what a database refuses, and not endless."""
    return value.replace("\x00", "").strip()[:_LONGEST]
