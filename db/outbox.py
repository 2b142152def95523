"""The outbox: one function per delivery transition; see ``db.schema.DELIVERY_MOVES``.

Every function works inside the caller's transaction. ``post`` shares its transaction with
``jobs.finish``, so a result is either due for delivery or does not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from db import wake
from db.engine import insert_ignoring, now
from db.errors import IllegalMove, NotFound
from db.lease import Leased
from db.retry import RetryPolicy
from db.schema import (
    Delivery,
    DeliveryForm,
    DeliveryState,
    Job,
    Result,
)
from db.wake import Topic

_ASK_AFTER_SECONDS = 1.0  # so that what was sent together is asked about together

# Not as a parameter: the planner must see that a partial index serves.
_PENDING: ColumnElement[bool] = Delivery.state == literal_column(f"'{DeliveryState.PENDING}'")
_TO_SEND = (DeliveryState.PENDING, DeliveryState.HELD)
_BY_HAND = (DeliveryState.DEAD, DeliveryState.REFUSED, DeliveryState.HELD)

_LEASED = Leased(
    table=Delivery,
    held=DeliveryState.SENDING,
    free=DeliveryState.PENDING,
    dead=DeliveryState.DEAD,
    lost="lease lost: the courier stopped while sending",
)


@dataclass(frozen=True, kw_only=True)
class StoredResult:
    """A result object in the archive; see ``db.schema.Result`` for the fields."""

    kind: str
    number: int
    rank: int
    style: str
    sop_class_uid: str
    sop_instance_uid: str
    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One result that a destination is to get.

    Attributes
    ----------
    destination
        Its name.
    kind, number
        Which result.
    forms
        SOP Instance UIDs of the objects as which it may be sent, best first.
    """

    destination: str
    kind: str
    number: int
    forms: tuple[str, ...]


@dataclass(frozen=True)
class Alternative:
    """One form in which a result may be sent."""

    result_id: int
    sop_class_uid: str
    sop_instance_uid: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A delivery under lease.

    Attributes
    ----------
    alternatives
        Best first; the destination gets the first that it accepts.
    unchecked
        Whether it is to be sent without asking whose study the destination has.
    """

    delivery_id: int
    job_id: int
    study_uid: str
    kind: str
    destination: str
    attempt: int
    owner: str
    alternatives: tuple[Alternative, ...]
    unchecked: bool = False


def post(
    connection: Connection,
    job_id: int,
    results: Sequence[StoredResult],
    letters: Sequence[Letter],
) -> None:
    """Record a job's results and put letters into the outbox, to be sent in this order.

    Deliveries have the job's priority, so ``jobs.finish`` comes first.

    Parameters
    ----------
    connection, job_id
        The transaction and the job.
    results
        The objects, each once.
    letters
        Who gets what; each form is among the results, or was recorded with an earlier job.
    """
    moment = now(connection)
    priority = connection.execute(select(Job.priority).where(Job.id == job_id)).scalar_one()
    for each in results:
        insert_ignoring(connection, Result, {"job_id": job_id, **vars(each)})
    ids = _result_ids(connection, {uid for letter in letters for uid in letter.forms})
    for letter in letters:
        values: dict[str, object] = {
            "job_id": job_id,
            "kind": letter.kind,
            "number": letter.number,
            "destination": letter.destination,
            "state": DeliveryState.PENDING,
            "priority": priority,
            "attempts": 0,
            "created_at": moment,
            "run_at": moment,
        }
        delivery_id = insert_ignoring(connection, Delivery, values)
        if delivery_id is None:
            continue  # posted by an earlier attempt of a job that was given up
        forms = [
            {"delivery_id": delivery_id, "rank": rank, "result_id": ids[uid]}
            for rank, uid in enumerate(letter.forms)
        ]
        connection.execute(insert(DeliveryForm), forms)
    if letters:
        wake.notify(connection, Topic.DELIVERIES)


def posted(connection: Connection, letter: Letter) -> bool:
    """Whether a destination got, or is to get, an object already, from whatever job.

    One that was withdrawn is to be posted again.
    """
    row = connection.execute(
        select(Delivery.id)
        .join(DeliveryForm, DeliveryForm.delivery_id == Delivery.id)
        .join(Result, Result.id == DeliveryForm.result_id)
        .where(
            Delivery.destination == letter.destination,
            Delivery.state != DeliveryState.SUPERSEDED,
            Result.sop_instance_uid.in_(letter.forms),
        )
        .limit(1)
    ).one_or_none()
    return row is not None


def claimable(connection: Connection, destination: str) -> bool:
    """Whether a claim could find something: cheap, and takes no lock, so that idling is free."""
    moment = now(connection)
    found = connection.execute(
        select(Delivery.id)
        .where(
            Delivery.destination == destination,
            or_(
                and_(Delivery.state.in_(_TO_SEND), Delivery.run_at <= moment),
                and_(Delivery.state == DeliveryState.SENDING, Delivery.lease_until < moment),
            ),
        )
        .limit(1)
    )
    return found.one_or_none() is not None


def claim(
    connection: Connection,
    destination: str,
    owner: str,
    lease_seconds: float,
    limit: int,
    retry: RetryPolicy,
) -> list[Parcel]:
    """Take up to ``limit`` pending deliveries of a destination under a lease, urgent first.

    Deliveries whose lease ran out are given back first; sending one twice is harmless, because
    the receiver knows the object by its UID. Those that were held for long enough are pending too.
    """
    moment = now(connection)
    _LEASED.reclaim(connection, Delivery.destination == destination, moment, retry)
    _release_held(connection, destination, moment)
    parcels = []
    for row in _due(connection, destination, moment, limit):
        connection.execute(
            update(Delivery)
            .where(Delivery.id == row.id)
            .values(
                state=DeliveryState.SENDING,
                attempts=row.attempts + 1,
                lease_owner=owner,
                lease_until=moment + lease_seconds,
            )
        )
        parcels.append(
            Parcel(
                delivery_id=row.id,
                job_id=row.job_id,
                study_uid=row.study_uid,
                kind=row.kind,
                destination=destination,
                attempt=row.attempts + 1,
                owner=owner,
                alternatives=_alternatives(connection, row.id),
                unchecked=row.unchecked,
            )
        )
    return parcels


def renew(connection: Connection, parcels: Sequence[Parcel], lease_seconds: float) -> None:
    """Hold the leases of parcels that wait for their turn; one that was lost stays lost."""
    for parcel in parcels:
        connection.execute(
            update(Delivery)
            .where(_LEASED.holds(parcel.delivery_id, parcel.owner, parcel.attempt))
            .values(lease_until=now(connection) + lease_seconds)
        )


def sent(connection: Connection, parcel: Parcel, result_id: int, *, commit: bool = False) -> None:
    """Sending to sent: the destination answered Success for this object.

    Parameters
    ----------
    connection, parcel, result_id
        The transaction, the delivery, and which of its forms was sent.
    commit
        Whether the destination is to be asked to commit to keeping it.

    Raises
    ------
    LeaseLost
        The delivery was given to somebody else.
    """
    moment = now(connection)
    values: dict[str, object] = {
        "state": DeliveryState.SENT,
        "sent_at": moment,
        "reason": None,
        "result_id": result_id,
        "commit_at": moment + _ASK_AFTER_SECONDS if commit else None,
        "transaction_uid": None,
        "asked_at": None,
    }
    _leave(connection, parcel, values)


def refused(connection: Connection, parcel: Parcel, reason: str) -> None:
    """Sending to refused: the destination takes no form of this object; its siblings still go.

    Raises
    ------
    LeaseLost
        The delivery was given to somebody else.
    """
    _leave(connection, parcel, {"state": DeliveryState.REFUSED, "reason": reason})


def fail(connection: Connection, parcel: Parcel, reason: str, retry: RetryPolicy) -> DeliveryState:
    """Sending to pending with backoff, or to dead when the attempts are used up.

    Raises
    ------
    LeaseLost
        The delivery was given to somebody else.
    """
    values: dict[str, object] = {"reason": reason}
    if not retry.exhausted(parcel.attempt):
        state = DeliveryState.PENDING
        values |= {"run_at": now(connection) + retry.wait(parcel.attempt)}
    else:
        state = DeliveryState.DEAD
    _leave(connection, parcel, values | {"state": state})
    return state


def hold(connection: Connection, parcel: Parcel, reason: str, retry: RetryPolicy) -> None:
    """Sending to held, to be looked at again with backoff, for however long.

    Half of the attempts are left to it, for when it may be sent.

    Raises
    ------
    LeaseLost
        The delivery was given to somebody else.
    """
    values: dict[str, object] = {
        "state": DeliveryState.HELD,
        "reason": reason,
        "attempts": min(parcel.attempt, retry.attempts // 2),
        "run_at": now(connection) + retry.wait(parcel.attempt),
    }
    _leave(connection, parcel, values)


def give_back(connection: Connection, parcel: Parcel, reason: str | None = None) -> None:
    """Sending to pending, uncounted: it was not this one's turn, or the destination is away.

    Raises
    ------
    LeaseLost
        The delivery was given to somebody else.
    """
    values: dict[str, object] = {"state": DeliveryState.PENDING, "attempts": parcel.attempt - 1}
    if reason is not None:
        values["reason"] = reason
    _leave(connection, parcel, values)


def retry(connection: Connection, job_id: int, *, unchecked: bool = False) -> int:
    """Dead, refused and held deliveries of a job to pending, by hand; return how many.

    Parameters
    ----------
    connection, job_id
        The transaction and the job.
    unchecked
        Whether they are to be sent without asking whose study the destination has: somebody has
        decided that they belong there.

    Raises
    ------
    NotFound
        There is no such job.
    """
    values = _revived(connection, unchecked=unchecked)
    revived = _by_hand(connection, job_id, _BY_HAND, values)
    wake.notify(connection, Topic.DELIVERIES)
    return revived


def retry_one(connection: Connection, delivery_id: int, *, unchecked: bool = False) -> None:
    """One dead, refused or held delivery to pending, by hand; as ``retry`` does for a job's.

    Raises
    ------
    NotFound, IllegalMove
        There is no such delivery, or it is in another state.
    """
    state = connection.execute(
        select(Delivery.state).where(Delivery.id == delivery_id).with_for_update()
    ).scalar_one_or_none()
    if state is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    if state not in _BY_HAND:
        raise IllegalMove(f"delivery {delivery_id} is {state} and not dead, refused or held")
    values = _revived(connection, unchecked=unchecked)
    connection.execute(update(Delivery).where(Delivery.id == delivery_id).values(**values))
    wake.notify(connection, Topic.DELIVERIES)


def give_up(connection: Connection, job_id: int) -> int:
    """Held deliveries of a job to dead, by hand; return how many.

    Raises
    ------
    NotFound
        There is no such job.
    """
    reason = literal("given up by hand: ") + func.coalesce(Delivery.reason, "")
    values = {"state": DeliveryState.DEAD, "reason": reason}
    return _by_hand(connection, job_id, [DeliveryState.HELD], values)


def own_instance(connection: Connection, sop_instance_uid: str) -> bool:
    """Whether this UID names an object that this node made."""
    row = connection.execute(
        select(Result.id).where(Result.sop_instance_uid == sop_instance_uid).limit(1)
    ).one_or_none()
    return row is not None


def _revived(connection: Connection, *, unchecked: bool) -> dict[str, object]:
    return {
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "run_at": now(connection),
        "reason": None,
        "unchecked": unchecked,
    }


def _by_hand(
    connection: Connection,
    job_id: int,
    states: Collection[DeliveryState],
    values: dict[str, object],
) -> int:
    """Change the deliveries of a job that are in these states; return how many."""
    if connection.execute(select(Job.id).where(Job.id == job_id)).one_or_none() is None:
        raise NotFound(f"there is no job {job_id}")
    changed = connection.execute(
        update(Delivery)
        .where(Delivery.job_id == job_id, Delivery.state.in_(states))
        .values(**values)
    )
    return changed.rowcount


def _result_ids(connection: Connection, uids: Collection[str]) -> dict[str, int]:
    """Return the latest row of each object."""
    rows = connection.execute(
        select(Result.sop_instance_uid, func.max(Result.id))
        .where(Result.sop_instance_uid.in_(uids))
        .group_by(Result.sop_instance_uid)
    )
    return {row[0]: row[1] for row in rows}


def _due(
    connection: Connection, destination: str, moment: float, limit: int
) -> list[Row[int, int, str, int, int, bool, str]]:
    """The next deliveries, urgent first, locked.

    They lie in one index in this order. Each priority is a part of its own, of which those that are
    due come first, so that what waits for its next attempt is not read, however much it is.
    """
    rows: list[Row[int, int, str, int, int, bool, str]] = []
    priority = connection.execute(_first_priority(destination)).scalar()
    while priority is not None and len(rows) < limit:
        rows += connection.execute(_claimable(destination, priority, moment, limit - len(rows)))
        below = _first_priority(destination).where(Delivery.priority < priority)
        priority = connection.execute(below).scalar()
    return rows


def _first_priority(destination: str) -> Select[int]:
    return (
        select(Delivery.priority)
        .where(_PENDING, Delivery.destination == destination)
        .order_by(Delivery.priority.desc())
        .limit(1)
    )


def _claimable(
    destination: str, priority: int, moment: float, limit: int
) -> Select[int, int, str, int, int, bool, str]:
    return (
        select(
            Delivery.id,
            Delivery.job_id,
            Delivery.kind,
            Delivery.number,
            Delivery.attempts,
            Delivery.unchecked,
            Job.study_uid,
        )
        .join(Job, Job.id == Delivery.job_id)
        .where(
            _PENDING,
            Delivery.destination == destination,
            Delivery.priority == priority,
            Delivery.run_at <= moment,
        )
        .order_by(Delivery.run_at, Delivery.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Delivery)
    )


def _alternatives(connection: Connection, delivery_id: int) -> tuple[Alternative, ...]:
    rows = connection.execute(
        select(Result.id, Result.sop_class_uid, Result.sop_instance_uid, Result.path)
        .join(DeliveryForm, DeliveryForm.result_id == Result.id)
        .where(DeliveryForm.delivery_id == delivery_id)
        .order_by(DeliveryForm.rank)
    )
    return tuple(Alternative(*row) for row in rows)


def _release_held(connection: Connection, destination: str, moment: float) -> None:
    connection.execute(
        update(Delivery)
        .where(
            Delivery.state == DeliveryState.HELD,
            Delivery.destination == destination,
            Delivery.run_at <= moment,
        )
        .values(state=DeliveryState.PENDING)
    )


def _leave(connection: Connection, parcel: Parcel, values: dict[str, object]) -> None:
    _LEASED.leave(connection, parcel.delivery_id, parcel.owner, parcel.attempt, values)
