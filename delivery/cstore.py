"""Delivery by C-STORE, over an association that is kept for a while."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from db.archive import Archive
from db.outbox import Parcel
from delivery.answers import not_stored, wants_another_form
from delivery.associate import ANSWER_SECONDS, NoAssociation, Peer, associate
from delivery.destination import Away, Failed, Line, Outcome, Refused, Sent
from delivery.patient import CheckPatient, Identity, PatientCheck, look_up
from delivery.send import store, stored
from delivery.sender import LostAssociation, Sender

KEPT_SECONDS = 5.0
"""So long an association stands idle before it is released."""

# Results are written in Explicit VR Little Endian; every archive must take Implicit (PS3.5 10.1).
_TRANSFER_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_NO_ANSWER = "no answer to C-STORE; the connection was lost"


class CStoreDestination:
    """A PACS reached by C-STORE.

    Parameters
    ----------
    name
        Its name in the settings.
    peer
        Where it is and who we are.
    archive
        Where the results lie.
    associations
        How many there may be at once.
    commitment
        Whether it is to be asked to commit to keeping what it got.
    check_patient
        Whether it is asked first whose study it is.
    """

    def __init__(
        self,
        name: str,
        peer: Peer,
        archive: Archive,
        *,
        associations: int = 1,
        commitment: bool = False,
        check_patient: CheckPatient = CheckPatient.OFF,
    ) -> None:
        self._name = name
        self._lines = [
            CStoreLine(name, peer, archive, commitment=commitment, check_patient=check_patient)
            for _ in range(associations)
        ]

    @property
    def name(self) -> str:
        """The destination's name in the settings."""
        return self._name

    @property
    def lines(self) -> Sequence[Line]:
        """Its associations."""
        return self._lines


class CStoreLine:
    """One association with a PACS, opened when it is needed.

    Parameters
    ----------
    name, peer, archive, commitment, check_patient
        See ``CStoreDestination``.
    """

    def __init__(
        self,
        name: str,
        peer: Peer,
        archive: Archive,
        *,
        commitment: bool = False,
        check_patient: CheckPatient = CheckPatient.OFF,
    ) -> None:
        self._name = name
        self._peer = peer
        self._archive = archive
        self._commitment = commitment
        self._check = PatientCheck(archive, check_patient)
        self._classes: set[str] = set()  # that were ever needed here
        self._stack = ExitStack()
        self._association: Association | None = None
        self._sender: Sender | None = None
        self._used_at = 0.0

    def open(self, parcels: Sequence[Parcel]) -> None:
        """Associate, unless there is an association that takes all of their SOP classes.

        Raises
        ------
        Away
            There is no connection, or the peer rejects or aborts.
        """
        self._check.forget()
        self._opened(parcels)

    def deliver(self, parcel: Parcel) -> Outcome:
        """Send the first form that the peer accepts, unless the study is another patient's there.

        Raises
        ------
        Away
            The association is lost, and there is no other.
        """
        held = self._check.held(parcel, self._look_up)
        if held is not None:
            return held
        association, sender = self._opened([parcel])  # anew, if asking has cost the association
        try:
            return self._send(association, sender, parcel)
        finally:
            self._used_at = time.monotonic()

    def rest(self) -> None:
        """Let pynetdicom watch the association, and release it when it was idle for long."""
        if self._sender is None:
            return
        self._sender.give_back()
        if time.monotonic() - self._used_at > KEPT_SECONDS:
            self.close()

    def close(self) -> None:
        """Release the association, if there is one."""
        self._association = self._sender = None
        self._stack.close()

    def _opened(self, parcels: Sequence[Parcel]) -> tuple[Association, Sender]:
        wanted = {form.sop_class_uid for each in parcels for form in each.alternatives}
        association, sender = self._association, self._sender
        if association is not None and sender is not None:
            if association.is_established and wanted <= self._classes:
                return association, sender
            self.close()
        self._classes |= wanted
        # With Verification the association stands even if no class is accepted, and we can say so.
        classes = [Verification, *self._check.classes, *sorted(self._classes)]
        contexts = [(each, _TRANSFER_SYNTAXES) for each in classes]
        try:
            association = self._stack.enter_context(associate(self._peer, contexts))
        except NoAssociation as error:
            raise Away(str(error)) from error
        sender = self._stack.enter_context(Sender(association, ANSWER_SECONDS))
        self._association, self._sender = association, sender
        self._used_at = time.monotonic()
        return association, sender

    def _look_up(self, study_uid: str) -> list[Identity]:
        association, sender = self._opened([])
        sender.give_back()
        return look_up(association, study_uid)

    def _send(self, association: Association, sender: Sender, parcel: Parcel) -> Outcome:
        accepted = {str(each.abstract_syntax) for each in association.accepted_contexts}
        forms = [form for form in parcel.alternatives if form.sop_class_uid in accepted]
        if not forms:
            return Refused(f"{self._name} accepts no form of this {parcel.kind} object")
        outcome: Outcome = Failed(_NO_ANSWER)
        for form in forms:
            try:
                path = self._archive.full_path(form.path)
                status = store(association, sender, path)
            except LostAssociation as error:
                return Failed(f"{_NO_ANSWER} ({error})")
            except (OSError, InvalidDicomError) as error:
                return Failed(f"the result's file cannot be read ({type(error).__name__})")
            except (RuntimeError, ValueError, AttributeError):
                return Failed(_NO_ANSWER)  # the association ended between the check and the send
            if stored(status):
                return Sent(form.result_id, self._commitment)
            if status is None:
                return Failed(_NO_ANSWER)
            outcome = not_stored(status, form.sop_class_uid)
            if not wants_another_form(status):
                return outcome
        return outcome
