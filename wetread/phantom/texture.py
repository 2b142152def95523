"""Random values that are smooth in space, the same wherever and however finely one asks."""

from __future__ import annotations

import numpy as np

from wetread.phantom.raster import Grid, Map, resize


class Texture:
    """A lattice of random numbers in a box around the middle of the head, between which it bends.

    Parameters
    ----------
    rng
        Where the numbers come from.
    extent_mm
        Edge of the box; every grid that asks must have this field of view.
    size_mm
        How far the numbers lie apart: the size of what one sees.
    """

    def __init__(self, rng: np.random.Generator, extent_mm: float, size_mm: float) -> None:
        self._size_mm, self._half_mm = size_mm, extent_mm / 2
        count = int(np.ceil(extent_mm / size_mm)) + 3
        self._lattice = rng.standard_normal((count, count, count)).astype(np.float32)

    def at(self, grid: Grid, z: float) -> Map:
        """Return the values at the height ``z``, of about unit spread, shape of the grid."""
        place = (z + self._half_mm) / self._size_mm
        below = int(np.clip(np.floor(place), 0, len(self._lattice) - 2))
        angle = np.float32(np.clip(place - below, 0.0, 1.0) * np.pi / 2)
        # Weights whose squares sum to one keep the spread the same between two layers.
        plane = np.cos(angle) * self._lattice[below] + np.sin(angle) * self._lattice[below + 1]
        side = round(len(plane) * self._size_mm / grid.pitch_mm)
        return resize(plane, side, side)[: grid.rows, : grid.columns]
