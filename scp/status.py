"""Every C-STORE status this node answers (PS3.4 Annex B.2.3, PS3.7 Annex C)."""

from __future__ import annotations

from enum import IntEnum

from pydicom import Dataset

_COMMENT_LIMIT = 64  # PS3.7 Annex C.4.2: Error Comment is LO


class StoreStatus(IntEnum):
    """The answer to one C-STORE request."""

    SUCCESS = 0x0000
    """The file is on disk and its row is committed, or was before with the same bytes."""
    PROCESSING_FAILURE = 0x0110
    """A fault of this node, named in its log; nothing was kept."""
    OUT_OF_RESOURCES = 0xA700
    """The disk or the database refuses; nothing was kept, sending again may succeed."""
    CLASS_MISMATCH = 0xA900
    """The data set's SOP Class or Instance UID is not the one in the command."""
    CANNOT_UNDERSTAND = 0xC000
    """The data set cannot be read, or a UID is missing or is none."""
    UID_CONFLICT = 0xC001
    """Another data set is stored under this SOP Instance UID; it was not overwritten."""


def response(status: StoreStatus, comment: str = "") -> Dataset:
    """Status data set of a C-STORE response.

    Parameters
    ----------
    status
        What became of the request.
    comment
        What is wrong, without patient data; cut at 64 characters.
    """
    answer = Dataset()
    answer.Status = int(status)
    if comment:
        answer.ErrorComment = comment[:_COMMENT_LIMIT]
    return answer
