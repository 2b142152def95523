"""Delivery by C-STORE: one association per batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from db.archive import Archive
from db.outbox import Alternative, Parcel
from delivery.associate import ANSWER_SECONDS, NoAssociation, Peer, associate
from delivery.destination import Failed, Outcome, Refused, Sent
from delivery.send import store, stored
from delivery.sender import LostAssociation, Sender

# Results are written in Explicit VR Little Endian; every archive must take Implicit (PS3.5 10.1).
_TRANSFER_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_CLASS_NOT_SUPPORTED = 0x0122  # PS3.7 Annex C.5.6
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
    """

    def __init__(self, name: str, peer: Peer, archive: Archive) -> None:
        self._name = name
        self._peer = peer
        self._archive = archive

    @property
    def name(self) -> str:
        """The destination's name in the settings."""
        return self._name

    def deliver(self, parcels: Sequence[Parcel]) -> Iterator[tuple[Parcel, Outcome]]:
        """Send parcels over one association; a lost association fails those that remain."""
        classes = sorted({form.sop_class_uid for each in parcels for form in each.alternatives})
        # With Verification the association stands even if no class is accepted, and we can say so.
        contexts = [(each, _TRANSFER_SYNTAXES) for each in [Verification, *classes]]
        try:
            with (
                associate(self._peer, contexts) as association,
                Sender(association, ANSWER_SECONDS) as sender,
            ):
                for parcel in parcels:
                    yield parcel, self._send(association, sender, parcel)
        except NoAssociation as error:
            for parcel in parcels:
                yield parcel, Failed(str(error))

    def _send(self, association: Association, sender: Sender, parcel: Parcel) -> Outcome:
        if not association.is_established:
            return Failed(_NO_ANSWER)
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
                return Sent(form.result_id)
            outcome = _not_stored(status, form)
            if not _wants_another_form(status):
                return outcome
        return outcome


def _wants_another_form(status: int | None) -> bool:
    """Whether the object's class or content is not understood; another form of it may be."""
    return status == _CLASS_NOT_SUPPORTED or (
        status is not None and (status >> 8 == 0xA9 or status >> 12 == 0xC)
    )


def _not_stored(status: int | None, form: Alternative) -> Outcome:
    if status is None:
        return Failed(_NO_ANSWER)
    reason = f"status {status:04X} for SOP class {form.sop_class_uid}"
    return Refused(reason) if status == _CLASS_NOT_SUPPORTED else Failed(reason)
