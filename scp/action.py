"""Storage commitment requests: what an N-ACTION must say, and every status it is answered with.

PS3.4 section J.3.2; the statuses are those of PS3.7 section 10.1.4.1.10.
"""

from __future__ import annotations

from enum import IntEnum
from typing import cast

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.dimse_primitives import N_ACTION

from db.archive import checked_uid
from db.commitment import Asked, Reference
from db.errors import InvalidUID
from db.verdict import PUSH_MODEL, PUSH_MODEL_INSTANCE

_REQUEST_COMMITMENT = 1  # PS3.4 table J.3-1, Action Type ID
_INSTANCE_LIMIT = 50_000
_COMMENT_LIMIT = 64  # PS3.7 Annex C.4.2: Error Comment is LO


class ActionStatus(IntEnum):
    """The answer to one N-ACTION request."""

    SUCCESS = 0x0000
    """The request is recorded; its report follows."""
    PROCESSING_FAILURE = 0x0110
    """A fault of this node, named in its log; nothing is recorded."""
    NO_SUCH_INSTANCE = 0x0112
    """It is not addressed to the well-known instance 1.2.840.10008.1.20.1.1."""
    INVALID_ARGUMENT = 0x0115
    """The Transaction UID or the list of instances is missing, empty or malformed."""
    NO_SUCH_CLASS = 0x0118
    """It is not addressed to the Storage Commitment Push Model."""
    NO_SUCH_ACTION = 0x0123
    """The action type is not 1."""
    RESOURCE_LIMITATION = 0x0213
    """The database refuses, or over 50,000 instances are named; nothing is recorded."""


class ActionRefused(Exception):
    """A request that is not recorded; the message, without patient data, says why."""

    def __init__(self, status: ActionStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def response(status: ActionStatus, comment: str = "") -> Dataset:
    """Status data set of an N-ACTION response; the comment is cut at 64 characters."""
    answer = Dataset()
    answer.Status = int(status)
    if comment:
        answer.ErrorComment = comment[:_COMMENT_LIMIT]
    return answer


def read_action(event: evt.Event) -> Asked:
    """What an N-ACTION asks.

    Raises
    ------
    ActionRefused
        * 0x0112, 0x0118: it is addressed to something else;
        * 0x0115: it does not name a transaction and instances;
        * 0x0123: it asks for another action;
        * 0x0213: it names too many instances.
    """
    request = cast(N_ACTION, event.request)
    if request.RequestedSOPClassUID != PUSH_MODEL:
        raise ActionRefused(ActionStatus.NO_SUCH_CLASS, "not the Storage Commitment Push Model")
    if request.RequestedSOPInstanceUID != PUSH_MODEL_INSTANCE:
        raise ActionRefused(ActionStatus.NO_SUCH_INSTANCE, "not the well-known SOP instance")
    if request.ActionTypeID != _REQUEST_COMMITMENT:
        raise ActionRefused(ActionStatus.NO_SUCH_ACTION, "action type is not 1")
    try:
        transaction_uid, references = _read_information(event.action_information)
    except (ActionRefused, InvalidUID) as error:
        raise ActionRefused(ActionStatus.INVALID_ARGUMENT, str(error)) from error
    except Exception as error:  # the parser meets a peer's bytes and may raise anything
        reason = f"action information cannot be read ({type(error).__name__})"
        raise ActionRefused(ActionStatus.INVALID_ARGUMENT, reason) from error
    if len(references) > _INSTANCE_LIMIT:
        reason = f"over {_INSTANCE_LIMIT} instances in one request"
        raise ActionRefused(ActionStatus.RESOURCE_LIMITATION, reason)
    return Asked(
        calling_ae=event.assoc.requestor.ae_title.strip(),
        transaction_uid=transaction_uid,
        references=references,
    )


def _read_information(information: Dataset) -> tuple[str, tuple[Reference, ...]]:
    transaction_uid = _uid(information, "TransactionUID", "Transaction UID")
    items = information.get("ReferencedSOPSequence") or []
    # An instance that is named twice is reported once.
    references = dict.fromkeys(
        Reference(
            sop_class_uid=_uid(item, "ReferencedSOPClassUID", "Referenced SOP Class UID"),
            sop_instance_uid=_uid(item, "ReferencedSOPInstanceUID", "Referenced Instance UID"),
        )
        for item in items
    )
    if not references:
        raise ActionRefused(ActionStatus.INVALID_ARGUMENT, "Referenced SOP Sequence is empty")
    return transaction_uid, tuple(references)


def _uid(item: Dataset, keyword: str, name: str) -> str:
    return checked_uid(str(item.get(keyword) or ""), name)
