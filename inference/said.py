"""What a reading says, in a few words and numbers, for the queue and for watching drift.

It holds the model's own labels and nothing of the patient.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from inference.answers import gravest
from sr.findings import Decision, ImageReading, Probability, Reading

_DIGITS = 4


def said(reading: Reading) -> str:
    """Put a reading into JSON.

    Returns
    -------
    str
        An object with ``answer`` ("normal", "abnormal", "indeterminate" or null),
        ``abnormal_probability`` (0..1) and ``leading`` (the label of the class) of the gravest
        decision, ``urgent`` (true, false, null), ``probabilities`` by label, ``scores`` and
        ``grades`` by name, ``regions`` and ``segments`` (how many), and ``images`` (how many say
        something).
    """
    decisions = _decisions(reading)
    decision = gravest(each for each, _ in decisions)
    shown = _shown(reading, decision)
    found = (each for made, each in decisions if made is decision)
    probabilities = next(found, shown.probabilities)
    value: dict[str, Any] = {
        "answer": decision.normality.value if decision else None,
        "abnormal_probability": _rounded(decision.abnormal_probability) if decision else None,
        "leading": decision.leading.label if decision else None,
        "urgent": reading.urgency.urgent if reading.urgency else None,
        "probabilities": {each.label: _rounded(each.value) for each in probabilities},
        "scores": {each.name.meaning: _rounded(each.value) for each in shown.scores},
        "grades": {each.name.meaning: each.stated.label for each in shown.grades},
        "regions": sum(len(each.regions) for each in reading.images),
        "segments": sum(bool(s.mask.any()) for each in reading.images for s in each.segments),
        "images": len(reading.images),
    }
    return json.dumps(value, ensure_ascii=False)


def _decisions(reading: Reading) -> list[tuple[Decision, Sequence[Probability]]]:
    if reading.study is not None:
        return [(reading.study.decision, reading.study.probabilities)]
    return [(each.decision, each.probabilities) for each in reading.images if each.decision]


def _shown(reading: Reading, decision: Decision | None) -> ImageReading:
    """The image that the decision is about, else the first."""
    about = (each for each in reading.images if each.decision is decision)
    return next(about, reading.images[0])


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)
