"""Findings that no DICOM object could carry cannot be built."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from sr import codes
from sr.findings import (
    FindingError,
    ImageReading,
    Probability,
    Reading,
    Score,
    Segment,
    Urgency,
    checked_code,
)
from tests.sr_examples import (
    ALGORITHM,
    LESION,
    RETINOPATHY,
    box,
    ct_slice,
    image_reading,
    measured,
    radiograph,
    reading,
    series_reading,
)

_IMAGE = image_reading(radiograph())


@pytest.mark.parametrize(
    ("value", "meaning", "message"),
    [
        ("", "Normal", "code value"),
        ("1" * 17, "Normal", "code value"),
        ("1", "", "code meaning"),
        ("1", "m" * 65, "code meaning"),
    ],
)
def test_code_that_does_not_fit_is_refused(value: str, meaning: str, message: str) -> None:
    with pytest.raises(FindingError, match=message):
        checked_code(Code(value, "99TEST", meaning))


@pytest.mark.parametrize("field", ["name", "version", "manufacturer", "title"])
@pytest.mark.parametrize("value", ["", "x" * 65])
def test_algorithm_names_are_bounded(field: str, value: str) -> None:
    with pytest.raises(FindingError, match=field):
        replace(ALGORITHM, **{field: value})


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_probability_lies_in_0_to_1(value: float) -> None:
    with pytest.raises(FindingError, match="pneumonia"):
        Probability(finding=codes.PNEUMONIA, label="pneumonia", value=value)
    assert _IMAGE.decision is not None
    with pytest.raises(FindingError, match="threshold"):
        replace(_IMAGE.decision, threshold=value)
    with pytest.raises(FindingError, match="abnormal probability"):
        replace(_IMAGE.decision, abnormal_probability=value)


@pytest.mark.parametrize("value", [-0.1, 8.1, float("nan")])
def test_score_lies_on_its_scale(value: float) -> None:
    with pytest.raises(FindingError, match="Geographic extent score"):
        Score(name=codes.GEOGRAPHIC_EXTENT, value=value, lowest=0, highest=8)


def test_image_reading_says_something() -> None:
    with pytest.raises(FindingError, match="must say something"):
        ImageReading(sop_instance_uid="1.2.3")


def test_grade_has_levels_and_states_one_of_them() -> None:
    assert RETINOPATHY.stated.label == "Moderate"
    with pytest.raises(FindingError, match="two levels"):
        replace(RETINOPATHY, levels=RETINOPATHY.levels[:1], level=0)
    for level in (-1, 4):
        with pytest.raises(FindingError, match="has no level"):
            replace(RETINOPATHY, level=level)


@pytest.mark.parametrize("edges", [(5, 0, 5, 9), (0, 9, 5, 2), (-1, 0, 5, 9), (0, -0.5, 5, 9)])
def test_box_has_an_inside(edges: tuple[float, float, float, float]) -> None:
    with pytest.raises(FindingError, match="empty or outside"):
        box(*edges)


@pytest.mark.parametrize(
    "mask",
    [np.zeros((4,), np.bool_), np.zeros((0, 4), np.bool_), np.zeros((4, 4), np.uint8)],
)
def test_mask_is_a_matrix_of_truth_values(mask: NDArray[np.bool_]) -> None:
    with pytest.raises(FindingError, match="must be bool"):
        Segment(finding=LESION, label="Lesion", mask=mask)


@pytest.mark.parametrize(
    ("answer", "category", "statement", "message"),
    [
        (True, None, "Red.", "has a category"),
        (False, 2, "Green.", "any other has none"),
        (None, 1, "Grey.", "any other has none"),
        (True, 4, "Red.", "must be 1, 2 or 3"),
        (False, None, "", "needs a statement"),
    ],
)
def test_urgency_is_consistent(
    answer: bool | None, category: int | None, statement: str, message: str
) -> None:
    with pytest.raises(FindingError, match=message):
        Urgency(urgent=answer, category=category, statement=statement)


def test_study_answer_stands_on_images_that_are_there() -> None:
    whole = series_reading([ct_slice(number) for number in range(1, 5)])
    assert whole.study is not None
    with pytest.raises(FindingError, match="at least one image"):
        replace(whole.study, images_read=0)
    with pytest.raises(FindingError, match="entry of its own"):
        replace(whole, images=whole.images[:2])


def test_decision_on_a_slice_is_that_on_its_study() -> None:
    whole = series_reading([ct_slice()])
    assert whole.study is not None
    assert whole.decision_on(whole.images[0]) is whole.study.decision
    assert reading(_IMAGE).decision_on(_IMAGE) is _IMAGE.decision
    assert whole.study.finding_on(whole.images[0]) == 0.31
    assert whole.study.finding_on(_IMAGE) is None


def test_boxes_are_numbered_through_all_images() -> None:
    images = [
        measured(radiograph(number), regions=(box(1, 1, 5, 5),) * number) for number in (1, 2, 3)
    ]
    numbers = [[number for number, _ in reading(*images).numbered_regions(each)] for each in images]
    assert numbers == [[1], [2, 3], [4, 5, 6]]


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 2, 3)])
def test_heat_map_is_a_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(FindingError, match="heat map has shape"):
        replace(_IMAGE, heatmap=np.zeros(shape, np.float32))


def test_reading_needs_images_each_once() -> None:
    with pytest.raises(FindingError, match="at least one image"):
        reading()
    with pytest.raises(FindingError, match="at most one entry"):
        reading(_IMAGE, _IMAGE)


def test_procedure_must_fit() -> None:
    with pytest.raises(FindingError, match="code value"):
        Reading(algorithm=ALGORITHM, procedure=Code("", "LN", "XR"), images=(_IMAGE,))
