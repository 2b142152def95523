"""What becomes of the earlier readings of a study when a later one has read it.

A destination must not have two reports of which neither says that it replaces the other. So a later
report names those that are, or may be, at a destination, and what surely never went there is
withdrawn. An earlier report is on its way at any moment, so both is settled in the transaction that
posts the later one: what a courier has taken by then was named, or ``Overtaken`` says that it must
be. A courier takes nothing that was withdrawn, and what it has taken may arrive before the later
report or after it, for that one names it either way.

An object that the later reading has as well, like the overlay of an image that did not change, is
not withdrawn: it is not posted twice, and goes as what it is.

What was read from images that are not here any more is not replaced, for the later reading does not
hold it.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from db.errors import Overtaken
from db.jobs import Claim
from db.outbox import Letter
from db.schema import (
    Delivery,
    DeliveryForm,
    DeliveryState,
    Instance,
    InstanceState,
    Job,
    JobInput,
    JobState,
    Result,
)

_UNSENT = (
    DeliveryState.PENDING,
    DeliveryState.HELD,
    DeliveryState.DEAD,
    DeliveryState.REFUSED,
)


@dataclass(frozen=True)
class Predecessor:
    """An object of an earlier reading that is, or may be, at a destination."""

    result_id: int
    style: str
    path: str


def predecessors(
    connection: Connection, claim: Claim, kinds: Sequence[str]
) -> tuple[Predecessor, ...]:
    """Objects of the same model's earlier readings of this study that may be at a destination.

    Only of these ``kinds``, each once: in the form that was taken; in every form of which it is not
    known, as while a courier sends it and after it sent in vain.
    """
    known = Delivery.result_id == Result.id
    tried = or_(Delivery.state == DeliveryState.SENDING, Delivery.attempts > 0)
    rows = connection.execute(
        select(Result.id, Result.style, Result.path)
        .join(DeliveryForm, DeliveryForm.result_id == Result.id)
        .join(Delivery, Delivery.id == DeliveryForm.delivery_id)
        .join(Job, Job.id == Delivery.job_id)
        .where(
            _is_replaced_by(claim),
            Result.kind.in_(kinds),
            or_(known, and_(Delivery.result_id.is_(None), tried)),
        )
        .distinct()
        .order_by(Result.id)
    )
    return tuple(Predecessor(*row) for row in rows)


def withdraw(
    connection: Connection,
    claim: Claim,
    letters: Sequence[Letter],
    kinds: Sequence[str],
    named: Sequence[Predecessor],
) -> None:
    """Take back what earlier readings have not sent; before the letters of this one are posted.

    Parameters
    ----------
    connection, claim
        The transaction, and the job that is finished in it.
    letters
        All that this reading has for the destinations, also what was posted before.
    kinds, named
        The predecessors that its reports name, and of which kinds they were looked for.

    Raises
    ------
    Overtaken
        A report that is not named may be at a destination by now, or one that is named surely is
        not, for it could not be sent; roll back, and name those that are to be named.
    """
    wanted = {(each.destination, uid) for each in letters for uid in each.forms}
    # Locked, sent or not, so that no courier moves one before this transaction ends.
    rows = connection.execute(
        select(Delivery.id, Delivery.state, Delivery.destination, Result.sop_instance_uid)
        .join(DeliveryForm, DeliveryForm.delivery_id == Delivery.id)
        .join(Result, Result.id == DeliveryForm.result_id)
        .join(Job, Job.id == Delivery.job_id)
        .where(_is_replaced_by(claim))
        .order_by(Delivery.id)
        .with_for_update(of=Delivery)
    ).all()
    kept = {row.id for row in rows if (row.destination, row.sop_instance_uid) in wanted}
    unsent = {row.id for row in rows if row.state in _UNSENT}
    connection.execute(
        update(Delivery)
        .where(Delivery.id.in_(sorted(unsent - kept)))
        .values(
            state=DeliveryState.SUPERSEDED,
            reason=f"superseded by job {claim.job_id}, which read further images of this study",
        )
    )
    if set(predecessors(connection, claim, kinds)) != set(named):
        raise Overtaken(
            f"reports that job {claim.job_id} replaces went out, or came back, meanwhile"
        )


def _is_replaced_by(claim: Claim) -> ColumnElement[bool]:
    """Condition on jobs: an earlier reading of the same study, of images that are all here."""
    read_missing = (
        select(JobInput)
        .join(Instance, Instance.sop_instance_uid == JobInput.sop_instance_uid)
        .where(JobInput.job_id == Job.id, Instance.state != InstanceState.STORED)
        .exists()
    )
    return and_(
        Job.study_uid == claim.study_uid,
        Job.model == claim.model.name,
        Job.state == JobState.DONE,
        Job.id < claim.job_id,
        ~read_missing,
    )
