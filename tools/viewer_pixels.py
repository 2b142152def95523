"""Compares what a viewer painted with the picture that it should have painted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
"""Rows, columns, red-green-blue."""

_SIDE = 256  # pixels to which both are reduced, so that antialiasing does not matter


def likeness(shown: Picture, expected: Picture) -> float:
    """Pearson correlation of brightness, -1 to 1.

    Parameters
    ----------
    shown
        A viewport, in which the picture is as large as fits, in the middle.
    expected
        The picture.
    """
    return _correlation(*(each.mean(axis=2) for each in _reduced(shown, expected)))


def colour_likeness(shown: Picture, expected: Picture) -> float:
    """Pearson correlation of red minus blue, -1 to 1; see :func:`likeness`."""
    return _correlation(*(each[..., 0] - each[..., 2] for each in _reduced(shown, expected)))


def _reduced(shown: Picture, expected: Picture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    height, width = shown.shape[:2]
    rows, columns = expected.shape[:2]
    scale = min(height / rows, width / columns)
    top, left = (height - rows * scale) / 2, (width - columns * scale) / 2
    box = (round(left), round(top), round(left + columns * scale), round(top + rows * scale))
    cropped = Image.fromarray(shown).crop(box)
    first, second = (
        np.asarray(each.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
        for each in (cropped, Image.fromarray(expected))
    )
    return first, second


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if first.std() == 0 or second.std() == 0:  # nothing was painted
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
