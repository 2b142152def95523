"""Every C-STORE status this node answers (PS3.4 Annex B.2.3, PS3.7 Annex C)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class StoreStatus(IntEnum):
    """The answer to one C-STORE request."""

    SUCCESS = 0x0000
    """The file is on disk and its row is committed, or was before with the same bytes."""
    PROCESSING_FAILURE = 0x0110
    """A fault of this node, named in its log; nothing was kept."""
    NOT_SUPPORTED = 0x0122
    """The peer may not send this SOP class, or it is not that of the presentation context."""
    OUT_OF_RESOURCES = 0xA700
    """The disk or the database refuses, or the object is larger than the peer may send."""
    CLASS_MISMATCH = 0xA900
    """The data set's SOP Class or Instance UID is not the one in the command."""
    CANNOT_UNDERSTAND = 0xC000
    """The data set cannot be read, or a UID is missing or is none."""
    UID_CONFLICT = 0xC001
    """Another data set is stored under this SOP Instance UID; it stays, this one is set aside."""


@dataclass(frozen=True)
class Answer:
    """What a C-STORE request is answered with.

    Attributes
    ----------
    status
        What became of the request.
    comment
        What is wrong, without patient data; the response holds 64 characters of it.
    known
        Of a success: whether the instance was here before.
    """

    status: StoreStatus
    comment: str = ""
    known: bool = False
