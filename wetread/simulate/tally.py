"""What became of the studies of a run."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from wetread.simulate.plan import Kind


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one study.

    Attributes
    ----------
    number, kind
        Of the study.
    instances, stored
        How many it has, and how many the peer has now.
    sent_bytes
        Of those that it has.
    seconds
        From the request for an association to its release.
    statuses
        How often each came: four hexadecimal digits, or "none" where no answer came.
    reasons
        How often each reason came why an instance was not stored.
    no_association
        Whether the peer could not be reached at all, or did not let us in.
    """

    number: int
    kind: Kind
    instances: int
    stored: int
    sent_bytes: int
    seconds: float
    statuses: Counter[str]
    reasons: Counter[str]
    no_association: bool = False

    @property
    def complete(self) -> bool:
        """Whether the peer has the whole study."""
        return self.stored == self.instances


@dataclass
class Tally:
    """Adds up outcomes; memory grows by one number per study."""

    studies: int = 0
    complete: int = 0
    instances: int = 0
    stored: int = 0
    sent_bytes: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    _seconds: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one study."""
        self.studies += 1
        self.complete += outcome.complete
        self.instances += outcome.instances
        self.stored += outcome.stored
        self.sent_bytes += outcome.sent_bytes
        self.kinds[outcome.kind] += 1
        self.statuses += outcome.statuses
        self.reasons += outcome.reasons
        if not outcome.no_association:
            self._seconds.append(outcome.seconds)

    def summary(self, elapsed_seconds: float) -> dict[str, Any]:
        """What is told at the end; times of studies are None where no study was sent."""
        over = max(elapsed_seconds, 1e-9)
        return {
            "studies": self.studies,
            "studies_stored": self.complete,
            "studies_by_kind": dict(self.kinds),
            "instances": self.instances,
            "instances_stored": self.stored,
            "bytes": self.sent_bytes,
            "statuses": dict(self.statuses),
            "reasons": dict(self.reasons),
            "elapsed_seconds": round(elapsed_seconds, 3),
            "study_seconds_median": _rounded(self._seconds, 0.5),
            "study_seconds_p95": _rounded(self._seconds, 0.95),
            "studies_per_minute": round(60 * self.complete / over, 1),
            "instances_per_second": round(self.stored / over, 1),
            "megabytes_per_second": round(self.sent_bytes / over / 1e6, 2),
        }


def _rounded(seconds: list[float], share: float) -> float | None:
    """The median, or the least value that at least this share does not exceed."""
    if not seconds:
        return None
    if share == 0.5:
        return round(statistics.median(seconds), 3)
    return round(sorted(seconds)[math.ceil(share * len(seconds)) - 1], 3)
