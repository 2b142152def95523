"""What is wrong with the node right now, and what to do: judged from ``wetread.condition``.

Each rule reads plain data and nothing else, so that the command line, the dashboard and the
metrics say the same. The names are stable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from db.jobs import URGENT
from wetread.certificates import WARN_DAYS
from wetread.words import shown_moment, shown_size, shown_span

Facts = Mapping[str, Any]

_CLOCK_SECONDS = 5.0
_LATE_SECONDS = 1800.0
_URGENT_LATE_SECONDS = 300.0
_LOST_AUDIT = ("audit.not_written", "audit.lost")


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something that a person must see to.

    Attributes
    ----------
    name
        Stable, for metrics and scripts.
    text, remedy
        What is wrong, and what to do; no patient data.
    """

    name: str
    text: str
    remedy: str


def alarms(facts: Facts) -> list[Alarm]:
    """All that is wrong, the gravest first.

    Parameters
    ----------
    facts
        What ``wetread.condition`` returns; its ``alarms`` are not looked at.
    """
    return [alarm for rule in RULES for alarm in rule(facts)]


def _roles(facts: Facts) -> Iterator[Alarm]:
    running = {each["role"] for each in facts["processes"] if not each["silent"]}
    if not running:
        yield Alarm(
            name="nothing-runs",
            text="no role runs on any host: nothing is received, read or sent",
            remedy="start the node with 'wetread up', or its service",
        )
        return
    lacking = {
        "receive": "images are refused",
        "work": f"{_waiting(facts)} wait to be read",
        "deliver": "results are not sent",
        "tidy": "nothing is removed, and the disk may fill",
    }
    for role, consequence in lacking.items():
        if role in facts["expected"] and role not in running:
            yield Alarm(
                name=f"no-{role}",
                text=f"no process of the role {role} runs on any host: {consequence}",
                remedy=f"start it with 'wetread {role}' or 'wetread up', and read 'wetread logs'",
            )


def _waiting(facts: Facts) -> str:
    jobs = sum(each["queued"] for each in facts["queue"])
    return f"{jobs} jobs and {facts['due']['studies']} studies"


def _silent(facts: Facts) -> Iterator[Alarm]:
    for each in facts["processes"]:
        if each["silent"] and not _replaced(each, facts):
            yield Alarm(
                name="role-silent",
                text=f"{each['role']} on {each['host']} (process {each['pid']}) is SILENT since "
                f"{each['seen_at']}",
                remedy="see whether the host runs and reaches the database; start the role again; "
                "what was left dead on purpose is forgotten after a day",
            )


def _replaced(gone: Facts, facts: Facts) -> bool:
    """Whether another process of the role began on the host after this one went silent."""
    return any(
        not each["silent"]
        and (each["role"], each["host"]) == (gone["role"], gone["host"])
        and each["started_at"] >= gone["seen_at"]
        for each in facts["processes"]
    )


def _versions(facts: Facts) -> Iterator[Alarm]:
    running = {each["version"] for each in facts["processes"] if not each["silent"]}
    if running - {facts["version"]}:
        yield Alarm(
            name="versions-differ",
            text=f"this command is wetread {facts['version']}, and there run "
            + ", ".join(sorted(running)),
            remedy="install the same version on every host and start all roles again",
        )


def _clocks(facts: Facts) -> Iterator[Alarm]:
    off = {
        each["host"]: each["clock_offset"]
        for each in facts["processes"]
        if not each["silent"] and abs(each["clock_offset"] or 0.0) > _CLOCK_SECONDS
    }
    for host, seconds in sorted(off.items()):
        yield Alarm(
            name="clock-off",
            text=f"the clock of {host} is {abs(seconds):.0f} s "
            f"{'ahead of' if seconds > 0 else 'behind'} the database's",
            remedy="let both hosts take their time from the same NTP server",
        )


def _late(facts: Facts) -> Iterator[Alarm]:
    for each in facts["queue"]:
        urgent = each["priority"] >= URGENT
        if each["oldest_seconds"] > (_URGENT_LATE_SECONDS if urgent else _LATE_SECONDS):
            yield Alarm(
                name="urgent-late" if urgent else "queue-late",
                text=f"{each['queued']} jobs of priority {each['priority']} are queued, the oldest "
                f"for {shown_span(each['oldest_seconds'])}",
                remedy="see whether models are paused and workers run; where all is well, start "
                "more workers ([worker] processes)",
            )


def _no_model(facts: Facts) -> Iterator[Alarm]:
    loaded = {(each["name"], each["version"]) for each in facts["models"]}
    for each in facts["queued_models"] if loaded else ():
        if (each["name"], each["version"]) not in loaded:
            yield Alarm(
                name="model-missing",
                text=f"{each['queued']} jobs wait for {each['name']} {each['version']}, which no "
                "worker has",
                remedy="install that version again, or cancel the jobs: wetread jobs cancel "
                f"--state queued --model {each['name']}",
            )


def _cpu(facts: Facts) -> Iterator[Alarm]:
    for each in facts["models"]:
        if not (each["beside_gpu"] and each["provider"].startswith("CPU")):
            continue
        yield Alarm(
            name="cpu-fallback",
            text=f"{each['name']} runs on the CPU of a host that has a GPU",
            remedy="install the extra 'cuda' of wetread, or mend the driver; 'wetread models "
            "check' names the provider",
        )


def _disk(facts: Facts) -> Iterator[Alarm]:
    disk = facts["disk"]
    if disk["state"] == "low":
        yield Alarm(
            name="disk-low",
            text=f"the disk is LOW: {shown_size(disk['free_bytes'])} are free, and images are "
            f"refused below {shown_size(disk['mark_bytes'])}",
            remedy="free some of it, or have [storage] remove what is read: 'wetread storage show'",
        )


def _destinations(facts: Facts) -> Iterator[Alarm]:
    for each in facts["destinations"]:
        if each["state"] == "away":
            yield Alarm(
                name="destination-away",
                text=f"{each['name']} is AWAY since {shown_moment(each['away_since'])} "
                f"({each['reason']}); {each['waiting']} results wait",
                remedy=f"see whether it runs: wetread echo {each['name']}; results go by "
                "themselves when it is back",
            )
        if each["state"] == "unknown":
            yield Alarm(
                name="destination-unknown",
                text=f"{each['waiting'] + each['held']} results wait for {each['name']}, which is "
                "not in the settings",
                remedy="add it as a [[destination]] again",
            )
        if each["held"]:
            yield Alarm(
                name="results-held",
                text=f"{each['held']} results for {each['name']} are HELD: it has the study under "
                "another patient",
                remedy="'wetread jobs list --delivery held' names the jobs; decide with "
                "'wetread jobs retry ID --unchecked' or 'wetread jobs cancel ID'",
            )


def _failed(facts: Facts) -> Iterator[Alarm]:
    if facts["failed"]["jobs"]:
        yield Alarm(
            name="jobs-dead",
            text=f"{facts['failed']['jobs']} jobs were given up within a day",
            remedy="'wetread jobs list --state dead' says why; mend it, then "
            "'wetread jobs retry ID'",
        )
    if facts["failed"]["deliveries"]:
        yield Alarm(
            name="deliveries-failed",
            text=f"{facts['failed']['deliveries']} results were given up or refused within a day",
            remedy="'wetread deliveries list --state dead' and '--state refused' say why; mend it, "
            "then 'wetread deliveries retry ID'",
        )


def _certificates(facts: Facts) -> Iterator[Alarm]:
    for each in facts["certificates"]:
        if each["trouble"]:
            yield Alarm(
                name="certificate-unreadable",
                text=each["trouble"],
                remedy="put a certificate there, and let the node's user read it",
            )
        elif each["days_left"] < 0:
            yield Alarm(
                name="certificate-expired",
                text=f"{each['file']} EXPIRED on {each['not_after'][:10]}",
                remedy="put a new certificate there and start the roles again",
            )
        elif each["days_left"] < WARN_DAYS:
            yield Alarm(
                name="certificate-expires",
                text=f"{each['file']} expires in {each['days_left']} days",
                remedy="put a new certificate there and start the roles again",
            )


def _audit(facts: Facts) -> Iterator[Alarm]:
    lost = sum(each["events"].get(name, 0) for each in facts["processes"] for name in _LOST_AUDIT)
    if lost:
        yield Alarm(
            name="audit-gap",
            text="the audit trail has a gap: messages could not be written",
            remedy="free the disk, or mend the way to the audit server; see docs/audit.md",
        )


RULES: tuple[Callable[[Facts], Iterator[Alarm]], ...] = (
    _roles,
    _disk,
    _destinations,
    _silent,
    _no_model,
    _late,
    _failed,
    _certificates,
    _cpu,
    _clocks,
    _versions,
    _audit,
)
"""The gravest first."""
