"""How much is stored, how fast more comes, and how much of what waits, for ``wetread status``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.orm import InstrumentedAttribute

from db import disabled as disabling
from db import holds
from db.engine import now
from db.schema import (
    WAITING,
    Commitment,
    CommitmentState,
    Delivery,
    DeliveryState,
    Instance,
    InstanceState,
    Job,
    JobState,
    Outage,
    Result,
    Study,
)
from db.stats import iso

_STORED = Instance.state == InstanceState.STORED
_HOUR = 3600.0
_WINDOW_HOURS = 24.0
_UNSENT = (DeliveryState.DEAD, DeliveryState.REFUSED)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What lies in the data folder, by the table.

    Attributes
    ----------
    instances, instance_bytes
        What was received and is here.
    result_bytes
        What was made of it.
    bytes_per_hour
        What was received per hour, over the last 24; over the time since the first instance, but
        at least one hour, if that is less.
    """

    instances: int
    instance_bytes: int
    result_bytes: int
    bytes_per_hour: float


def stored(connection: Connection) -> Stored:
    """How much there is, and how fast more comes."""
    moment = now(connection)
    total = connection.execute(
        select(
            func.count().filter(_STORED),
            func.sum(Instance.size).filter(_STORED),
        )
    ).one()
    # Apart, for the index has it.
    first = connection.execute(select(func.min(Instance.received_at))).scalar_one()
    recent = connection.execute(
        select(func.sum(Instance.size)).where(Instance.received_at > moment - _WINDOW_HOURS * _HOUR)
    ).scalar_one()
    results = connection.execute(select(func.sum(Result.size))).scalar_one()
    age = (moment - (first or moment)) / _HOUR
    return Stored(
        instances=int(total[0]),
        instance_bytes=int(total[1] or 0),
        result_bytes=int(results or 0),
        bytes_per_hour=float(recent or 0) / min(max(age, 1.0), _WINDOW_HOURS),
    )


def kept(connection: Connection) -> dict[str, dict[str, int]]:
    """What the rows say of received images by their state, and of results; files and bytes."""
    totals = select(Instance.state, func.count(), func.sum(Instance.size)).group_by(Instance.state)
    shown = {str(state): {"files": 0, "bytes": 0} for state in InstanceState}
    for state, count, size in connection.execute(totals):
        shown[state] = {"files": count, "bytes": int(size)}
    count, size = connection.execute(select(func.count(), func.sum(Result.size))).one()
    return shown | {"results": {"files": count, "bytes": int(size or 0)}}


def totals(connection: Connection) -> dict[str, Any]:
    """All of the above, and jobs, deliveries and commitments by state, for ``db.figures``."""
    return {
        "stored": asdict(stored(connection)),
        "jobs": jobs(connection),
        "deliveries": deliveries(connection),
        "commitments": commitments(connection),
    }


def jobs(connection: Connection) -> dict[str, int]:
    """How many jobs are in each state."""
    return _counted(connection, Job.state, JobState)


def deliveries(connection: Connection) -> dict[str, int]:
    """How many deliveries are in each state."""
    return _counted(connection, Delivery.state, DeliveryState)


def destinations(connection: Connection, known: Collection[str]) -> list[dict[str, Any]]:
    """Whether each destination can be reached, and how much waits for it.

    Parameters
    ----------
    connection
        A transaction.
    known
        Those in the settings; others are listed if something waits for them, which nobody takes.
    """
    waiting = _per_destination(connection, Delivery.state.in_(WAITING))
    held = _per_destination(connection, Delivery.state == DeliveryState.HELD)
    names = list(dict.fromkeys([*known, *waiting, *held]))
    # By name, so that the index of what is to be committed serves.
    uncommitted = _per_destination(
        connection, Delivery.destination.in_(names) & Delivery.commit_at.is_not(None)
    )
    away = {row.destination: row for row in connection.execute(select(Outage))}
    rows = []
    for name in names:
        outage = away.get(name)
        state = "unknown" if name not in known else "ok" if outage is None else "away"
        rows.append(
            {
                "name": name,
                "state": state,
                "waiting": waiting.get(name, 0),
                "held": held.get(name, 0),
                "uncommitted": uncommitted.get(name, 0),
                "away_since": iso(outage.since) if outage else None,
                "probes": outage.probes if outage else 0,
                "reason": outage.reason if outage else None,
            }
        )
    return rows


def paused(connection: Connection) -> list[dict[str, Any]]:
    """Models whose jobs nobody begins, since when and why; the name ``*`` stands for all."""
    return [
        {"name": each.name, "since": iso(each.since), "reason": each.reason}
        for each in holds.held(connection)
    ]


def disabled(connection: Connection) -> list[dict[str, Any]]:
    """Models that studies are not routed to, since when and why."""
    return [
        {"name": each.name, "since": iso(each.since), "reason": each.reason}
        for each in disabling.disabled(connection)
    ]


def due(connection: Connection) -> dict[str, Any]:
    """Studies that are complete and that no worker has looked at yet."""
    moment = now(connection)
    count, oldest = connection.execute(
        select(func.count(), func.min(Study.due_at)).where(Study.due_at <= moment)
    ).one()
    return {"studies": count, "oldest_seconds": None if oldest is None else _age(moment, oldest)}


def at_hand(connection: Connection) -> dict[str, int]:
    """Jobs that are being read, and results that go out, but for destinations that are away."""
    running = select(func.count()).where(Job.state == JobState.RUNNING)
    away = select(Outage.destination)
    to_send = select(func.count()).where(
        Delivery.state.in_(WAITING), Delivery.destination.not_in(away)
    )
    return {
        "running": connection.execute(running).scalar_one(),
        "to_send": connection.execute(to_send).scalar_one(),
    }


def failed(connection: Connection) -> dict[str, int]:
    """Jobs given up, and deliveries given up or refused, within a day."""
    since = now(connection) - _WINDOW_HOURS * _HOUR
    jobs_dead = select(func.count()).where(Job.state == JobState.DEAD, Job.finished_at > since)
    unsent = select(func.count()).where(Delivery.state.in_(_UNSENT), Delivery.run_at > since)
    return {
        "jobs": connection.execute(jobs_dead).scalar_one(),
        "deliveries": connection.execute(unsent).scalar_one(),
    }


def commitments(connection: Connection) -> dict[str, int]:
    """How many storage commitment requests are in each state."""
    return _counted(connection, Commitment.state, CommitmentState)


def _age(moment: float, since: float) -> float:
    return round(max(0.0, moment - since), 1)


def _per_destination(connection: Connection, condition: ColumnElement[bool]) -> dict[str, int]:
    found = connection.execute(
        select(Delivery.destination, func.count())
        .where(condition)
        .group_by(Delivery.destination)
        .order_by(Delivery.destination)
    )
    return {row[0]: row[1] for row in found}


def _counted(
    connection: Connection, column: InstrumentedAttribute[str], states: type[StrEnum]
) -> dict[str, int]:
    counts = dict.fromkeys(map(str, states), 0)
    for state, count in connection.execute(select(column, func.count()).group_by(column)):
        counts[state] = count
    return counts
