"""Reads the jobs of a batch together; what the model fails on fails alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from inference import study
from inference.opening import Opened
from inference.runtime import Model
from inference.study import Seen
from sr.findings import Reading


@dataclass(frozen=True)
class Read:
    """What was read of a job's study.

    Attributes
    ----------
    reading
        The reading, or why there is none.
    seconds
        The job's share of the model's time.
    """

    reading: Reading | Exception
    seconds: float


def read_together(model: Model, opened: Sequence[Opened]) -> list[Read]:
    """Read what could be decoded of each job; one for each, in their order."""
    read = iter(_read(model, [each.seen for each in opened if isinstance(each.seen, Seen)]))
    return [next(read) if isinstance(each.seen, Seen) else Read(each.seen, 0.0) for each in opened]


def _read(model: Model, seen: Sequence[Seen]) -> list[Read]:
    if not seen:
        return []
    started = time.perf_counter()
    readings: Sequence[Reading | Exception]
    try:
        readings = study.read_together(model, seen)
    except Exception as error:  # noqa: BLE001 - raised again where the job is concluded
        if len(seen) > 1:
            return [read for each in seen for read in _read(model, [each])]
        readings = [error]
    share = (time.perf_counter() - started) / len(seen)
    return [Read(each, share) for each in readings]
