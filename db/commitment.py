"""Storage commitment requests: one function per transition; see ``db.schema.COMMITMENT_MOVES``.

A request is a row before it is answered, so that its report survives any crash. Every function
works inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from db.engine import insert_ignoring, now
from db.errors import IllegalMove, NotFound
from db.lease import UNLEASED, Leased
from db.retry import RetryPolicy
from db.schema import Commitment, CommitmentItem, CommitmentState

_OVER = (CommitmentState.REPORTED, CommitmentState.DEAD)
_PAGE = 100  # requests looked at, and forgotten, at once

LEASE_LOST = "lease lost: the process stopped while reporting"

_LEASED = Leased(
    table=Commitment,
    held=CommitmentState.REPORTING,
    free=CommitmentState.PENDING,
    dead=CommitmentState.DEAD,
    lost=LEASE_LOST,
)


@dataclass(frozen=True)
class Reference:
    """An instance as a request or a report names it."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A storage commitment request.

    Attributes
    ----------
    calling_ae
        Who asks.
    transaction_uid
        The requester's name for it.
    references
        What it asks about, at least one.
    """

    calling_ae: str
    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, kw_only=True)
class Claimed(Asked):
    """A request whose report is under lease.

    Attributes
    ----------
    duplicate
        Another request of this sender bears the same Transaction UID.
    """

    commitment_id: int
    duplicate: bool
    attempt: int
    owner: str


def record(connection: Connection, asked: Asked) -> int:
    """Record a request as pending; its id.

    The same request again, in whatever order it names the instances, is the same row: its report
    goes out once more, if it went out before.
    """
    number = 0
    while True:
        values: dict[str, object] = {
            "calling_ae": asked.calling_ae,
            "transaction_uid": asked.transaction_uid,
            "number": number,
            "state": CommitmentState.PENDING,
            "attempts": 0,
            "created_at": now(connection),
            "run_at": now(connection),
        }
        commitment_id = insert_ignoring(connection, Commitment, values)
        if commitment_id is not None:
            _insert_references(connection, commitment_id, asked.references)
            return int(commitment_id)
        known = _numbered(connection, asked, number)
        if set(references(connection, known)) == set(asked.references):
            _ask_again(connection, known)
            return known
        number += 1


def references(connection: Connection, commitment_id: int) -> tuple[Reference, ...]:
    """What a request asks about, in its order."""
    rows = connection.execute(
        select(CommitmentItem.sop_class_uid, CommitmentItem.sop_instance_uid)
        .where(CommitmentItem.commitment_id == commitment_id)
        .order_by(CommitmentItem.number)
    )
    return tuple(Reference(*row) for row in rows)


def take(
    connection: Connection, commitment_id: int, owner: str, lease_seconds: float
) -> Claimed | None:
    """Pending to reporting for one request; None if its report is under way.

    So the receiver reports on the association on which it was asked, before anybody else does.
    """
    moment = now(connection)
    row = connection.execute(
        select(Commitment)
        .where(
            Commitment.id == commitment_id,
            Commitment.state == CommitmentState.PENDING,
            Commitment.run_at <= moment,
        )
        .with_for_update(skip_locked=True)
    ).one_or_none()
    return None if row is None else _lease(connection, row, owner, moment + lease_seconds)


def claimable(connection: Connection, calling_ae: str) -> bool:
    """Whether a claim could find something: cheap, and takes no lock, so that idling is free."""
    moment = now(connection)
    found = connection.execute(
        select(Commitment.id)
        .where(
            Commitment.calling_ae == calling_ae,
            or_(
                and_(Commitment.state == CommitmentState.PENDING, Commitment.run_at <= moment),
                and_(
                    Commitment.state == CommitmentState.REPORTING, Commitment.lease_until < moment
                ),
            ),
        )
        .limit(1)
    )
    return found.one_or_none() is not None


def claim(
    connection: Connection, calling_ae: str, owner: str, lease_seconds: float, retry: RetryPolicy
) -> Claimed | None:
    """Pending to reporting for the oldest request of a sender whose time has come.

    Requests whose lease ran out are given back first; a report that comes twice says the same.
    """
    moment = now(connection)
    _LEASED.reclaim(connection, Commitment.calling_ae == calling_ae, moment, retry)
    row = connection.execute(oldest_due(calling_ae, moment)).one_or_none()
    return None if row is None else _lease(connection, row, owner, moment + lease_seconds)


def oldest_due(calling_ae: str, moment: float) -> Select[Any]:
    """Query that ``claim`` makes."""
    return (
        select(Commitment)
        .where(
            Commitment.state == CommitmentState.PENDING,
            Commitment.calling_ae == calling_ae,
            Commitment.run_at <= moment,
        )
        .order_by(Commitment.run_at, Commitment.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def reported(connection: Connection, claimed: Claimed, failures: Sequence[int | None]) -> None:
    """Reporting to reported: the requester has answered Success.

    Parameters
    ----------
    connection, claimed
        The transaction and the request.
    failures
        For each reference the failure reason that was reported, None if it is committed.

    Raises
    ------
    LeaseLost
        The report was given to somebody else.
    """
    failed = sum(each is not None for each in failures)
    reason = f"{failed} of {len(failures)} instances are not committed" if failed else None
    values = {"reported_at": now(connection), "reason": reason}
    _leave(connection, claimed, CommitmentState.REPORTED, values)
    items = update(CommitmentItem).where(CommitmentItem.commitment_id == claimed.commitment_id)
    connection.execute(items.values(failure=None))
    told = [
        {"of": number, "reason": int(failure)}
        for number, failure in enumerate(failures)
        if failure is not None
    ]
    if told:
        one = items.where(CommitmentItem.number == bindparam("of"))
        connection.execute(one.values(failure=bindparam("reason")), told)


def fail(
    connection: Connection, claimed: Claimed, reason: str, retry: RetryPolicy
) -> CommitmentState:
    """Reporting to pending with backoff, or to dead when the attempts are used up.

    Raises
    ------
    LeaseLost
        The report was given to somebody else.
    """
    if retry.exhausted(claimed.attempt):
        _leave(connection, claimed, CommitmentState.DEAD, {"reason": reason})
        return CommitmentState.DEAD
    run_at = now(connection) + retry.wait(claimed.attempt)
    _leave(connection, claimed, CommitmentState.PENDING, {"reason": reason, "run_at": run_at})
    return CommitmentState.PENDING


def bury(connection: Connection, claimed: Claimed, reason: str) -> None:
    """Reporting to dead: no retry can help.

    Raises
    ------
    LeaseLost
        The report was given to somebody else.
    """
    _leave(connection, claimed, CommitmentState.DEAD, {"reason": reason})


def give_back(connection: Connection, claimed: Claimed) -> None:
    """Reporting to pending, uncounted: nothing was sent.

    Raises
    ------
    LeaseLost
        The report was given to somebody else.
    """
    values = {"attempts": claimed.attempt - 1, "run_at": now(connection)}
    _leave(connection, claimed, CommitmentState.PENDING, values)


def strand(connection: Connection, known_titles: Collection[str]) -> list[tuple[int, str]]:
    """Pending to dead for every request whose sender has no known address.

    Parameters
    ----------
    connection
        A writing transaction.
    known_titles
        AE titles whose address is known.

    Returns
    -------
    list
        Id and AE title of each request that was given up.
    """
    moment = now(connection)
    rows = connection.execute(
        select(Commitment.id, Commitment.calling_ae)
        .where(_stranded(known_titles, moment))
        .order_by(Commitment.id)
        .with_for_update(skip_locked=True)
    ).all()
    for commitment_id, calling_ae in rows:
        connection.execute(
            update(Commitment)
            .where(Commitment.id == commitment_id)
            .values(state=CommitmentState.DEAD, reason=no_address(calling_ae), **UNLEASED)
        )
    return [(row.id, row.calling_ae) for row in rows]


def any_stranded(connection: Connection, known_titles: Collection[str]) -> bool:
    """Whether ``strand`` could find something: cheap, and takes no lock."""
    query = select(Commitment.id).where(_stranded(known_titles, now(connection))).limit(1)
    return connection.execute(query).one_or_none() is not None


def finished(connection: Connection, before: float) -> list[int]:
    """Ids of requests, the oldest first, that were reported or given up before a time.

    Of the oldest there are, so that one look is cheap; call it again when they are forgotten.
    """
    oldest = (
        select(Commitment).where(Commitment.id > 0).order_by(Commitment.id).limit(_PAGE).subquery()
    )
    ended_at = func.coalesce(oldest.c.reported_at, oldest.c.created_at)
    rows = connection.execute(
        select(oldest.c.id)
        .where(oldest.c.state.in_(_OVER), ended_at < before)
        .order_by(oldest.c.id)
    )
    return list(rows.scalars())


def forget(connection: Connection, commitment_ids: Collection[int]) -> int:
    """Remove requests that are reported or dead; how many. One that is asked again stays."""
    over = select(Commitment.id).where(
        Commitment.id.in_(commitment_ids), Commitment.state.in_(_OVER)
    )
    locked = list(connection.execute(over.with_for_update(skip_locked=True)).scalars())
    connection.execute(delete(CommitmentItem).where(CommitmentItem.commitment_id.in_(locked)))
    connection.execute(delete(Commitment).where(Commitment.id.in_(locked)))
    return len(locked)


def no_address(calling_ae: str) -> str:
    """Why a report that could not go out on the requester's own association goes nowhere."""
    return (
        f"no [[destination]] and no [[peer]] with host and port has the AE title {calling_ae}, "
        "so its report can go nowhere; add it, then 'wetread commitments retry'"
    )


def retry(connection: Connection, commitment_id: int) -> None:
    """Dead to pending, by hand.

    Raises
    ------
    NotFound
        There is no such request.
    IllegalMove
        It is not dead.
    """
    state = connection.execute(
        select(Commitment.state).where(Commitment.id == commitment_id).with_for_update()
    ).scalar_one_or_none()
    if state is None:
        raise NotFound(f"there is no commitment {commitment_id}")
    if state != CommitmentState.DEAD:
        raise IllegalMove(f"commitment {commitment_id} is {state}; only a dead one can be retried")
    _revive(connection, commitment_id)


def _numbered(connection: Connection, asked: Asked, number: int) -> int:
    return connection.execute(
        select(Commitment.id).where(
            Commitment.calling_ae == asked.calling_ae,
            Commitment.transaction_uid == asked.transaction_uid,
            Commitment.number == number,
        )
    ).scalar_one()


def _insert_references(
    connection: Connection, commitment_id: int, asked: Sequence[Reference]
) -> None:
    rows: list[dict[str, Any]] = [
        {"commitment_id": commitment_id, "number": number, **vars(each)}
        for number, each in enumerate(asked)
    ]
    connection.execute(insert(CommitmentItem), rows)


def _ask_again(connection: Connection, commitment_id: int) -> None:
    """Reported or dead to pending; one that waits for a retry waits no longer."""
    state = connection.execute(
        select(Commitment.state).where(Commitment.id == commitment_id).with_for_update()
    ).scalar_one()
    if state in (CommitmentState.REPORTED, CommitmentState.DEAD):
        _revive(connection, commitment_id)
    elif state == CommitmentState.PENDING:
        moment = now(connection)
        connection.execute(
            update(Commitment)
            .where(Commitment.id == commitment_id, Commitment.run_at > moment)
            .values(run_at=moment)
        )


def _revive(connection: Connection, commitment_id: int) -> None:
    connection.execute(
        update(Commitment)
        .where(Commitment.id == commitment_id)
        .values(state=CommitmentState.PENDING, attempts=0, run_at=now(connection), reason=None)
    )


def _lease(connection: Connection, row: Any, owner: str, until: float) -> Claimed:
    connection.execute(
        update(Commitment)
        .where(Commitment.id == row.id)
        .values(
            state=CommitmentState.REPORTING,
            attempts=row.attempts + 1,
            lease_owner=owner,
            lease_until=until,
        )
    )
    return Claimed(
        commitment_id=row.id,
        calling_ae=row.calling_ae,
        transaction_uid=row.transaction_uid,
        references=references(connection, row.id),
        duplicate=row.number > 0,
        attempt=row.attempts + 1,
        owner=owner,
    )


def _stranded(known_titles: Collection[str], moment: float) -> Any:
    return and_(
        Commitment.calling_ae.not_in(sorted(known_titles)),
        or_(
            Commitment.state == CommitmentState.PENDING,
            and_(Commitment.state == CommitmentState.REPORTING, Commitment.lease_until < moment),
        ),
    )


def _leave(
    connection: Connection, claimed: Claimed, state: CommitmentState, values: dict[str, Any]
) -> None:
    values = {"state": state, **values}
    _LEASED.leave(connection, claimed.commitment_id, claimed.owner, claimed.attempt, values)
