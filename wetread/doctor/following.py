"""Follows a study through the tables: when each step was done, or where it stands still and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from db import holds, stats
from db.schema import AT_DESTINATION, EVERYTHING, WAITING, DeliveryState, JobState, Outage
from wetread.doctor.finding import Finding, failed, ok, skipped, warning
from wetread.doctor.surroundings import Surroundings

_LOOK_SECONDS = 0.3
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING)
Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Following:
    """One study, followed until a moment.

    Attributes
    ----------
    surroundings
        Whose node.
    study_uid
        The study.
    deadline
        By the monotonic clock.
    """

    surroundings: Surroundings
    study_uid: str
    deadline: float

    def steps(self) -> Iterator[Finding]:
        """Each step as it is done; the last may say why there is no other."""
        study, jobs = self._until(self._routed, lambda found: bool(found[1]))
        if not jobs:
            yield failed(
                "routed",
                f"no worker has taken the study: it is {study['state']}, due at {study['due_at']}",
                "start a worker; if it is not due yet, [study] quiet_seconds is longer than this "
                "command waits (--wait)",
            )
            return
        jobs = self._until(
            self._jobs, lambda found: all(each["state"] not in _UNFINISHED for each in found)
        )
        for each in jobs:
            yield self._read(each, study)
        done = [each["id"] for each in jobs if each["state"] == JobState.DONE]
        if done:
            yield from self._delivered(done, jobs[0]["reason"])

    def _until(self, look: Callable[[Connection], T], enough: Callable[[T], bool]) -> T:
        """Look again and again until it is enough, or time is up; what was seen last."""
        while True:
            with self.surroundings.reading() as connection:
                found = look(connection)
            if enough(found) or time.monotonic() > self.deadline:
                return found
            time.sleep(_LOOK_SECONDS)

    def _routed(self, connection: Connection) -> tuple[Row, list[Row]]:
        return stats.study(connection, self.study_uid), self._jobs(connection)

    def _jobs(self, connection: Connection) -> list[Row]:
        return stats.jobs(connection, study_uid=self.study_uid)

    def _read(self, job: Row, study: Row) -> Finding:
        subject = f"read by {job['model']}" if job["model"] else "read"
        if job["state"] == JobState.DONE:
            return ok(
                subject,
                "complete "
                f"{_seconds(study['first_received_at'], job['created_at'])} after it came, "
                f"begun {_seconds(job['created_at'], job['started_at'])} later, "
                f"read in {_seconds(job['started_at'], job['finished_at'])}",
            )
        if job["state"] in _UNFINISHED:
            paused = self._paused(job["model"])
            return failed(
                subject,
                f"job {job['id']} is {job['state']} still" + (f": {paused}" if paused else ""),
                "'wetread models resume' goes on"
                if paused
                else "see the checks 'roles' and 'queue', and whether workers keep up ('wetread "
                "jobs list --state queued')",
            )
        return failed(
            subject,
            f"job {job['id']} is {job['state']}: {job['reason']}",
            "install or enable a model that reads a chest"
            if job["state"] == JobState.SKIPPED
            else f"'wetread jobs show {job['id']} --traceback' says where",
        )

    def _paused(self, model: str) -> str:
        with self.surroundings.reading() as connection:
            names = {each.name for each in holds.held(connection)}
        return "its model is paused" if names & {model, EVERYTHING} else ""

    def _delivered(self, job_ids: list[int], reason: str | None) -> Iterator[Finding]:
        given = self.surroundings.settings.destination
        asked = {each.name for each in given if each.commitment}

        def look(connection: Connection) -> list[Row]:
            return [each for job_id in job_ids for each in stats.deliveries(connection, job_id)]

        rows = self._until(look, lambda found: not any(_waits(each, asked) for each in found))
        for each in given:
            mine = [row for row in rows if row["destination"] == each.name]
            if mine:
                yield self._arrived(each.name, mine, each.name in asked)
            else:
                yield skipped(each.name, reason or "its profile wants none of these results")

    def _arrived(self, name: str, rows: list[Row], asked: bool) -> Finding:
        late = [each for each in rows if each["state"] not in AT_DESTINATION]
        if late:
            return self._not_arrived(name, late)
        last = max(each["sent_at"] for each in rows)
        with self.surroundings.reading() as connection:
            finished = max(each["finished_at"] or "" for each in self._jobs(connection))
        shown = f"{len(rows)} results sent within {_seconds(finished, last)} of the reading"
        if not asked:
            return ok(name, shown)
        uncommitted = [each for each in rows if each["state"] != DeliveryState.COMMITTED]
        if uncommitted:
            return warning(
                name,
                f"{shown}; it has not committed to keeping {len(uncommitted)} of them yet",
                "some archives commit by night only; else see that it knows our AE title, host "
                "and port for its report ('wetread status' counts what is not committed)",
            )
        committed = max(each["committed_at"] for each in rows)
        return ok(name, f"{shown}, committed {_seconds(last, committed)} later")

    def _not_arrived(self, name: str, late: list[Row]) -> Finding:
        first = late[0]
        with self.surroundings.reading() as connection:
            away = connection.execute(
                select(Outage.reason).where(Outage.destination == name)
            ).scalar_one_or_none()
        why = first["reason"] or (away and f"it is away: {away}") or "no courier has taken it"
        found = f"{first['kind']} is {first['state']}: {why}"
        if first["state"] == DeliveryState.HELD:
            return warning(
                name,
                f"{found} (check_patient asks it, and it does not know this patient)",
                "that is as it should be for a patient whom it does not know; to try the rest of "
                "the way, send the test study there first",
            )
        return failed(name, found, "see the checks 'destinations', 'roles' and 'queue'")


def _waits(row: Row, asked: set[str]) -> bool:
    uncommitted = row["state"] == DeliveryState.SENT and row["destination"] in asked
    return row["state"] in WAITING or uncommitted


def _seconds(begin: str, end: str) -> str:
    """Time between two moments, as ``db.stats`` gives them."""
    passed = datetime.fromisoformat(end) - datetime.fromisoformat(begin)
    return f"{max(0.0, passed.total_seconds()):.1f} s"
