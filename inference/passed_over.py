"""What a job does not read, between the row that keeps it and the reading that tells it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from inference.routing import NO_IMAGE
from sr.findings import NotAssessed
from sr.reasons import Reason


def to_record(passed_over: Iterable[NotAssessed]) -> str | None:
    """Return what the job's row keeps; None if there is nothing to tell."""
    told = [each for each in passed_over if each.reason != NO_IMAGE]
    if not told:
        return None
    return json.dumps([{"images": each.images, **each.reason.record()} for each in told])


def from_record(record: str | None) -> tuple[NotAssessed, ...]:
    """Return what ``to_record`` made the record of."""
    return tuple(
        NotAssessed(images=each["images"], reason=Reason.recorded(each))
        for each in json.loads(record or "[]")
    )
