"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter on its upper half, and a cap on attempts.

    Attributes
    ----------
    attempts
        How often to try before giving up, at least 1.
    first_seconds, longest_seconds
        Wait after the first failure, and the longest wait.
    """

    attempts: int
    first_seconds: float
    longest_seconds: float

    def exhausted(self, attempts_made: int) -> bool:
        """Whether no attempt is left after ``attempts_made``."""
        return attempts_made >= self.attempts

    def wait(self, attempts_made: int) -> float:
        """Seconds to wait after ``attempts_made`` failures (at least 1).

        Doubles with each failure; between half of that and all of it, so that many failures at
        one moment do not come back at one moment.
        """
        # 2**30 first waits exceed any longest wait, and the power stays finite.
        longest = min(self.first_seconds * 2 ** min(attempts_made - 1, 30), self.longest_seconds)
        return float(longest * random.uniform(0.5, 1.0))
