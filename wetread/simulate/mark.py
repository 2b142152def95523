"""What makes a study known as a test, to people and to programs."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset

PATIENT_ID_PREFIX = "WETREAD-TEST-"
INSTITUTION = "wetread simulator"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Nobody, under whose name a test study goes.

    Attributes
    ----------
    group, number
        The same two are the same subject: whose runs, and which of them; 0 or more.
    birth_year
        Four digits.
    """

    group: int
    number: int
    birth_year: int

    @property
    def patient_id(self) -> str:
        """Patient ID (0010,0020)."""
        return f"{PATIENT_ID_PREFIX}{self.group}-{self.number}"

    @property
    def patient_name(self) -> str:
        """Patient's Name (0010,0010)."""
        return f"TEST^WETREAD^{self.group}-{self.number}"


def mark(dataset: Dataset, subject: Subject) -> None:
    """Give a synthetic instance to a subject, and say in every usual place that it is a test."""
    dataset.PatientName = subject.patient_name
    dataset.PatientID = subject.patient_id
    dataset.PatientBirthDate = f"{subject.birth_year:04d}0101"
    dataset.PatientAge = f"{int(dataset.StudyDate[:4]) - subject.birth_year:03d}Y"
    dataset.PatientSex = "O"
    dataset.PatientComments = "Test of a connection, no patient"
    dataset.QualityControlSubject = "YES"  # PS3.3 C.7.1.1: a phantom
    dataset.InstitutionName = INSTITUTION
    dataset.StudyDescription = f"TEST {dataset.StudyDescription}"


def is_test_study(dataset: Dataset) -> bool:
    """Tell whether an instance belongs to a marked test study.

    Both marks must be there, so that no study of a patient is taken for a test: Quality Control
    Subject (0010,0200), and a Patient ID that begins with ``PATIENT_ID_PREFIX``.
    """
    return dataset.get("QualityControlSubject") == "YES" and str(
        dataset.get("PatientID", "")
    ).startswith(PATIENT_ID_PREFIX)
