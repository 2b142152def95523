"""The part of a picture that a model looks at: the head in a CT slice, without table and air."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_SIDE = 96  # pixels; enough to find a head, and fast
_TISSUE = 16  # grey of 255; in a brain window (centre 40, width 120) about -12 HU
_OPENING = 7  # pixels of _SIDE; a table top and tubes are thinner
_SLICES = 2  # a place counts as head if this many slices have tissue there
_MARGIN = 0.02  # of the head's size, on each side


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture; it may reach beyond the picture's edges.

    Attributes
    ----------
    left, top, right, bottom
        Pixels of the picture, from the outer corner of its first pixel.
    """

    left: int
    top: int
    right: int
    bottom: int


def whole(picture: NDArray[np.uint8]) -> Box:
    """Return the box of the whole picture, shape (rows, columns)."""
    rows, columns = picture.shape
    return Box(0, 0, columns, rows)


def head_box(pictures: Sequence[NDArray[np.uint8]]) -> Box:
    """Find the square around the head in all slices of a series.

    One box for the series keeps the slices to one scale. A series without tissue gives the whole
    picture.

    Parameters
    ----------
    pictures
        Slices in a soft-tissue window, shape (rows, columns) each, all of one size.
    """
    rows, columns = pictures[0].shape
    tissue = np.sum([_tissue(each) for each in pictures], axis=0) >= min(_SLICES, len(pictures))
    if not tissue.any():
        return whole(pictures[0])
    down, across = (np.flatnonzero(tissue.any(axis)) for axis in (1, 0))
    top, bottom = down[0] * rows / _SIDE, (down[-1] + 1) * rows / _SIDE
    left, right = across[0] * columns / _SIDE, (across[-1] + 1) * columns / _SIDE
    half = max(bottom - top, right - left) * (0.5 + _MARGIN)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    return Box(
        round(middle_x - half), round(middle_y - half), round(middle_x + half),
        round(middle_y + half),
    )  # fmt: skip


def _tissue(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell where a slice has tissue thicker than a table top, shape (_SIDE, _SIDE)."""
    small = Image.fromarray(picture).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    lit = small.point([255 * (grey > _TISSUE) for grey in range(256)])
    opened = lit.filter(ImageFilter.MinFilter(_OPENING)).filter(ImageFilter.MaxFilter(_OPENING))
    return np.asarray(opened) > 0
