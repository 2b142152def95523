"""What is stuck, and what goes where, at this moment: for ``/metrics``, in few rows by index."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from db.schema import SETTLED, Delivery, DeliveryState, Job, JobState, Outage

UNSETTLED = tuple(state for state in DeliveryState if state not in SETTLED)
"""States of deliveries that the destination does not have yet."""


def jobs(connection: Connection, state: JobState) -> dict[str, int]:
    """How many jobs of each model are in a state that few are in."""
    rows = connection.execute(
        select(Job.model, func.count()).where(Job.state == state).group_by(Job.model)
    )
    return {row[0]: row[1] for row in rows}


def deliveries(connection: Connection) -> dict[tuple[str, str], int]:
    """How many deliveries to each destination are in each state in which they are not settled."""
    rows = connection.execute(
        select(Delivery.destination, Delivery.state, func.count())
        .where(Delivery.state.in_(UNSETTLED))
        .group_by(Delivery.destination, Delivery.state)
    )
    return {(destination, state): count for destination, state, count in rows}


def away(connection: Connection) -> set[str]:
    """Destinations that cannot be reached."""
    return set(connection.execute(select(Outage.destination)).scalars())
