"""Where a heat map peaks, if what it shows is worth a point."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sr.heatmap import peak
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
