"""What a check finds, and how bad it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How a finding is to be taken, from the best to the worst."""

    OK = "ok"
    SKIPPED = "skipped"
    """Not looked at, and why."""
    WARNING = "warning"
    """It works, and should be looked at."""
    FAILED = "failed"
    """Something does not work, or soon will not."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    subject
        What was looked at, such as the name of a destination.
    verdict
        How it is.
    found
        What was found, with its figure.
    remedy
        What to do; empty where there is nothing to be done.
    """

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""

    def as_row(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


def ok(subject: str, found: str) -> Finding:
    """All is well."""
    return Finding(subject=subject, verdict=Verdict.OK, found=found)


def skipped(subject: str, why: str, remedy: str = "") -> Finding:
    """Nobody has looked."""
    return Finding(subject=subject, verdict=Verdict.SKIPPED, found=why, remedy=remedy)


def warning(subject: str, found: str, remedy: str) -> Finding:
    """It works, and should be looked at."""
    return Finding(subject=subject, verdict=Verdict.WARNING, found=found, remedy=remedy)


def failed(subject: str, found: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(subject=subject, verdict=Verdict.FAILED, found=found, remedy=remedy)
