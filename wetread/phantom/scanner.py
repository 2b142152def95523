"""From a head to CT slices: thickness of the slice, sharpness, noise, the holder under the head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wetread.phantom.blood import Clot
from wetread.phantom.brain import AIR, hounsfield
from wetread.phantom.head import FIELD_MM, Head
from wetread.phantom.raster import Grid, Map, blur, resize

INTERCEPT = -1024
"""Hounsfield units of the stored value 0; 12 bits are stored."""
_PLANES = 3  # per slice, whose mean it is
_FINEST_MM = 1.0  # anatomy is drawn no finer than this; a soft kernel shows little more
_NOISE_HU = 2.8  # of a slice of 5 mm
_FOAM, _SHELL = -930.0, 40.0


def scan(
    head: Head, clot: Clot | None, *, z: float, thickness_mm: float, side: int, number: int
) -> NDArray[np.uint16]:
    """Make one slice.

    Parameters
    ----------
    head, clot
        What is scanned.
    z
        Height of the middle of the slice, mm.
    thickness_mm
        Of the slice.
    side
        Rows and columns.
    number
        Of the slice; each has its own noise.

    Returns
    -------
    NDArray[np.uint16]
        Shape (side, side); stored values of 12 bits, from ``INTERCEPT`` in steps of 1 HU.
    """
    drawn = min(side, round(FIELD_MM / _FINEST_MM))
    grid = Grid(rows=drawn, columns=drawn, pitch_mm=FIELD_MM / drawn, top_mm=-FIELD_MM / 2)
    offsets = (np.arange(_PLANES) - (_PLANES - 1) / 2) * thickness_mm / _PLANES
    planes = [
        _with_holder(hounsfield(head, clot, grid, z + float(each)), head, grid) for each in offsets
    ]
    plane: Map = np.stack(planes).mean(axis=0)
    values = resize(plane, side, side) if drawn < side else plane
    values = values + _noise(values, thickness_mm, np.random.default_rng([head.seed, 12, number]))
    stored: NDArray[np.uint16] = np.clip(np.rint(values) - INTERCEPT, 0, 4095).astype(np.uint16)
    return stored


def _with_holder(values: Map, head: Head, grid: Grid) -> Map:
    """Put a shell with foam under the head, where there is air."""
    radius = np.hypot(grid.x / (head.half_width + 26.0), grid.y / (head.half_length + 18.0))
    below = grid.y > 8.0
    foam = (radius < 1.0) & below
    shell = (np.abs(radius - 1.0) < 0.014) & below
    holder = np.where(shell, np.float32(_SHELL), np.where(foam, np.float32(_FOAM), AIR))
    return np.maximum(values, holder)


def _noise(values: Map, thickness_mm: float, rng: np.random.Generator) -> Map:
    """Noise as a soft kernel leaves it: grains of about a millimetre, less in air."""
    pitch_mm = FIELD_MM / len(values)
    white = rng.standard_normal(values.shape, np.float32)
    grain = blur(white, max(0.5, 0.55 / pitch_mm))
    strength = _NOISE_HU * np.sqrt(5.0 / thickness_mm) * np.where(values > -500.0, 1.0, 0.5)
    return np.asarray(grain * (strength / float(grain.std())), np.float32)
