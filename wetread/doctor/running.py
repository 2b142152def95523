"""Who runs: each role, its version, its alarms, and what the dead hold."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, false, func, or_, select

from db import holds, overview, processes
from db.engine import now
from db.processes import Seen
from db.schema import (
    EVERYTHING,
    Commitment,
    CommitmentState,
    Delivery,
    DeliveryState,
    Job,
    JobState,
    Outage,
)
from wetread.config import Settings
from wetread.doctor.finding import Finding, failed, ok, warning
from wetread.doctor.surroundings import Surroundings
from wetread.version import VERSION

_DOES = {
    "receive": "no image is taken",
    "work": "nothing is read",
    "deliver": "nothing is sent",
    "tidy": "nothing is removed, and the disk fills",
    "web": "nobody sees the dashboard",
}
_LEASED = (
    ("jobs", Job, JobState.RUNNING, "work"),
    ("deliveries", Delivery, DeliveryState.SENDING, "deliver"),
    ("commitment reports", Commitment, CommitmentState.REPORTING, "deliver"),
)
_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.5


def roles(surroundings: Surroundings) -> Iterator[Finding]:
    """Compare who says that it runs with who should."""
    seen, moment = _heard(surroundings)
    for role, count in wanted(surroundings.settings).items():
        yield _role(role, count, [each for each in seen if each.role == role], moment)
    running = [each for each in seen if not each.silent]
    versions = {each.version for each in running} | {VERSION}
    if len(versions) > 1:
        yield warning(
            "versions",
            f"{', '.join(sorted(versions))} run side by side (this command is {VERSION})",
            "install one version everywhere, and start the roles again",
        )
    for each in running:
        yield from _alarms(each)


def _heard(surroundings: Surroundings) -> tuple[list[Seen], float]:
    """Who was heard of, and the time; who has just started is given the time to say so."""
    until = time.monotonic() + processes.BEAT_SECONDS + 1.0
    while True:
        with surroundings.reading() as connection:
            seen, moment = processes.seen(connection), now(connection)
        running = Counter(each.role for each in seen if not each.silent)
        if running >= wanted(surroundings.settings) or time.monotonic() > until:
            return seen, moment
        time.sleep(_LOOK_SECONDS)


def wanted(settings: Settings) -> Counter[str]:
    """How many processes of each role there are on a host with these settings."""
    counts = Counter(settings.roles())
    counts.setdefault("work", 0)  # then there must be some on another host
    return counts


def _role(role: str, count: int, seen: list[Seen], moment: float) -> Finding:
    running = [each for each in seen if not each.silent]
    lost = [each for each in seen if each.silent]
    said = "; ".join(
        f"{each.host}, pid {each.pid}, has been silent for {moment - each.seen_at:.0f} s"
        for each in lost[-3:]
    )
    if not running:
        return failed(
            role,
            f"none runs: {_DOES[role]}" + (f" ({said})" if said else ""),
            "start the node ('wetread up', or its service), and look into its log for why it ended",
        )
    places = ", ".join(sorted({each.host for each in running}))
    shown = f"{len(running)} on {places}"
    if len(running) < count:
        return warning(
            role,
            f"{shown}; {count} are wanted" + (f" ({said})" if said else ""),
            "look into the log for why the others ended",
        )
    if lost:
        return warning(
            role,
            f"{shown}; others ended without a word ({said})",
            "look into the log: killed for memory, or a host that is gone",
        )
    return ok(role, shown)


def _alarms(process: Seen) -> Iterator[Finding]:
    """What a process has complained of, by its own account."""
    events: dict[str, Any] = process.details.get("events") or {}
    if events:
        shown = ", ".join(f"{name} {count}x" for name, count in sorted(events.items()))
        # No warning: of a node that has run for months there is always something.
        yield ok(f"{process.role}, pid {process.pid}", f"warned of since its start: {shown}")


def queue(surroundings: Surroundings) -> Iterator[Finding]:
    """Look for work that nobody does."""
    with surroundings.reading() as connection:
        yield from _leases(connection)
        yield from _given_up(connection)
        for each in holds.held(connection):
            name = "all models" if each.name == EVERYTHING else f"model {each.name}"
            yield warning(
                "paused",
                f"{name}" + (f": {each.reason}" if each.reason else ""),
                "'wetread models resume' goes on",
            )
        for outage in connection.execute(select(Outage)):
            yield warning(
                f"destination {outage.destination}",
                f"away for {now(connection) - outage.since:.0f} s: {outage.reason}",
                "mend what the check 'destinations' finds; what waits goes by itself",
            )


def _leases(connection: Connection) -> Iterator[Finding]:
    """Leases that ran out and that nobody takes back, and those of processes gone silent."""
    moment = now(connection)
    silent = _stems(processes.seen(connection))
    held = False
    for what, table, state, role in _LEASED:
        leased = select(func.count()).where(table.state == state)
        over = table.lease_until < moment - _GRACE_SECONDS
        left = connection.execute(leased.where(over)).scalar_one()
        owned = (table.lease_owner.startswith(each, autoescape=True) for each in silent)
        of_the_dead = leased.where(~over, or_(false(), *owned))
        dying = connection.execute(of_the_dead).scalar_one()
        held = held or bool(left or dying)
        if left:
            yield failed(
                "leases",
                f"{left} {what} were left by processes that are gone, and nobody takes them back",
                f"start a process of the role '{role}': it does",
            )
        if dying:
            yield warning(
                "leases",
                f"{dying} {what} are held by processes that have fallen silent",
                f"none, if another process of the role '{role}' runs: it takes them back when "
                "their leases run out; else start one",
            )
    if not held:
        yield ok("leases", "none is held by the dead")


def _stems(seen: list[Seen]) -> set[str]:
    """How the owners of leases of silent processes begin: with host, role and process ID."""
    stems = {silent: set[str]() for silent in (True, False)}
    for each in seen:
        stems[each.silent].add(each.owner.rpartition(":")[0] + ":")
    return stems[True] - stems[False]


def _given_up(connection: Connection) -> Iterator[Finding]:
    jobs, deliveries = overview.jobs(connection), overview.deliveries(connection)
    counts = Counter({f"jobs {JobState.DEAD}": jobs[JobState.DEAD]})
    for state in (DeliveryState.DEAD, DeliveryState.REFUSED, DeliveryState.HELD):
        counts[f"deliveries {state}"] = deliveries[state]
    found = [f"{count} {name}" for name, count in counts.items() if count]
    if found:
        yield warning(
            "given up",
            f"{', '.join(found)}",
            "'wetread jobs list --state dead' and '--delivery refused' say why; 'wetread jobs "
            "retry' begins anew",
        )
    else:
        yield ok("given up", "nothing is dead, refused or held")
