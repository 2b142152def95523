"""Whose study it is, from the headers of its images; for ``db.identities`` alone."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset

from db.identities import Person

# Attribute of Person -> keyword (PS3.6).
_KEYWORDS = {
    "patient_name": "PatientName",
    "patient_id": "PatientID",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "accession_number": "AccessionNumber",
    "study_date": "StudyDate",
    "study_time": "StudyTime",
    "description": "StudyDescription",
}

ELEMENTS = [*_KEYWORDS.values(), "SpecificCharacterSet"]
"""What a header must have been read with."""


def person_of(headers: Sequence[Dataset]) -> Person:
    """Patient and study; of each attribute the first that an image names."""
    found = {
        name: next(filter(None, (_text(each, keyword) for each in headers)), "")
        for name, keyword in _KEYWORDS.items()
    }
    return Person(**found)


def _text(header: Dataset, keyword: str) -> str:
    try:
        value = header.get(keyword)
    except Exception:  # noqa: BLE001 - the parser meets a peer's bytes, on access
        return ""
    return "" if value is None else str(value)
