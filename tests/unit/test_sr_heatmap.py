"""Where a heat map peaks and what it outlines, if what it shows is worth a point."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sr.contours import LONGEST
from sr.heatmap import CONTOUR_AT, MOST_CONTOURS, blend, contours, peak
from tests.sr_examples import spot


def test_peak_is_the_middle_of_its_cell() -> None:
    assert peak(spot(1, 6)) == ((1 + 0.5) / 8, (6 + 0.5) / 8)


def test_unknown_cells_are_no_peak() -> None:
    heatmap = spot(1, 6)
    heatmap[3, 3] = np.nan
    assert peak(heatmap) == peak(spot(1, 6))


@pytest.mark.parametrize(
    "heatmap",
    [
        np.zeros((4, 4), np.float32),
        np.full((4, 4), 0.3, np.float32),
        np.full((4, 4), np.nan, np.float32),
    ],
)
def test_what_the_overlay_does_not_show_has_no_peak(heatmap: NDArray[np.float32]) -> None:
    assert peak(heatmap) is None


def _hills(*centres: tuple[float, float, float], side: int = 20) -> NDArray[np.float32]:
    """Return a heat map of cones, each with row, column and height."""
    rows, columns = np.mgrid[:side, :side]
    heatmap = np.zeros((side, side), np.float32)
    for row, column, height in centres:
        cone = height - 0.1 * np.hypot(rows - row, columns - column)
        heatmap = np.maximum(heatmap, cone.astype(np.float32))
    return heatmap


def test_contour_lies_around_the_strong_activations_in_pixels_of_the_image() -> None:
    (outline,) = contours(_hills((6, 13, 1.0)), 300, 240)
    assert 5 < len(outline) <= LONGEST
    assert (outline[0] == outline[-1]).all()
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
    assert middle == pytest.approx((13.5 / 20 * 240, 6.5 / 20 * 300), abs=0.5)
    # The cone falls from 1 to the contour's height within four cells.
    reach = (1 - CONTOUR_AT) / 0.1
    extent = outline.max(axis=0) - outline.min(axis=0)
    assert extent == pytest.approx((2 * reach / 20 * 240, 2 * reach / 20 * 300), rel=0.05)


def test_contour_is_that_of_the_overlay() -> None:
    heatmap = _hills((5, 6, 1.0), (14, 13, 0.9))
    body = Image.new("RGB", (400, 500))
    blend(body, heatmap)
    line = np.asarray(body).min(axis=2) > 120  # the contour is the only thing near white
    for outline in contours(heatmap, 500, 400):
        for column, row in outline:
            around = line[
                max(0, round(row) - 3) : round(row) + 4,
                max(0, round(column) - 3) : round(column) + 4,
            ]
            assert around.any()


def test_contour_at_the_edge_runs_along_it() -> None:
    (outline,) = contours(np.ones((4, 4), np.float32), 300, 240)
    assert [*outline.min(axis=0), *outline.max(axis=0)] == [0, 0, 240, 300]


def test_only_the_largest_contours_are_kept() -> None:
    heatmap = _hills((3, 3, 0.8), (3, 16, 0.85), (16, 3, 0.9), (16, 16, 1.0))
    outlines = contours(heatmap, 200, 200)
    assert len(outlines) == MOST_CONTOURS
    extents = [np.prod(each.max(axis=0) - each.min(axis=0)) for each in outlines]
    assert extents == sorted(extents, reverse=True)
    assert (outlines[0] > 100).all()


@pytest.mark.parametrize("height", [0.0, CONTOUR_AT - 0.05, np.nan])
def test_weak_activation_has_no_contour(height: float) -> None:
    assert contours(np.full((4, 4), height, np.float32), 300, 240) == []
