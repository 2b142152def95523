"""What is accepted: SOP classes x transfer syntaxes, as data."""

from __future__ import annotations

from functools import cache

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

# Of several in one context the first here is accepted. Explicit goes before Implicit VR: a sender
# that converts to the latter loses the VRs of its private elements.
_TRANSFER_SYNTAXES = sorted(ALL_TRANSFER_SYNTAXES, key=lambda uid: uid != ExplicitVRLittleEndian)


@cache
def accepted_contexts() -> tuple[PresentationContext, ...]:
    """Verification, and every standard storage SOP class in every transfer syntax (PS3.4 B.5).

    Compressed data sets are stored as they come, so no transfer syntax needs a codec here.
    """
    storage = (
        build_context(each.abstract_syntax, _TRANSFER_SYNTAXES)
        for each in AllStoragePresentationContexts
        if each.abstract_syntax is not None
    )
    return (build_context(Verification), *storage)
