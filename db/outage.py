"""Destinations that cannot be reached: a row for each, and when to look for it again.

Its deliveries wait meanwhile and lose no attempt. One of all couriers at a time takes the probe: it
tries one delivery, and if the destination is back, all go.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from db.engine import insert_ignoring, now
from db.schema import Outage

_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 30.0


@dataclass(frozen=True)
class Away:
    """A destination that cannot be reached.

    Attributes
    ----------
    due
        Whether it is time to look for it.
    """

    due: bool


def find(connection: Connection, destination: str) -> Away | None:
    """Whether a destination is away; cheap, and takes no lock."""
    probe_at = connection.execute(
        select(Outage.probe_at).where(Outage.destination == destination)
    ).scalar_one_or_none()
    return None if probe_at is None else Away(due=probe_at <= now(connection))


def take_probe(connection: Connection, destination: str) -> bool:
    """Take it upon oneself to look for a destination; False if somebody else does, or did.

    Who takes it and dies delays the next probe, and nothing else.
    """
    moment = now(connection)
    taken = connection.execute(
        update(Outage)
        .where(Outage.destination == destination, Outage.probe_at <= moment)
        .values(probe_at=moment + _LONGEST_SECONDS)
    )
    return taken.rowcount == 1


def begin(connection: Connection, destination: str, reason: str) -> bool:
    """Note that a destination could not be reached; whether that is news.

    Each time in a row the next probe comes later: after 1 second, 2, 4, and at most 30.
    """
    moment = now(connection)
    values: dict[str, object] = {
        "destination": destination,
        "since": moment,
        "probes": 0,
        "probe_at": moment + _FIRST_SECONDS,
        "reason": reason,
    }
    if insert_ignoring(connection, Outage, values) is not None:
        return True
    mine = Outage.destination == destination
    probes = connection.execute(select(Outage.probes).where(mine).with_for_update()).scalar() or 0
    wait = min(_FIRST_SECONDS * 2 ** min(probes + 1, 10), _LONGEST_SECONDS)
    connection.execute(
        update(Outage).where(mine).values(probes=probes + 1, probe_at=moment + wait, reason=reason)
    )
    return False


def end(connection: Connection, destination: str) -> float | None:
    """Note that a destination can be reached; for how many seconds it was away."""
    since = connection.execute(
        delete(Outage).where(Outage.destination == destination).returning(Outage.since)
    ).scalar_one_or_none()
    return None if since is None else now(connection) - since
