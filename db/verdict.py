"""What is committed: the judgement on a storage commitment request, and the report of it.

Here because both who report it, the receiver and the courier, need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import islice

from pydicom import Dataset
from sqlalchemy import Connection, Row, select

from db.archive import Archive
from db.commitment import Claimed, Reference
from db.schema import Instance, InstanceState

PUSH_MODEL = "1.2.840.10008.1.20.1"  # PS3.4 Annex J.3: the SOP class ...
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"  # ... and its one, well-known instance

_CHUNK = 500  # parameters of one query


class EventType(IntEnum):
    """What an N-EVENT-REPORT says (PS3.4 section J.3.3)."""

    SUCCESSFUL = 1
    FAILURES_EXIST = 2


class Failure(IntEnum):
    """Why an instance is not committed (PS3.3 section C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    """Its file is lost or cannot be read, or two data sets came under its UID."""
    NO_SUCH_INSTANCE = 0x0112
    """It was never stored here, or has been purged since."""
    CLASS_CONFLICT = 0x0119
    """It is stored here under another SOP class."""
    DUPLICATE_TRANSACTION = 0x0131
    """The sender used the Transaction UID before, for other instances."""


Verdict = tuple[Failure | None, ...]


def judge(connection: Connection, archive: Archive, claimed: Claimed) -> Verdict:
    """Say for each reference of a request why it is not committed, None if it is.

    Committed means: its row is committed, its SOP class is the one asked about, its file is there
    in full, and no other data set came under its UID.
    """
    if claimed.duplicate:
        return (Failure.DUPLICATE_TRANSACTION,) * len(claimed.references)
    uids = sorted({each.sop_instance_uid for each in claimed.references})
    stored = {row.sop_instance_uid: row for row in _stored(connection, uids)}
    disputed = _disputed(archive)
    return tuple(
        _judge(archive, each, stored.get(each.sop_instance_uid), disputed)
        for each in claimed.references
    )


def report(claimed: Claimed, verdict: Sequence[Failure | None]) -> tuple[EventType, Dataset]:
    """Build an N-EVENT-REPORT's event type and event information (PS3.4 table J.3-2)."""
    information = Dataset()
    information.TransactionUID = claimed.transaction_uid
    told = list(zip(claimed.references, verdict, strict=True))
    committed = [_item(each) for each, failure in told if failure is None]
    failed = [_item(each, failure) for each, failure in told if failure is not None]
    if committed:
        information.ReferencedSOPSequence = committed
    if failed:
        information.FailedSOPSequence = failed
    return EventType.FAILURES_EXIST if failed else EventType.SUCCESSFUL, information


def taken(status: int) -> bool:
    """Whether a response says that the report has come: Success or a warning (PS3.7 Annex C)."""
    return status in (0x0000, 0x0001, 0x0107, 0x0116) or status >> 12 == 0xB


def _stored(connection: Connection, uids: Iterable[str]) -> Iterable[Row[str, str, str, int, str]]:
    rest = iter(uids)
    while chunk := list(islice(rest, _CHUNK)):
        yield from connection.execute(
            select(
                Instance.sop_instance_uid,
                Instance.sop_class_uid,
                Instance.path,
                Instance.size,
                Instance.state,
            ).where(Instance.sop_instance_uid.in_(chunk))
        )


def _judge(
    archive: Archive,
    reference: Reference,
    row: Row[str, str, str, int, str] | None,
    disputed: set[str],
) -> Failure | None:
    if row is None or row.state == InstanceState.PURGED:
        return Failure.NO_SUCH_INSTANCE
    if row.sop_class_uid != reference.sop_class_uid:
        return Failure.CLASS_CONFLICT
    if row.state == InstanceState.LOST or reference.sop_instance_uid in disputed:
        return Failure.PROCESSING_FAILURE
    try:
        whole = archive.full_path(row.path).stat().st_size == row.size
    except OSError:
        whole = False
    return None if whole else Failure.PROCESSING_FAILURE


def _disputed(archive: Archive) -> set[str]:
    """UIDs under which a second data set came: nobody can say which of the two is meant."""
    try:
        return {file.name.partition("-")[0] for file in (archive.root / "conflicts").iterdir()}
    except FileNotFoundError:
        return set()


def _item(reference: Reference, failure: Failure | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if failure is not None:
        item.FailureReason = int(failure)
    return item
