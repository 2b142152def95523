"""Whether a destination still knows a study under the patient whose name is on the result.

A patient ID or an accession number that was corrected in the PACS after the images came here would
send the result to the wrong patient. The PACS is asked by C-FIND, study level (PS3.4 Annex C), or,
where ``delivery.dicomweb`` takes results to it, by QIDO-RS; what it answers is judged here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom.association import Association

from db.archive import Archive
from db.outbox import Parcel
from delivery.destination import Held

# PS3.4 section C.6.2.1.3: Study Root Query/Retrieve Information Model - FIND
FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
KEYS = ("StudyInstanceUID", "PatientID", "IssuerOfPatientID", "AccessionNumber")
_PENDING = (0xFF00, 0xFF01)  # PS3.4 table C.4-1
_MATCH_LIMIT = 100
_SPARED_SECONDS = 600.0  # who ends the association over a question is not asked for a while
_log = structlog.get_logger(__name__)


class CheckPatient(StrEnum):
    """When results are held."""

    OFF = "off"
    """Never: the destination is not asked."""
    IF_KNOWN = "if-known"
    """If the destination knows the study under another patient or accession number."""
    REQUIRED = "required"
    """Also if it does not know the study, or does not answer."""


class NotAnswered(Exception):
    """The destination does not say what it knows of a study; the message says why.

    Attributes
    ----------
    lost
        Whether the association has ended over the question.
    """

    def __init__(self, reason: str, *, lost: bool = False) -> None:
        super().__init__(reason)
        self.lost = lost


@dataclass(frozen=True)
class Identity:
    """Whose study it is; empty where nothing is said."""

    study_uid: str
    patient_id: str
    issuer: str
    accession_number: str

    @classmethod
    def of(cls, dataset: Dataset) -> Identity:
        """What a result, or an answer, says."""
        return cls(*(str(dataset.get(each) or "").strip() for each in KEYS))


LookUp = Callable[[str], list[Identity]]
"""Asks a destination what it knows of a study, by its UID; it may raise ``NotAnswered``."""


class PatientCheck:
    """Asks about each study of a batch once.

    Parameters
    ----------
    archive
        Where the results lie.
    mode
        When results are held.
    """

    def __init__(self, archive: Archive, mode: CheckPatient) -> None:
        self._archive = archive
        self._mode = mode
        self._known: dict[str, list[Identity] | NotAnswered] = {}
        self._spare: NotAnswered | None = None
        self._spared_until = 0.0

    @property
    def classes(self) -> list[str]:
        """SOP classes that the association should offer for it."""
        return [] if self._mode is CheckPatient.OFF else [FIND]

    def forget(self) -> None:
        """A new batch begins: patients may have been corrected meanwhile."""
        self._known.clear()
        if time.monotonic() > self._spared_until:
            self._spare = None

    def held(self, parcel: Parcel, look_up: LookUp) -> Held | None:
        """Why a parcel must not be sent; None if it may."""
        if self._mode is CheckPatient.OFF or parcel.unchecked:
            return None
        try:
            ours = read_identity(self._archive.full_path(parcel.alternatives[0].path))
        except (OSError, InvalidDicomError):
            return None  # sending it finds that out, too
        known = self._spare or self._known.get(ours.study_uid)
        if known is None:
            known = self._known[ours.study_uid] = self._asked(look_up, ours.study_uid, parcel)
        if isinstance(known, NotAnswered):
            return self._unless_optional(f"the patient cannot be checked: {known}")
        if not known:
            return self._unless_optional("the destination does not know this study")
        what = difference(ours, known)
        return Held(f"the destination has another {what} for this study") if what else None

    def _asked(
        self, look_up: LookUp, study_uid: str, parcel: Parcel
    ) -> list[Identity] | NotAnswered:
        try:
            found = look_up(study_uid)
        except NotAnswered as error:
            if error.lost:
                # Asking about each study would end each association.
                self._spare, self._spared_until = error, time.monotonic() + _SPARED_SECONDS
            _log.warning(
                "delivery.patient_not_checked",
                job_id=parcel.job_id,
                study_uid=study_uid,
                destination=parcel.destination,
                reason=str(error),
            )
            return error
        # What is told of other studies was not asked for.
        return [each for each in found if each.study_uid == study_uid]

    def _unless_optional(self, reason: str) -> Held | None:
        return Held(reason) if self._mode is CheckPatient.REQUIRED else None


def read_identity(path: Path) -> Identity:
    """What a file says.

    Raises
    ------
    OSError, InvalidDicomError
        It cannot be read.
    """
    return Identity.of(dcmread(path, stop_before_pixels=True, specific_tags=list(KEYS)))


def look_up(association: Association, study_uid: str) -> list[Identity]:
    """Ask by C-FIND what a peer knows of a study; nothing if it does not know the study.

    Raises
    ------
    NotAnswered
        It does not offer C-FIND, refuses, or what it answers cannot be used.
    """
    if FIND not in {each.abstract_syntax for each in association.accepted_contexts}:
        raise NotAnswered("the destination does not offer C-FIND")
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    for keyword in KEYS:
        setattr(query, keyword, "")
    query.StudyInstanceUID = study_uid
    try:
        return _answers(association, query)
    except (RuntimeError, ValueError) as error:
        raise NotAnswered("the association ended before C-FIND", lost=True) from error


def _answers(association: Association, query: Dataset) -> list[Identity]:
    found: list[Identity] = []
    for status, answer in association.send_c_find(query, FIND):
        if "Status" not in status:
            association.abort()  # it may not know yet that it has ended
            raise NotAnswered("no answer to C-FIND", lost=True)
        if status.Status == 0:
            break
        if status.Status not in _PENDING:
            raise NotAnswered(f"status {int(status.Status):04X} for C-FIND")
        if answer is None:
            raise NotAnswered("the answer to C-FIND cannot be read")
        found.append(Identity.of(answer))
        if len(found) > _MATCH_LIMIT:
            association.abort()
            raise NotAnswered("an endless answer to C-FIND", lost=True)
    return found


def difference(ours: Identity, answers: Sequence[Identity]) -> str:
    """In what the first answer that differs does so, without its value; empty if none does.

    An issuer and an accession number are compared where both sides have one. A patient ID that the
    peer has and we lack is a difference: somebody has found out since who the patient is.
    """
    for theirs in answers:
        if theirs.patient_id and theirs.patient_id != ours.patient_id:
            return "patient ID"
        if _differ(theirs.issuer, ours.issuer):
            return "issuer of the patient ID"
        if _differ(theirs.accession_number, ours.accession_number):
            return "accession number"
    return ""


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)
