"""What follows from a status that is not Success, whichever way the object went.

C-STORE answers with it (PS3.4 section B.2.3), STOW-RS gives it as Failure Reason (PS3.18 section
I.2.2).
"""

from __future__ import annotations

from delivery.destination import Failed, Refused

CLASS_NOT_SUPPORTED = 0x0122  # PS3.7 Annex C.5.6


def wants_another_form(status: int) -> bool:
    """Whether the object's class or content is not understood; another form of it may be."""
    return status == CLASS_NOT_SUPPORTED or status >> 8 == 0xA9 or status >> 12 == 0xC


def not_stored(status: int, sop_class_uid: str) -> Refused | Failed:
    """What becomes of a delivery with this status if no other form of it is taken."""
    reason = f"status {status:04X} for SOP class {sop_class_uid}"
    return Refused(reason) if status == CLASS_NOT_SUPPORTED else Failed(reason)
