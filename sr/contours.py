"""Outlines as polylines: around boxes, the parts of a mask, and the heights of a map.

Coordinates are columns and rows of the source image, where (0, 0) is the outer corner of its first
pixel and (columns, rows) the outer corner of its last (PS3.3 C.18.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from contourpy import FillType, contour_generator
from numpy.typing import NDArray

LONGEST = 200  # points; what viewers drag and archives index without effort
MOST_PARTS = 8  # of one mask; more are noise, and would bury the rest
_STEP = 0.25  # cells; takes out most of the stairs, and moves no line by more than this
_FEWEST = 6  # points; viewers take a shorter closed polyline for a length or an angle

Polyline = NDArray[np.float64]
_Filled = tuple[list[Polyline], list[NDArray[np.uint32]]]  # FillType.OuterOffset


@dataclass(frozen=True)
class Part:
    """A connected part of a mask, or of a map above a level.

    Attributes
    ----------
    outline
        Closed polyline around it, holes and all, shape (n, 2): column, row; 6 to ``LONGEST``
        points.
    share
        Its area, without its holes, as a share of all parts', 0..1.
    """

    outline: Polyline
    share: float


def box_outline(left: float, top: float, right: float, bottom: float) -> Polyline:
    """Return a box as a closed polyline of its corners and the middles of its edges."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return _enough(np.array(corners, np.float64))


def mask_parts(mask: NDArray[np.bool_], rows: int, columns: int) -> list[Part]:
    """Trace the connected parts of a mask, the largest first, at most ``MOST_PARTS``.

    Parameters
    ----------
    mask
        Shape (h, w); its edges are the edges of the image.
    rows, columns
        Size of the image that the polylines are for.
    """
    return level_parts(mask.astype(np.float64), 0.5, rows, columns)


def level_parts(values: NDArray[np.float64], level: float, rows: int, columns: int) -> list[Part]:
    """Trace where a map lies above a level, the largest part first, at most ``MOST_PARTS``.

    Parameters
    ----------
    values
        Shape (h, w), linear between the centres of its cells; its edges are the edges of the image.
    level
        What the parts lie above.
    rows, columns
        Size of the image that the polylines are for.
    """
    generator = contour_generator(z=_closed(values, level), fill_type=FillType.OuterOffset)
    polygons, offsets = cast(_Filled, generator.filled(level, np.inf))
    traced = [
        np.split(points, starts[1:-1]) for points, starts in zip(polygons, offsets, strict=True)
    ]
    areas = [2 * _area(rings[0]) - sum(map(_area, rings)) for rings in traced]
    # First multiplied, then divided: the far edge comes out as the image's, to the last bit.
    size, cells = np.array([columns, rows]), np.array(values.shape[::-1])
    largest = sorted(range(len(traced)), key=lambda each: -areas[each])[:MOST_PARTS]
    # Cell (0, 0) of the map with its margin has its centre half a cell outside the image.
    return [
        Part((_simple(traced[each][0]) - 0.5) * size / cells, areas[each] / sum(areas))
        for each in largest
    ]


def _closed(values: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Add a margin that closes the outline of what touches the edge, along the edge.

    A margin's cell lies as far below the level as its neighbour lies above it: the line between
    them crosses the level half way, which is at the edge.
    """
    padded = np.pad(values, 1, mode="edge")
    margin = np.ones(padded.shape, np.bool_)
    margin[1:-1, 1:-1] = False
    padded[margin] = level - np.abs(padded[margin] - level)
    return padded


def _area(ring: Polyline) -> float:
    """Return the area inside a closed polyline (the shoelace formula)."""
    across, down = ring[:, 0], ring[:, 1]
    return abs(float(np.sum(across[:-1] * down[1:] - across[1:] * down[:-1]))) / 2


def _simple(ring: Polyline) -> Polyline:
    """Leave out points of a polyline in cells until at most ``LONGEST`` remain."""
    tolerance = _STEP
    thin = ring[_kept(ring, tolerance)]
    while len(thin) > LONGEST:
        tolerance *= 1.5
        thin = thin[_kept(thin, tolerance)]
    return _enough(thin if len(thin) > 3 else ring)


def _kept(ring: Polyline, tolerance: float) -> NDArray[np.bool_]:
    """Tell which points of a closed polyline to keep (Douglas and Peucker)."""
    last = len(ring) - 1
    far = int(np.argmax(np.hypot(*(ring - ring[0]).T)))
    kept = np.zeros(len(ring), np.bool_)
    kept[[0, far, last]] = True
    pending = [(0, far), (far, last)]
    while pending:
        first, end = pending.pop()
        if end - first < 2:
            continue
        distances = _distances(ring[first + 1 : end], ring[first], ring[end])
        worst = int(np.argmax(distances))
        if distances[worst] > tolerance:
            middle = first + 1 + worst
            kept[middle] = True
            pending += [(first, middle), (middle, end)]
    return kept


def _distances(points: Polyline, start: Polyline, end: Polyline) -> NDArray[np.float64]:
    """Return the distance of each point from the line through two others."""
    along = end - start
    length = float(np.hypot(*along))
    offsets = points - start
    if length == 0.0:
        return np.hypot(offsets[:, 0], offsets[:, 1])
    across: Polyline = offsets[:, 0] * along[1] - offsets[:, 1] * along[0]
    return np.abs(across) / length


def _enough(ring: Polyline) -> Polyline:
    """Add the middles of the edges until a closed polyline has enough points for viewers."""
    while len(ring) < _FEWEST:
        finer = np.empty((2 * len(ring) - 1, 2))
        finer[::2] = ring
        finer[1::2] = (ring[:-1] + ring[1:]) / 2
        ring = finer
    return ring
