"""Decisions: what a model's numbers mean at the operating points of its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.sr.coding import Code

from inference.manifest import (
    ClassificationSection,
    DetectionSection,
    GradeSection,
    Manifest,
    UrgencySection,
)
from sr.findings import Decision, Grade, Normality, Probability, Region, Urgency

_NORMAL = Code("17621005", "SCT", "Normal")
_GRAVITY = {Normality.NORMAL: 0, Normality.INDETERMINATE: 1, Normality.ABNORMAL: 2}


def decide(
    section: ClassificationSection, probabilities: Sequence[Probability]
) -> tuple[Decision, int]:
    """Apply the operating point of a classification.

    Returns
    -------
    tuple
        The decision, and the index of its leading class: for a normal image the normal class,
        else the most probable abnormal one.
    """
    normal = next(i for i, each in enumerate(section.classes) if each.normal)
    abnormal_probability = clipped(1.0 - probabilities[normal].value)
    normality = _normality(abnormal_probability, section.threshold, section.indeterminate)
    leading = normal
    if normality is not Normality.NORMAL:
        leading = most_probable_abnormal(section, probabilities)
    decision = Decision(
        normality=normality,
        abnormal_probability=abnormal_probability,
        threshold=section.threshold,
        leading=probabilities[leading],
        band=section.indeterminate,
    )
    return decision, leading


def most_probable_abnormal(
    section: ClassificationSection, probabilities: Sequence[Probability]
) -> int:
    """Return the index of the most probable class that is not the normal one."""
    others = [i for i, each in enumerate(section.classes) if not each.normal]
    return max(others, key=lambda i: probabilities[i].value)


def decide_by_grade(section: GradeSection, grade: Grade) -> Decision | None:
    """Apply the operating point of a grade; None if the manifest gives it none.

    The probability of abnormality is that of ``abnormal_from`` and all levels above. The leading
    level is the most probable one on the side of the answer.
    """
    if section.abnormal_from is None:
        return None
    sound, ill = grade.levels[: section.abnormal_from], grade.levels[section.abnormal_from :]
    abnormal_probability = clipped(sum(each.value for each in ill))
    normality = _normality(abnormal_probability, section.threshold, section.indeterminate)
    side = sound if normality is Normality.NORMAL else ill
    return Decision(
        normality=normality,
        abnormal_probability=abnormal_probability,
        threshold=section.threshold,
        leading=max(side, key=lambda each: each.value),
        band=section.indeterminate,
    )


def decide_by_boxes(section: DetectionSection, boxes: Sequence[Region]) -> Decision:
    """Apply the operating point of a detector: the surest box decides.

    Parameters
    ----------
    section
        The manifest's ``[detection]``.
    boxes
        The surest first, that one even if it is below the operating point; possibly none.
    """
    best = boxes[0].finding.value if boxes else 0.0
    normality = _normality(best, section.threshold, None)
    leading = Probability(finding=_NORMAL, label="normal", value=1.0 - best)
    if normality is Normality.ABNORMAL:
        leading = boxes[0].finding
    return Decision(
        normality=normality,
        abnormal_probability=best,
        threshold=section.threshold,
        leading=leading,
    )


def gravest(decisions: Iterable[Decision]) -> Decision | None:
    """Return the most abnormal decision, None of none."""
    return max(
        decisions, key=lambda d: (_GRAVITY[d.normality], d.abnormal_probability), default=None
    )


def urgency(manifest: Manifest, decisions: Sequence[Decision]) -> Urgency | None:
    """Apply the manifest's rule for what cannot wait.

    Parameters
    ----------
    manifest
        The package's manifest.
    decisions
        For the study as a whole, or for each image; at least one if there is a rule.

    Returns
    -------
    Urgency or None
        None without an ``[urgency]`` section. Urgent if any decision is abnormal with at least
        the threshold; else undecided if any is indeterminate; else not urgent.
    """
    rule = manifest.urgency
    if rule is None:
        return None
    if any(_cannot_wait(rule, each) for each in decisions):
        return Urgency(urgent=True, category=rule.category, statement=rule.urgent)
    if any(each.normality is Normality.INDETERMINATE for each in decisions):
        return Urgency(urgent=None, category=None, statement=rule.undecided)
    return Urgency(urgent=False, category=None, statement=rule.routine)


def _cannot_wait(rule: UrgencySection, decision: Decision) -> bool:
    least = decision.threshold if rule.threshold is None else rule.threshold
    return decision.normality is Normality.ABNORMAL and decision.abnormal_probability >= least


def _normality(
    abnormal_probability: float, threshold: float, band: tuple[float, float] | None
) -> Normality:
    if band is not None and band[0] <= abnormal_probability < band[1]:
        return Normality.INDETERMINATE
    return Normality.ABNORMAL if abnormal_probability >= threshold else Normality.NORMAL


def clipped(value: float) -> float:
    """Return a probability that rounding may have put just outside 0..1, inside."""
    return min(1.0, max(0.0, float(value)))
