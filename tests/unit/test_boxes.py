"""A detector's boxes: on the picture, one for each finding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.boxes import regions, strongest
from inference.manifest import DetectionSection
from inference.pixels import Preparation
from inference.view import View
from sr.findings import Region

CODE = {"value": "1", "scheme": "99TEST", "meaning": "m"}
PLAIN = View.of(np.zeros((32, 32), np.uint8), Preparation(rows=32, columns=32), None)


def section(**changes: Any) -> DetectionSection:
    values = {
        "boxes": "b",
        "scores": "s",
        "labels": "l",
        "threshold": 0.5,
        "operating_point": "o",
        "class": [{"label": "mass", "code": CODE}, {"label": "spot", "code": CODE}],
    }
    return DetectionSection.model_validate(values | changes)


def found(rows: list[tuple[Any, float, int]], view: View = PLAIN, **changes: Any) -> list[Region]:
    """Regions of boxes given as (box, score, label)."""
    outputs: dict[str, NDArray[Any]] = {
        "b": np.array([[row[0] for row in rows]], np.float32).reshape(1, -1, 4),
        "s": np.array([[row[1] for row in rows]], np.float32),
        "l": np.array([[row[2] for row in rows]], np.int64),
    }
    return regions(section(**changes), outputs, 0, view)


def edges(region: Region) -> list[float]:
    return [region.left, region.top, region.right, region.bottom]


A, A_MOVED, B = (2, 2, 12, 12), (3, 3, 13, 13), (20, 20, 30, 28)


def test_boxes_keep_their_place_class_and_score() -> None:
    one, other = found([(B, 0.6, 1), (A, 0.9, 0)])
    assert edges(one) == [2, 2, 12, 12]
    assert (one.finding.label, other.finding.label) == ("mass", "spot")
    assert one.finding.value == pytest.approx(0.9)
    assert edges(other) == [20, 20, 30, 28]


def test_of_two_boxes_around_one_finding_the_surer_stays() -> None:
    (only,) = found([(A, 0.7, 0), (A_MOVED, 0.8, 0)])
    assert only.left == 3
    assert len(found([(A, 0.7, 0), (A_MOVED, 0.8, 0)], overlap=0.9)) == 2


def test_boxes_of_two_classes_do_not_rival() -> None:
    assert len(found([(A, 0.7, 0), (A_MOVED, 0.8, 1)])) == 2


def test_there_are_at_most_as_many_as_the_manifest_says() -> None:
    rows = [((x, 2, x + 3, 5), 0.6 + x / 100, 0) for x in range(0, 30, 5)]
    kept = found(rows, maximum=2)
    assert [each.left for each in kept] == [25, 20]


def test_below_the_operating_point_only_the_surest_is_told() -> None:
    (only,) = found([(A, 0.3, 0), (B, 0.4, 1)])
    assert only.finding.label == "spot"


def test_unused_rows_and_boxes_in_the_margin_are_none() -> None:
    high = View.of(np.zeros((32, 16), np.uint8), Preparation(rows=32, columns=32), None)
    assert found([(A, 0.0, -1)]) == []
    assert found([((0, 0, 8, 32), 0.9, 0)], high) == []  # left of the picture, in the margin
    assert found([((9, 9, 9, 20), 0.9, 0)]) == []
    assert found([]) == []


def test_a_box_is_cut_at_the_picture() -> None:
    high = View.of(np.zeros((64, 32), np.uint8), Preparation(rows=32, columns=32), None)
    (only,) = found([((4, -3, 16, 8), 0.9, 0)], high)
    assert edges(only) == [0, 0, 16, 16]


def test_without_labels_there_is_one_class() -> None:
    one = section(labels=None, **{"class": [{"label": "mass", "code": CODE}]})
    outputs = {"b": np.array([[A]], np.float32), "s": np.array([[0.9]], np.float32)}
    assert [each.finding.label for each in regions(one, outputs, 0, PLAIN)] == ["mass"]


@given(
    st.lists(st.tuples(*[st.floats(0, 20)] * 2, *[st.floats(1, 20)] * 2), max_size=12),
    st.floats(0.05, 1.0),
)
def test_those_that_stay_do_not_overlap_and_the_others_do(
    sizes: list[tuple[float, float, float, float]], overlap: float
) -> None:
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in sizes]).reshape(-1, 4)
    labels = np.zeros(len(boxes), np.intp)
    kept = strongest(boxes, labels, overlap)
    assert kept == sorted(kept)
    for index in range(len(boxes)):
        rivals = [k for k in kept if k < index and shared(boxes[k], boxes[index]) > overlap]
        assert (index in kept) == (not rivals)


def shared(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Intersection over union."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    both = float(np.prod(np.clip(high - low, 0, None)))
    union = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - both
    return both / union
