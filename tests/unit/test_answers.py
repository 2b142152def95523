"""Operating points of every kind of output, and what cannot wait."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.sr.coding import Code

from inference.answers import decide_by_boxes, decide_by_grade, gravest, urgency
from inference.manifest import DetectionSection, GradeSection, Manifest, UrgencySection
from sr.findings import Decision, Grade, Normality, Probability, Region

CODE = {"value": "1", "scheme": "99TEST", "meaning": "m"}
BAD, GOOD, UNSURE = Normality.ABNORMAL, Normality.NORMAL, Normality.INDETERMINATE


def probability(value: float, label: str = "x") -> Probability:
    return Probability(finding=Code("1", "99TEST", "m"), label=label, value=value)


def graded(*values: float) -> Grade:
    levels = tuple(probability(value, str(level)) for level, value in enumerate(values))
    return Grade(name=Code("2", "99TEST", "g"), levels=levels, level=values.index(max(values)))


def grade_section(**changes: Any) -> GradeSection:
    levels = [{"label": str(level), "code": CODE} for level in range(4)]
    values = {"output": "g", "code": CODE, "abnormal_from": 2, "level": levels}
    return GradeSection.model_validate(values | changes)


@pytest.mark.parametrize(
    ("values", "band", "normality", "leading"),
    [
        ((0.6, 0.2, 0.1, 0.1), None, GOOD, "0"),
        ((0.2, 0.4, 0.2, 0.2), None, GOOD, "1"),
        ((0.4, 0.1, 0.2, 0.3), None, BAD, "3"),  # though level 0 is the likeliest
        ((0.0, 0.5, 0.3, 0.2), None, BAD, "2"),  # exactly at the operating point
        ((0.1, 0.5, 0.3, 0.1), (0.3, 0.6), UNSURE, "2"),
        ((0.1, 0.2, 0.5, 0.2), (0.3, 0.6), BAD, "2"),
        ((0.4, 0.4, 0.1, 0.1), (0.3, 0.6), GOOD, "0"),
    ],
)
def test_the_levels_from_abnormal_from_on_are_compared_with_the_threshold(
    values: tuple[float, ...], band: tuple[float, float] | None, normality: Normality, leading: str
) -> None:
    found = decide_by_grade(grade_section(indeterminate=band), graded(*values))
    assert found is not None
    assert found.normality is normality
    assert found.abnormal_probability == pytest.approx(values[2] + values[3])
    assert found.leading.label == leading
    assert (found.threshold, found.band) == (0.5, band)


def test_a_grade_without_abnormal_from_decides_nothing() -> None:
    assert decide_by_grade(grade_section(abnormal_from=None), graded(0.1, 0.2, 0.3, 0.4)) is None


def test_levels_that_sum_to_a_little_over_1_are_still_a_probability() -> None:
    found = decide_by_grade(grade_section(), graded(0.0, 0.0, 0.6, 0.4001))
    assert found is not None
    assert found.abnormal_probability == 1.0


def region(score: float) -> Region:
    return Region(finding=probability(score, "mass"), left=0, top=0, right=1, bottom=1)


DETECTION = DetectionSection.model_validate(
    {
        "boxes": "b",
        "scores": "s",
        "threshold": 0.5,
        "operating_point": "o",
        "class": [{"label": "mass", "code": CODE}],
    }
)


@pytest.mark.parametrize(
    ("scores", "normality", "abnormal", "leading"),
    [
        ((0.7, 0.6), BAD, 0.7, "mass"),
        ((0.5,), BAD, 0.5, "mass"),
        ((0.4,), GOOD, 0.4, "normal"),
        ((), GOOD, 0.0, "normal"),
    ],
)
def test_the_surest_box_decides(
    scores: tuple[float, ...], normality: Normality, abnormal: float, leading: str
) -> None:
    found = decide_by_boxes(DETECTION, [region(each) for each in scores])
    assert (found.normality, found.abnormal_probability) == (normality, abnormal)
    assert found.leading.label == leading
    if leading == "normal":
        assert found.leading.finding == Code("17621005", "SCT", "Normal")
        assert found.leading.value == pytest.approx(1 - abnormal)


def decision(normality: Normality, abnormal: float, threshold: float = 0.5) -> Decision:
    return Decision(
        normality=normality,
        abnormal_probability=abnormal,
        threshold=threshold,
        leading=probability(0.5),
    )


def test_the_gravest_decision_is_by_answer_and_then_by_probability() -> None:
    normal, unsure = decision(GOOD, 0.7, 0.8), decision(UNSURE, 0.6)
    bad, worse = decision(BAD, 0.3, 0.2), decision(BAD, 0.9)
    assert gravest([normal, unsure, bad, worse]) is worse
    assert gravest([normal, unsure, bad]) is bad
    assert gravest([normal, unsure]) is unsure
    assert gravest([]) is None


def ruled(threshold: float | None) -> Manifest:
    rule = UrgencySection(
        threshold=threshold, category=2, urgent="red", routine="green", undecided="yellow"
    )
    return Manifest.model_construct(urgency=rule)


@pytest.mark.parametrize(
    ("decisions", "threshold", "urgent"),
    [
        ([(BAD, 0.9)], 0.8, True),
        ([(BAD, 0.8)], 0.8, True),
        ([(BAD, 0.7)], 0.8, False),  # abnormal, and can wait
        ([(BAD, 0.7)], None, True),  # the operating point
        ([(GOOD, 0.1)], None, False),
        ([(UNSURE, 0.9)], 0.8, None),
        ([(GOOD, 0.1), (BAD, 0.9), (UNSURE, 0.5)], 0.8, True),
        ([(GOOD, 0.1), (UNSURE, 0.5)], 0.8, None),
        ([(BAD, 0.6), (UNSURE, 0.5)], 0.8, None),
    ],
)
def test_what_cannot_wait(
    decisions: list[tuple[Normality, float]], threshold: float | None, urgent: bool | None
) -> None:
    found = urgency(ruled(threshold), [decision(*each) for each in decisions])
    assert found is not None
    assert found.urgent is urgent
    assert found.statement == {True: "red", False: "green", None: "yellow"}[urgent]
    assert found.category == (2 if urgent else None)


def test_without_a_rule_nothing_is_said_of_urgency() -> None:
    assert urgency(Manifest.model_construct(urgency=None), [decision(BAD, 1.0)]) is None
