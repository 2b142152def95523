"""Findings that no DICOM object could carry cannot be built."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.sr.coding import Code

from sr import codes
from sr.findings import FindingError, Probability, Reading, Score, checked_code
from tests.sr_examples import ALGORITHM, image_reading, radiograph, reading

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
    with pytest.raises(FindingError, match="threshold"):
        replace(_IMAGE.decision, threshold=value)
    with pytest.raises(FindingError, match="abnormal probability"):
        replace(_IMAGE.decision, abnormal_probability=value)


@pytest.mark.parametrize("value", [-0.1, 8.1, float("nan")])
def test_score_lies_on_its_scale(value: float) -> None:
    with pytest.raises(FindingError, match="Geographic extent score"):
        Score(name=codes.GEOGRAPHIC_EXTENT, value=value, lowest=0, highest=8)


def test_image_needs_two_classes() -> None:
    with pytest.raises(FindingError, match="at least two classes"):
        replace(_IMAGE, probabilities=_IMAGE.probabilities[:1])


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
