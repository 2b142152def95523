"""Outlines: closed, inside the image, as long as viewers take, and true to what they go around."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sr.contours import LONGEST, MOST_PARTS, Polyline, box_outline, mask_parts
from tests.sr_examples import discs

_MASKS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))
_EDGE = st.floats(0, 4000, allow_nan=False)


def _inside(outline: Polyline) -> float:
    """Area inside, independently of the code under test: mean over the trapezoids' heights."""
    across, down = outline.T
    return abs(float(np.trapezoid(down, across)))


def _well_formed(outline: Polyline) -> bool:
    return bool((outline[0] == outline[-1]).all()) and 5 < len(outline) <= LONGEST


@given(left=_EDGE, top=_EDGE, width=st.floats(0.1, 500), height=st.floats(0.1, 500))
def test_box_survives_the_round_trip(left: float, top: float, width: float, height: float) -> None:
    outline = box_outline(left, top, left + width, top + height)
    assert _well_formed(outline)
    assert tuple(outline.min(axis=0)) == (left, top)
    assert tuple(outline.max(axis=0)) == (left + width, top + height)
    assert _inside(outline) == pytest.approx(width * height, rel=1e-6)


@settings(deadline=None)
@given(mask=_MASKS, rows=st.integers(1, 3000), columns=st.integers(1, 3000))
def test_outline_of_any_mask_lies_in_the_image(
    mask: NDArray[np.bool_], rows: int, columns: int
) -> None:
    parts = mask_parts(mask, rows, columns)
    assert bool(parts) == bool(mask.any())
    assert len(parts) <= MOST_PARTS
    for part in parts:
        assert _well_formed(part.outline)
        assert (part.outline >= 0).all()
        assert (part.outline <= (columns, rows)).all()
        assert 0 < part.share <= 1
    shares = [part.share for part in parts]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-9


def test_outline_goes_around_its_part() -> None:
    # Two discs in a mask of 64 x 64 cells, over an image of 640 x 1280 pixels.
    first, second = mask_parts(discs((20, 20, 10), (50, 45, 5)), 640, 1280)
    assert first.outline.mean(axis=0) == pytest.approx((20.5 * 20, 20.5 * 10), abs=15)
    assert _inside(first.outline) == pytest.approx(np.pi * 10**2 * 200, rel=0.06)
    assert first.share == pytest.approx(100 / 125, abs=0.02)
    assert second.outline.mean(axis=0) == pytest.approx((45.5 * 20, 50.5 * 10), abs=15)


def test_a_hole_is_no_part_of_the_area() -> None:
    mask = np.zeros((40, 80), np.bool_)
    mask[10:30, 10:30] = mask[10:30, 50:70] = True
    mask[15:25, 15:25] = False
    full, holed = mask_parts(mask, 40, 80)
    assert _inside(holed.outline) == pytest.approx(400, abs=2)
    assert holed.share / full.share == pytest.approx(300 / 400, abs=0.01)


def test_what_touches_the_edge_is_closed_along_it() -> None:
    (part,) = mask_parts(np.ones((4, 4), np.bool_), 400, 800)
    assert tuple(part.outline.min(axis=0)) == (0, 0)
    assert tuple(part.outline.max(axis=0)) == (800, 400)


def test_ragged_outline_is_simplified_to_what_viewers_take() -> None:
    mask = np.zeros((300, 300), np.bool_)
    mask[100:] = True
    mask[50:100, ::2] = True  # a comb of 150 teeth
    (part,) = mask_parts(mask, 300, 300)
    assert _well_formed(part.outline)


def test_noise_is_no_more_than_the_largest_parts() -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[::2, ::2] = True
    assert len(mask_parts(mask, 64, 64)) == MOST_PARTS
