"""Delivery by STOW-RS, over a connection that is kept for a while."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import generate_uid

from db.archive import Archive
from db.outbox import Parcel
from delivery.answers import not_stored, wants_another_form
from delivery.destination import Away, Failed, Line, Outcome, Refused, Sent
from delivery.dicomweb import TooLarge, Unreachable, Unwilling, Web, WebPeer, WebTrouble
from delivery.patient import CheckPatient, NotAnswered, PatientCheck
from delivery.send import SendOutcome, expand

KEPT_SECONDS = 4.0
"""So long a connection stands idle before it is closed; many servers close theirs after 5."""


class StowDestination:
    """A PACS reached by DICOMweb.

    Parameters
    ----------
    name
        Its name in the settings.
    peer
        Where it is and what we show it.
    archive
        Where the results lie.
    connections
        How many there may be at once.
    check_patient
        Whether it is asked first whose study it is.
    """

    def __init__(
        self,
        name: str,
        peer: WebPeer,
        archive: Archive,
        *,
        connections: int = 1,
        check_patient: CheckPatient = CheckPatient.OFF,
    ) -> None:
        self._name = name
        self._lines = [StowLine(peer, archive, check_patient) for _ in range(connections)]

    @property
    def name(self) -> str:
        """The destination's name in the settings."""
        return self._name

    @property
    def lines(self) -> Sequence[Line]:
        """Its connections."""
        return self._lines


class StowLine:
    """One connection to a PACS, opened when it is needed.

    Parameters
    ----------
    peer, archive, check_patient
        See ``StowDestination``.
    """

    def __init__(self, peer: WebPeer, archive: Archive, check_patient: CheckPatient) -> None:
        self._web = Web(peer)
        self._archive = archive
        self._check = PatientCheck(archive, check_patient)
        self._answered_at = 0.0

    def open(self, parcels: Sequence[Parcel]) -> None:
        """See whether it answers, unless it has just done so.

        Raises
        ------
        Away
            It does not, or does not let us in.
        """
        self._check.forget()
        self._reach()

    def deliver(self, parcel: Parcel) -> Outcome:
        """Send the first form that it takes, unless the study is another patient's there.

        Raises
        ------
        Away
            There is no connection, it has no time, or it does not let us in.
        """
        self._reach()
        try:
            outcome = self._check.held(parcel, self._web.look_up) or self._send(parcel)
        except (Unreachable, Unwilling) as error:
            self.close()
            raise Away(str(error)) from error
        except WebTrouble as error:
            self.close()
            return Failed(str(error))
        self._answered_at = time.monotonic()
        return outcome

    def rest(self) -> None:
        """Close the connection when it was idle for long."""
        if self._answered_at and time.monotonic() - self._answered_at > KEPT_SECONDS:
            self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        self._answered_at = 0.0
        self._web.close()

    def _reach(self) -> None:
        """Find out with nothing of ours what would fail with anything: no result is to blame."""
        if self._answered_at:
            return
        try:
            self._web.reach()
        except WebTrouble as error:
            self.close()
            raise Away(str(error)) from error
        self._answered_at = time.monotonic()

    def _send(self, parcel: Parcel) -> Outcome:
        outcome: Outcome = Refused(f"there is no form of this {parcel.kind} object")
        for form in parcel.alternatives:
            try:
                dataset = dcmread(self._archive.full_path(form.path))
            except (OSError, InvalidDicomError) as error:
                return Failed(f"the result's file cannot be read ({type(error).__name__})")
            try:
                status = self._web.store(dataset)
            except TooLarge as error:
                outcome = Refused(str(error))
                continue
            if status == 0:
                return Sent(form.result_id)
            outcome = not_stored(status, form.sop_class_uid)
            if not wants_another_form(status):
                return outcome
        return outcome


def verify(peer: WebPeer) -> str:
    """Ask a server about a study that nobody has; return why that failed, empty if it did not."""
    with closing(Web(peer)) as web:
        try:
            web.reach()
            web.look_up(str(generate_uid(prefix=None)))
        except (NotAnswered, WebTrouble) as error:
            return str(error)
    return ""


def send(peer: WebPeer, paths: Iterable[Path]) -> Iterator[SendOutcome]:
    """Send files and folders (recursively); yields one outcome per file.

    Raises
    ------
    Away
        There is no connection, it has no time, or it does not let us in.
    """
    with closing(Web(peer)) as web:
        for path in expand(paths):
            yield _sent(web, path)


def _sent(web: Web, path: Path) -> SendOutcome:
    try:
        dataset = dcmread(path)
    except OSError as error:
        return SendOutcome(path=path, reason=f"cannot be read: {error.strerror}")
    except InvalidDicomError:
        return SendOutcome(path=path, reason="not a DICOM file (PS3.10)")
    uid = str(dataset.get("SOPInstanceUID") or "")
    if not uid:
        return SendOutcome(path=path, reason="not a DICOM instance")
    status, reason = None, ""
    try:
        status = web.store(dataset)
        reason = f"refused with status {status:04X}" if status else ""
    except (Unreachable, Unwilling) as error:
        raise Away(str(error)) from error
    except WebTrouble as error:
        reason = str(error)
    return SendOutcome(path=path, sop_instance_uid=uid, status=status, reason=reason)
