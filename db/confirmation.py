"""Storage commitment of what was sent: whether a destination promises to keep it (PS3.4 Annex J).

A delivery that was sent to a destination that is to commit has ``commit_at``: when to ask, and once
it was asked (``asked_at``), when the report is overdue. What is known stands in the row, so the
report may come to any process of any host, before or after the answer to the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from pydicom import Dataset
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import SQLAlchemyError

from db.archive import checked_uid
from db.commitment import Reference
from db.engine import Database, now
from db.errors import where
from db.outbox import Alternative, Parcel
from db.retry import RetryPolicy
from db.schema import Delivery, DeliveryState, Job, Result

# Answers to an N-EVENT-REPORT (PS3.7 section 10.1.1.1.8)
SUCCESS, PROCESSING_FAILURE, INVALID_ARGUMENT = 0x0000, 0x0110, 0x0115

OVERDUE = "it was sent, and no report of storage commitment came in time"

_log = structlog.get_logger(__name__)
_ASKING_SECONDS = 120.0  # who asks and says nothing for this long has died
_AGAIN_SECONDS = 60.0
_INSTANCE_LIMIT = 500


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a destination says of a transaction.

    Attributes
    ----------
    transaction_uid
        The one under which it was asked.
    committed
        SOP Instance UIDs that it keeps.
    failed
        Failure reason (PS3.3 section C.14.1.1) of each SOP Instance UID that it does not.
    """

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, int]


@dataclass(frozen=True)
class Noted:
    """How many deliveries a report was about; none if the transaction is not known any more."""

    committed: int
    failed: int


@dataclass(frozen=True)
class Uncommitted:
    """A delivery that is to be sent again, or was given up, and why."""

    parcel: Parcel
    state: DeliveryState
    reason: str


def read_report(information: Dataset) -> Report:
    """Read the event information of an N-EVENT-REPORT (PS3.4 table J.3-2).

    Raises
    ------
    InvalidUID
        The transaction, or an instance, is not named.
    """
    committed = information.get("ReferencedSOPSequence") or []
    failed = information.get("FailedSOPSequence") or []
    return Report(
        transaction_uid=_uid(information, "TransactionUID"),
        committed=frozenset(_uid(each, "ReferencedSOPInstanceUID") for each in committed),
        failed={
            _uid(each, "ReferencedSOPInstanceUID"): int(each.get("FailureReason") or 0)
            for each in failed
        },
    )


def take_report(database: Database, information: Callable[[], Dataset], reporter: str) -> int:
    """Note a report that has come, and say how to answer it.

    Parameters
    ----------
    database
        Where deliveries are.
    information
        Reads the event information.
    reporter
        AE title of who reports.

    Returns
    -------
    int
        * 0x0000: it is noted, or nothing waits for it any more, which the reporter cannot mend;
        * 0x0110: the database refuses; the reporter should report again;
        * 0x0115: it cannot be read.
    """
    try:
        report = read_report(information())
    except Exception as error:  # noqa: BLE001 - the parser meets a peer's bytes
        _log.warning("delivery.report_unreadable", error=where(error), ae_title=reporter)
        return INVALID_ARGUMENT
    try:
        with database.write() as connection:
            noted = note(connection, report)
    except SQLAlchemyError as error:
        _log.error("delivery.report_not_noted", error=where(error), ae_title=reporter)
        return PROCESSING_FAILURE
    _log.log(
        30 if noted.failed or not noted.committed else 20,
        "delivery.commitment_reported",
        transaction_uid=report.transaction_uid,
        committed=noted.committed,
        failed=noted.failed,
        ae_title=reporter,
    )
    return SUCCESS


def due(connection: Connection, destination: str) -> bool:
    """Whether there is something to ask, or a report is overdue: cheap, and takes no lock."""
    found = connection.execute(
        select(Delivery.id)
        .where(Delivery.destination == destination, Delivery.commit_at <= now(connection))
        .limit(1)
    )
    return found.one_or_none() is not None


def ask(connection: Connection, destination: str, transaction_uid: str) -> tuple[Reference, ...]:
    """Put what is to be asked about under a transaction; what that is.

    The transaction is known before the request goes out, for the report may overtake the answer.
    Who dies before ``asked`` or ``put_off`` leaves it to be asked again.
    """
    moment = now(connection)
    rows = connection.execute(
        select(Delivery.id, Result.sop_class_uid, Result.sop_instance_uid)
        .join(Result, Result.id == Delivery.result_id)
        .where(
            Delivery.destination == destination,
            Delivery.commit_at <= moment,
            Delivery.asked_at.is_(None),
        )
        .order_by(Delivery.commit_at, Delivery.id)
        .limit(_INSTANCE_LIMIT)
        .with_for_update(skip_locked=True, of=Delivery)
    ).all()
    connection.execute(
        update(Delivery)
        .where(Delivery.id.in_([row.id for row in rows]))
        .values(transaction_uid=transaction_uid, commit_at=moment + _ASKING_SECONDS, reason=None)
    )
    return tuple(Reference(row.sop_class_uid, row.sop_instance_uid) for row in rows)


def asked(connection: Connection, transaction_uid: str, patience_seconds: float) -> None:
    """The destination has answered Success: its report is overdue after so many seconds."""
    moment = now(connection)
    _asking(
        connection,
        transaction_uid,
        {"asked_at": moment, "commit_at": moment + patience_seconds},
    )


def put_off(connection: Connection, transaction_uid: str, reason: str) -> None:
    """The destination could not be asked: ask again in a minute.

    That it is stored is not in doubt, so nothing is sent again.
    """
    values = {"commit_at": now(connection) + _AGAIN_SECONDS, "reason": reason}
    _asking(connection, transaction_uid, values)


def note(connection: Connection, report: Report) -> Noted:
    """Sent to committed, or due to be sent again, as a report says.

    A delivery that waits to be sent again, for the report is late, is committed too.
    """
    moment = now(connection)
    rows = connection.execute(
        select(Delivery.id, Delivery.state, Result.sop_instance_uid)
        .join(Result, Result.id == Delivery.result_id)
        .where(
            Delivery.transaction_uid == report.transaction_uid,
            Delivery.state.in_([DeliveryState.SENT, DeliveryState.PENDING]),
        )
        .with_for_update(of=Delivery)
    ).all()
    committed, failed = 0, 0
    for delivery_id, state, uid in rows:
        values: dict[str, object] = {}
        if uid in report.failed and state == DeliveryState.SENT:
            failed += 1
            why = f"it was sent, and not committed: failure reason {report.failed[uid]:04X}"
            values = {"asked_at": moment, "commit_at": moment, "reason": why}
        elif uid in report.committed:
            committed += 1
            values = {
                "state": DeliveryState.COMMITTED,
                "committed_at": moment,
                "commit_at": None,
                "reason": None,
            }
        if values:
            connection.execute(update(Delivery).where(Delivery.id == delivery_id).values(**values))
    return Noted(committed, failed)


def give_up(connection: Connection, destination: str, retry: RetryPolicy) -> list[Uncommitted]:
    """Sent to pending with backoff, or to dead when the attempts are used up.

    That is, what the destination did not commit, or did not report on in time.
    """
    moment = now(connection)
    rows = connection.execute(
        select(Delivery, Job.study_uid, Result.sop_class_uid, Result.sop_instance_uid, Result.path)
        .join(Job, Job.id == Delivery.job_id)
        .join(Result, Result.id == Delivery.result_id)
        .where(
            Delivery.destination == destination,
            Delivery.commit_at <= moment,
            Delivery.asked_at.is_not(None),
        )
        .with_for_update(skip_locked=True, of=Delivery)
    ).all()
    given_up = []
    for row in rows:
        dead = retry.exhausted(row.attempts)
        state = DeliveryState.DEAD if dead else DeliveryState.PENDING
        reason = row.reason or OVERDUE
        connection.execute(
            update(Delivery)
            .where(Delivery.id == row.id)
            .values(
                state=state,
                reason=reason,
                commit_at=None,
                run_at=moment + retry.wait(row.attempts),
            )
        )
        given_up.append(Uncommitted(_parcel(row), state, reason))
    return given_up


def _asking(connection: Connection, transaction_uid: str, values: dict[str, object]) -> None:
    """Change what was not reported on before the answer to the request came."""
    connection.execute(
        update(Delivery)
        .where(
            Delivery.transaction_uid == transaction_uid,
            Delivery.state == DeliveryState.SENT,
            Delivery.asked_at.is_(None),
        )
        .values(**values)
    )


def _parcel(row: Any) -> Parcel:
    return Parcel(
        delivery_id=row.id,
        job_id=row.job_id,
        study_uid=row.study_uid,
        kind=row.kind,
        destination=row.destination,
        attempt=row.attempts,
        owner="",
        alternatives=(
            Alternative(row.result_id, row.sop_class_uid, row.sop_instance_uid, row.path),
        ),
    )


def _uid(item: Dataset, keyword: str) -> str:
    return checked_uid(str(item.get(keyword) or ""), keyword)
