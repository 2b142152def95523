"""Which SOP classes a destination is sent by its profile, and what follows if it refuses one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from inference.addressing import Profile
from sr.identity import Kind
from wetread.doctor.finding import Finding, failed, ok, warning

_CLASSES = {
    Kind.TEXT: BasicTextSRStorage,
    Kind.OVERLAY: SecondaryCaptureImageStorage,
    Kind.PRESENTATION: GrayscaleSoftcopyPresentationStateStorage,
    Kind.KEY_IMAGES: KeyObjectSelectionDocumentStorage,
    Kind.SEGMENTATION: SegmentationStorage,
    Kind.PDF: EncapsulatedPDFStorage,
    Kind.MAP: ParametricMapStorage,
    Kind.NOTICE: BasicTextSRStorage,
}


@dataclass(frozen=True)
class Offer:
    """A kind of result, and the SOP classes as which it may be sent, best first."""

    kind: Kind
    classes: tuple[UID, ...]


def offers(profile: Profile) -> list[Offer]:
    """What a destination with this profile is sent."""
    found = [Offer(kind, _classes(profile, kind)) for kind in profile.kinds]
    if profile.notices and Kind.TEXT not in profile.kinds:
        found.append(Offer(Kind.NOTICE, _classes(profile, Kind.NOTICE)))
    return [each for each in found if each.classes]


def _classes(profile: Profile, kind: Kind) -> tuple[UID, ...]:
    if kind is not Kind.REPORT:
        return (_CLASSES[kind],)
    return profile.measurement_classes


def judged(offer: Offer, accepted: Mapping[str, Collection[str]], subject: str) -> Finding:
    """What becomes of a kind of result.

    Parameters
    ----------
    offer
        The kind.
    accepted
        SOP classes that the destination accepted, each with its transfer syntaxes.
    subject
        Of the finding.
    """
    taken = [each for each in offer.classes if each in accepted]
    if not taken:
        return failed(
            subject,
            f"{offer.kind.value}: it accepts no {_named(offer.classes)}: each of these results "
            "will be refused",
            "have it accept this storage class, or take the kind out of send in "
            "[destination.results]",
        )
    syntaxes = " or ".join(UID(each).name for each in accepted[taken[0]])
    if taken[0] != offer.classes[0]:
        refused = offer.classes[: offer.classes.index(taken[0])]
        return warning(
            subject,
            f"{offer.kind.value}: it refuses {_named(refused)}, and gets {_named(taken[:1])} "
            f"instead ({syntaxes})",
            "have it accept the first of these storage classes: its report says more",
        )
    encoded = "" if ExplicitVRLittleEndian in accepted[taken[0]] else ", encoded anew"
    return ok(subject, f"{offer.kind.value}: {_named(taken[:1])} ({syntaxes}{encoded})")


def _named(classes: Sequence[UID]) -> str:
    return ", ".join(each.name.removesuffix(" Storage") for each in classes)
