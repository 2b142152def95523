"""Slices in the patient: order, gaps, and which way is up; the header decides, not the numbers."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from inference.geometry import Cut, Stack, Turn, Unfit, cuts, stack_of
from tests.ctfiles import BLOOD, head_series, hounsfield, left_between, tilted

EVERY_5_MM = list(range(-30, 31, 5))


def numbers(slices: list[Dataset], stack: Stack) -> list[int]:
    """Instance numbers from caudal to cranial; head_series counts from the first height."""
    return [int(slices[i].InstanceNumber) for i in stack.order]


@pytest.mark.parametrize("degrees", [-30, -18.5, 0, 18.5, 30])
def test_slices_are_ordered_by_where_they_lie(degrees: float) -> None:
    slices = head_series(heights=EVERY_5_MM, axes=tilted(degrees))
    random.Random(1).shuffle(slices)
    stack = stack_of(slices)
    assert numbers(slices, stack) == list(range(1, 14))
    np.testing.assert_allclose(np.diff(stack.heights), 5, atol=1e-5)  # along the normal
    assert stack.coverage == pytest.approx(60, abs=1e-4)
    assert stack.turn == Turn()


def test_a_series_that_counts_from_the_vertex_down_is_turned() -> None:
    slices = head_series(heights=EVERY_5_MM[::-1])
    assert numbers(slices, stack_of(slices)) == list(range(13, 0, -1))


def test_feet_first_the_normal_points_down_and_the_order_is_still_caudal_to_cranial() -> None:
    feet_first = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    slices = head_series(heights=EVERY_5_MM, axes=feet_first)
    stack = stack_of(slices)
    assert numbers(slices, stack) == list(range(13, 0, -1))  # heights count along the normal
    positions = [float(slices[i].ImagePositionPatient[2]) for i in stack.order]
    assert positions == sorted(positions)
    assert stack.turn == Turn(columns_reversed=True)


def in_plane(axis: int, sign: int) -> tuple[float, ...]:
    return tuple(float(sign * (each == axis)) for each in range(3))


IN_PLANE = [
    (in_plane(first, sign_row), in_plane(1 - first, sign_column))
    for first, sign_row, sign_column in itertools.product((0, 1), (1, -1), (1, -1))
]


@pytest.mark.parametrize("axes", IN_PLANE, ids=str)
def test_however_the_patient_lies_left_is_at_the_right_edge(
    axes: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    """One head, stored in each of the eight ways: all are turned to the same picture."""
    stored = head_series(heights=[-5, 0, 5], axes=axes, bleed=left_between(-50, 50))
    turn = stack_of(stored).turn
    seen = turn.apply(stored[1].pixel_array) - 1024.0
    down, across = np.nonzero(seen == BLOOD)
    assert across.mean() > 40  # of 64; the patient's left
    table = np.argwhere(seen == 200)
    assert table[:, 0].min() > 55  # the table is below
    plain = head_series(heights=[0], bleed=left_between(-50, 50))[0].pixel_array - 1024.0
    np.testing.assert_array_equal(seen, plain)
    np.testing.assert_array_equal(turn.undo(seen), stored[1].pixel_array - 1024.0)
    assert down.size


@given(st.booleans(), st.booleans(), st.booleans(), st.integers(1, 6), st.integers(1, 6))
def test_a_turn_is_undone(
    transposed: bool, rows: bool, columns: bool, height: int, width: int
) -> None:
    turn = Turn(transposed, rows, columns)
    stored = np.arange(height * width).reshape(height, width)
    np.testing.assert_array_equal(turn.undo(turn.apply(stored)), stored)


def test_the_phantom_is_not_symmetric() -> None:
    x = np.array([[-40.0, 40.0]])
    zero = np.zeros_like(x)
    assert hounsfield(x, zero, zero, left_between(-1, 1)).tolist() == [[35, BLOOD]]


CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))


def spoilt(index: int, **elements: Any) -> list[Dataset]:
    """A series in which one header is changed; None empties an element."""
    slices = head_series(heights=EVERY_5_MM)
    for keyword, value in elements.items():
        setattr(slices[index], keyword, value)
    return slices


TWICE = [*head_series(heights=EVERY_5_MM), *head_series(heights=[0], series=2)]
UNFIT: dict[str, tuple[list[Dataset], str]] = {
    "coronal": (head_series(heights=EVERY_5_MM, axes=CORONAL), "not axial"),
    "sagittal": (head_series(heights=EVERY_5_MM, axes=SAGITTAL), "not axial"),
    "oblique": (head_series(heights=EVERY_5_MM, axes=tilted(40)), "not axial"),
    "no position": (spoilt(3, ImagePositionPatient=None), "no position or orientation"),
    "no orientation": (spoilt(0, ImageOrientationPatient=None), "no position or orientation"),
    "two coordinates": (spoilt(3, ImagePositionPatient=[0, 0]), "no position or orientation"),
    "no unit vector": (spoilt(3, ImageOrientationPatient=[2, 0, 0, 0, 1, 0]), "is malformed"),
    "no right angle": (spoilt(3, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "is malformed"),
    "no pixel spacing": (spoilt(3, PixelSpacing=None), "no Pixel Spacing"),
    "pixels not square": (spoilt(3, PixelSpacing=[1, 2]), "not square"),
    "other pixel spacing": (spoilt(3, PixelSpacing=[3, 3]), "different pixel spacings"),
    "other matrix": (spoilt(3, Rows=512), "different matrix sizes"),
    "two tilts": (
        head_series(heights=[-10, -5]) + head_series(heights=[0, 5, 10], axes=tilted(15)),
        "different planes",
    ),
    "two acquisitions": (TWICE, "several slices of one series lie at one place"),
    "one missing": (
        head_series(heights=[each for each in EVERY_5_MM if each != 10]),
        r"a slice is missing: two neighbours are 10\.0 mm apart",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_is_no_stack_says_why(case: str) -> None:
    slices, reason = UNFIT[case]
    with pytest.raises(Unfit, match=reason):
        stack_of(slices)


def test_slices_that_overlap_leave_nothing_unseen_where_one_is_missing() -> None:
    heights = [0, 2.5, 5, 10, 12.5, 15, 17.5]
    stack_of(head_series(heights=heights, thickness=5))
    with pytest.raises(Unfit, match="a slice is missing"):
        stack_of(head_series(heights=heights, thickness=2.5))
    with pytest.raises(Unfit, match="a slice is missing"):
        stack_of(head_series(heights=heights, thickness=None))


def test_thin_slices_below_and_thick_ones_above_are_one_stack() -> None:
    thin = head_series(heights=[0, 2.5, 5, 7.5, 10, 12.5], thickness=2.5)
    thick = head_series(heights=[17.5, 25, 32.5], thickness=7.5, series=2)
    assert len(stack_of(thin + thick).order) == 9


def stack(*heights: float) -> Stack:
    return Stack(order=tuple(range(len(heights))), heights=np.array(heights), turn=Turn())


def test_slices_at_about_the_spacing_are_taken_as_they_are() -> None:
    as_they_are = [Cut(0, (0,)), Cut(1, (1,)), Cut(2, (2,))]
    assert cuts(stack(0, 5, 10), 5.0) == as_they_are
    assert cuts(stack(0, 4, 10), 5.0) == as_they_are
    assert cuts(stack(0, 1, 30), None) == as_they_are


def test_thin_slices_are_put_together() -> None:
    found = cuts(stack(*np.arange(0, 20.1, 1.25)), 5.0)
    assert [each.nearest for each in found] == [0, 4, 8, 12, 16]
    assert [each.members for each in found] == [
        (0, 1, 2), (2, 3, 4, 5, 6), (6, 7, 8, 9, 10), (10, 11, 12, 13, 14), (14, 15, 16)
    ]  # fmt: skip


def test_for_thick_slices_the_nearest_stands() -> None:
    found = cuts(stack(0, 10, 20), 5.0)
    assert [each.members for each in found] == [(0,), (0,), (1,), (1,), (2,)]


def test_a_place_far_from_any_slice_is_a_gap() -> None:
    with pytest.raises(Unfit, match="gap of 20 mm"):
        cuts(stack(0, 20, 40), 5.0)


@given(
    st.lists(st.floats(0.4, 7.0), min_size=1, max_size=60),
    st.floats(3.0, 8.0),
)
def test_no_slice_is_left_out_and_none_is_far(gaps: list[float], spacing: float) -> None:
    heights = np.concatenate([[0.0], np.cumsum(gaps)])
    found = cuts(stack(*heights), spacing)
    assert {i for each in found for i in each.members} == set(range(len(heights)))
    nearest = [each.nearest for each in found]
    assert nearest == sorted(nearest)
    for each in found:
        assert each.nearest in each.members
        assert np.ptp(heights[list(each.members)]) <= spacing + 0.11
