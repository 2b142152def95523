"""Runs the checks one after the other; each is bounded in time, and one that breaks says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from db.errors import where
from wetread.doctor.finding import Finding, Verdict, failed, skipped
from wetread.doctor.surroundings import Surroundings


@dataclass(frozen=True, kw_only=True)
class Check:
    """One kind of thing to look at.

    Attributes
    ----------
    name
        What ``--only`` and ``--skip`` call it.
    area
        Under which heading it stands.
    looks_at
        What it looks at, in a few words.
    look
        Looks, and yields findings as they come.
    needs
        Names of checks without which it makes no sense: if one failed, this one is skipped.
    seconds
        It is given up after so long.
    """

    name: str
    area: str
    looks_at: str
    look: Callable[[Surroundings], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    seconds: float = 60.0


class UnknownCheck(Exception):
    """There is no check of this name; the message lists those that there are."""


@dataclass(frozen=True)
class Examined:
    """A finding, and the check that found it."""

    check: Check
    finding: Finding


def chosen(checks: Sequence[Check], only: Collection[str], skip: Collection[str]) -> list[Check]:
    """Choose checks, in their order; those that a chosen one needs are among them.

    Parameters
    ----------
    checks
        All that there are; each stands behind those that it needs.
    only
        Names of those to run; empty for all.
    skip
        Names of those not to run, whoever needs them.

    Raises
    ------
    UnknownCheck
        A name is none of theirs.
    """
    for name in [*only, *skip]:
        if name not in {each.name for each in checks}:
            known = ", ".join(each.name for each in checks)
            raise UnknownCheck(f"there is no check {name!r}; there are {known}")
    wanted = set(only) or {each.name for each in checks}
    for each in reversed(checks):
        if each.name in wanted:
            wanted |= set(each.needs)
    return [each for each in checks if each.name in wanted and each.name not in skip]


def examine(
    checks: Iterable[Check],
    surroundings: Surroundings,
    begins: Callable[[Check], None] = lambda _check: None,
) -> Iterator[Examined]:
    """Run checks; yields findings as they come.

    Parameters
    ----------
    checks
        Which, in order.
    surroundings
        What is looked at.
    begins
        Is told of each check before it looks.
    """
    broken: set[str] = set()
    for check in checks:
        begins(check)
        missing = [name for name in check.needs if name in broken]
        if missing:
            broken.add(check.name)
            yield Examined(check, skipped(check.name, f"not looked at: see {missing[0]}"))
            continue
        for finding in _bounded(check, surroundings):
            if finding.verdict is Verdict.FAILED:
                broken.add(check.name)
            yield Examined(check, finding)


def _bounded(check: Check, surroundings: Surroundings) -> Iterator[Finding]:
    """What a check finds within its time."""
    found: SimpleQueue[Finding | None] = SimpleQueue()
    # A daemon: whoever hangs in a call of the system does not keep the command from ending.
    threading.Thread(target=_look, args=(check, surroundings, found.put), daemon=True).start()
    deadline = time.monotonic() + check.seconds
    while True:
        try:
            finding = found.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            yield failed(
                check.name,
                f"no answer within {check.seconds:g} s",
                f"look at what it looks at by hand: {check.looks_at}",
            )
            return
        if finding is None:
            return
        yield finding


def _look(check: Check, surroundings: Surroundings, put: Callable[[Finding | None], None]) -> None:
    try:
        for finding in check.look(surroundings):
            put(finding)
    except Exception as error:  # noqa: BLE001 - what nobody thought of is a finding, too
        put(
            failed(
                check.name,
                f"the check itself broke: {where(error)}",
                "look at what it looks at by hand, and report this to whoever maintains wetread",
            )
        )
    finally:
        put(None)
