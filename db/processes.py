"""Which processes of the node run, on whatever host: each says so every few seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, update

from db.engine import insert_ignoring, now
from db.schema import Process

BEAT_SECONDS = 5.0
"""How often a process says that it runs."""

SILENT_SECONDS = 20.0
"""A process that says nothing for so long is taken to be dead or cut off."""

_FORGET_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Running:
    """A process, as it introduces itself.

    Attributes
    ----------
    owner
        A name that no other process bears, now or later.
    role
        "receive", "work", "deliver", "tidy" or "web".
    host, pid, version
        Where it runs, and which wetread it is.
    """

    owner: str
    role: str
    host: str
    pid: int
    version: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A process as it was heard of last; times are seconds since 1970.

    Attributes
    ----------
    silent
        Whether it has said nothing for ``SILENT_SECONDS``.
    details
        What it says of itself, such as a worker's models and the device they run on.
    """

    owner: str
    role: str
    host: str
    pid: int
    version: str
    started_at: float
    seen_at: float
    silent: bool
    details: Mapping[str, Any]


def beat(connection: Connection, process: Running, details: Mapping[str, Any]) -> None:
    """Say that a process runs."""
    moment, told = now(connection), json.dumps(details, sort_keys=True)
    known = update(Process).where(Process.owner == process.owner)
    if connection.execute(known.values(seen_at=moment, details=told)).rowcount:
        return
    values = {**vars(process), "started_at": moment, "seen_at": moment, "details": told}
    insert_ignoring(connection, Process, values)
    connection.execute(delete(Process).where(Process.seen_at < moment - _FORGET_SECONDS))


def leave(connection: Connection, owner: str) -> None:
    """Say that a process ends in good order."""
    connection.execute(delete(Process).where(Process.owner == owner))


def seen(connection: Connection) -> list[Seen]:
    """All processes that run or went silent within a day, by role and start."""
    moment = now(connection)
    rows = connection.execute(select(Process).order_by(Process.role, Process.started_at))
    return [
        Seen(
            owner=row.owner,
            role=row.role,
            host=row.host,
            pid=row.pid,
            version=row.version,
            started_at=row.started_at,
            seen_at=row.seen_at,
            silent=row.seen_at < moment - SILENT_SECONDS,
            details=json.loads(row.details),
        )
        for row in rows
    ]
