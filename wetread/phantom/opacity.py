"""Findings: where lung has lost its air, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from wetread.phantom.anatomy import Side
from wetread.phantom.raster import Grid, Map, cloud
from wetread.phantom.thorax import Thorax

Finding = Literal["none", "consolidation", "ground-glass"]


@dataclass(frozen=True, kw_only=True)
class Opacity:
    """Place and extent of a finding.

    Attributes
    ----------
    side
        The lung that a consolidation lies in; ground glass lies in both.
    level
        Height of its middle in the lung, 0 at the apex to 1 at the diaphragm.
    extent
        Size, 0 (a small focus) to 1 (most of the lung).
    """

    side: Side = "right"
    level: float = 0.72
    extent: float = 0.5

    def __post_init__(self) -> None:
        """Refuse places outside the lung.

        Raises
        ------
        ValueError
            ``level`` or ``extent`` is outside 0..1.
        """
        for name, value in (("level", self.level), ("extent", self.extent)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is {value}; give a number from 0 to 1")


def lost_air(grid: Grid, thorax: Thorax, finding: Finding, opacity: Opacity, seed: int) -> Map:
    """Return the share of air that the lung has lost along each ray, 0..1."""
    rng = np.random.default_rng([seed, 3])
    if finding == "consolidation":
        return _consolidation(grid, thorax, opacity, rng)
    if finding == "ground-glass":
        return _ground_glass(grid, thorax, opacity, rng)
    return grid.empty()


def _consolidation(grid: Grid, thorax: Thorax, opacity: Opacity, rng: np.random.Generator) -> Map:
    """One focus with ragged edges, denser in its middle."""
    lung = thorax.inside[0 if opacity.side == "right" else 1]
    x, y, half, tall = _box(grid, lung)
    middle = y - tall + 2.0 * tall * opacity.level
    reach = 0.35 + 0.55 * opacity.extent
    off = np.hypot((grid.x - x) / (reach * half * 1.3), (grid.y - middle) / (reach * tall * 0.62))
    ragged = off + 0.20 * cloud(rng, grid, 28.0, octaves=3)
    edge = 1.0 / (1.0 + np.exp(np.clip((ragged - 0.9) * 9.0, -30, 30)))
    return np.asarray(0.62 * lung * edge, np.float32)


def _ground_glass(grid: Grid, thorax: Thorax, opacity: Opacity, rng: np.random.Generator) -> Map:
    """Hazy patches in both lungs, towards the chest wall and the bases."""
    total = grid.empty()
    for lung in thorax.inside:
        x, y, half, tall = _box(grid, lung)
        outer = np.abs(grid.x - x + np.sign(x) * half * 0.9) / (2.0 * half)
        lower = np.exp(-(((grid.y - (y - tall + 2 * tall * opacity.level)) / (0.75 * tall)) ** 2))
        patches = 0.6 + 0.4 * cloud(rng, grid, 42.0, octaves=3)
        wanted = (0.35 + 0.65 * np.clip(outer * 1.2, 0, 1)) * lower
        strength = 0.16 + 0.34 * opacity.extent
        total += np.clip(strength * 2.0 * wanted * np.clip(patches, 0.1, 1.3), 0, 0.8) * lung
    return total


def _box(grid: Grid, lung: Map) -> tuple[float, float, float, float]:
    """Return the middle (x, y) and the half width and height of a lung's bounding box."""
    columns = grid.x[0, np.flatnonzero(lung.max(axis=0) > 0.5)]
    rows = grid.y[np.flatnonzero(lung.max(axis=1) > 0.5), 0]
    x, y = (columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2
    return float(x), float(y), float(columns[-1] - x), float(rows[-1] - y)
