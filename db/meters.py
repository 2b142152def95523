"""Numbers that only grow, for ``/metrics``; they outlive restarts, and the rows they count.

A histogram is kept as a count for each of its buckets, by the label ``le`` of its upper bound, and
not cumulated; and as the sum of what was observed.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from db.schema import Meter

Key = tuple[str, str]
"""A name, and labels as JSON with sorted keys."""

INFINITY = "+Inf"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_BATCHES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


@dataclass(frozen=True)
class Tally:
    """Something that is counted.

    Attributes
    ----------
    name
        Without ``_total``.
    meaning
        One sentence.
    labels
        What it is counted by.
    """

    name: str
    meaning: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Histogram(Tally):
    """Something that is measured; ``bounds`` are the upper ones of its buckets, ascending."""

    bounds: tuple[float, ...] = _SECONDS


INSTANCES = Tally("instances_received", "Instances received.", ("modality",))
BYTES = Tally("received_bytes", "Bytes of the instances received.", ("modality",))
JOBS = Tally("jobs_ended", "Jobs that came to an end, by how.", ("model", "state"))
ANSWERS = Tally("answers", "Answers of done jobs; none: the model decides nothing.",
                ("model", "answer"))  # fmt: skip
LEADING = Tally("leading_answers", "Leading class of the decision of done jobs.",
                ("model", "label"))  # fmt: skip
SENT = Tally("deliveries_sent", "Results that a destination took.", ("destination",))
COMMITTED = Tally("deliveries_committed", "Results that a destination committed to keeping.",
                  ("destination",))  # fmt: skip
EVENTS = Tally("log_events", "Warnings and errors in the log.", ("role", "level", "event"))

PROBABILITY = Histogram("abnormal_probability", "Probability of abnormality that jobs reported.",
                        ("model",), _TENTHS)  # fmt: skip
BATCH = Histogram("batch_jobs", "For each done job, how many were read together.",
                  ("model",), _BATCHES)  # fmt: skip
COMPLETION = Histogram("completion_seconds", "From a job's last image to the job.", ("model",))
WAITING = Histogram("waiting_seconds", "From the job to the start of its last attempt.",
                    ("model",))  # fmt: skip
READING = Histogram("reading_seconds", "From the start of the last attempt to its end.",
                    ("model",))  # fmt: skip
DELIVERY = Histogram("delivery_seconds", "From a result to its arrival at the destination.",
                     ("destination",))  # fmt: skip
TURNAROUND = Histogram("turnaround_seconds",
                       "From a job's last image to the arrival of each result.",
                       ("model",))  # fmt: skip

TALLIES = (INSTANCES, BYTES, JOBS, ANSWERS, LEADING, SENT, COMMITTED, EVENTS)
HISTOGRAMS = (PROBABILITY, BATCH, COMPLETION, WAITING, READING, DELIVERY, TURNAROUND)


class Increments:
    """What is to be added to the meters."""

    def __init__(self) -> None:
        self._values: Counter[Key] = Counter()

    def count(self, tally: Tally, *labels: str, by: float = 1) -> None:
        """Count something; labels in the order of the tally's."""
        self._add(tally.name, dict(zip(tally.labels, labels, strict=True)), by)

    def observe(self, histogram: Histogram, value: float, *labels: str) -> None:
        """Put a measured value into its bucket."""
        named = dict(zip(histogram.labels, labels, strict=True))
        place = bisect_left(histogram.bounds, value)
        bound = str(histogram.bounds[place]) if place < len(histogram.bounds) else INFINITY
        self._add(histogram.name, named | {"le": bound}, 1)
        self._add(sum_of(histogram), named, value)

    def items(self) -> Iterable[tuple[Key, float]]:
        """All of them in the order in which they are written, whoever does it."""
        return sorted(self._values.items())

    def __bool__(self) -> bool:
        return bool(self._values)

    def _add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        self._values[name, key(labels)] += value  # type: ignore[assignment]


def sum_of(histogram: Histogram) -> str:
    """Under which name the sum of what was observed is kept."""
    return f"{histogram.name}_sum"


def key(labels: Mapping[str, str]) -> str:
    """Labels as they are kept."""
    return json.dumps(labels, sort_keys=True, ensure_ascii=False)


def add(connection: Connection, increments: Increments) -> None:
    """Add to the meters."""
    rows = [
        {"name": name, "labels": labels, "value": value}
        for (name, labels), value in increments.items()
    ]
    if not rows:
        return
    insert: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(Meter)
    summed = Meter.value + statement.excluded.value
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[Meter.name, Meter.labels], set_={"value": summed}
        ),
        rows,
    )


def values(connection: Connection) -> dict[str, list[tuple[dict[str, str], float]]]:
    """All meters: labels and value, by name."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    rows = connection.execute(
        select(Meter.name, Meter.labels, Meter.value).order_by(Meter.name, Meter.labels)
    )
    for name, labels, value in rows:
        found.setdefault(name, []).append((json.loads(labels), value))
    return found
