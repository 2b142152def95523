"""Pulmonary vessels: trees that leave the hila, branch, taper and end before the pleura."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wetread.phantom.anatomy import SIDES, Anatomy
from wetread.phantom.raster import Grains, Grid, Map, Points, smooth_path, splat, tube
from wetread.phantom.thorax import dome_level, lung_half_width

# Main branches of a hilum: direction on the picture, degrees (0 lateral, 90 to the feet), and
# radius, millimetres. Those to the bases are the widest: blood falls when a patient stands.
_BRANCHES = (
    (-80, 2.4), (-62, 2.6), (-40, 2.2), (-15, 2.2), (5, 2.4), (22, 2.8), (38, 3.2), (52, 3.6),
    (64, 4.2), (76, 4.4), (88, 3.0),
)  # fmt: skip
_SMALLEST_MM = 0.42


def build_vessels(grid: Grid, anatomy: Anatomy, seed: int) -> Map:
    """Project the vessels of both lungs, millimetres of blood along the ray."""
    rng = np.random.default_rng([seed, 2])
    grains: list[Grains] = []
    for _, side in SIDES:
        grains.extend(tube(path, radii) for path, radii in _tree(anatomy, rng, side))
    return splat(grid, grains)


def _tree(
    anatomy: Anatomy, rng: np.random.Generator, side: float
) -> Iterator[tuple[Points, list[float]]]:
    """Yield the branches of one lung: an axis and its radii."""
    hilum = np.array([anatomy.turned(side * 33.0, 0.0), (117.0 if side < 0 else 108.0)])
    hilum[1] *= anatomy.scale
    todo = []
    for degrees, radius in _BRANCHES:
        angle = np.deg2rad(degrees + rng.normal(0.0, 6.0))
        start = hilum + rng.normal(0.0, 4.0, 2)
        todo.append((start, angle, radius * rng.uniform(0.85, 1.1)))
    while todo:
        start, angle, radius = todo.pop()
        length = rng.uniform(5.0, 8.5) * radius + 11.0
        path, angle = _branch(rng, start, angle, length, side)
        if not _in_lung(anatomy, path[-1], side):
            continue
        thin = radius * 0.88
        yield path, [radius, thin]
        for turn, share in ((rng.normal(0.15, 0.12), 0.86), (-rng.uniform(0.4, 0.9), 0.66)):
            flip = 1.0 if rng.random() < 0.5 else -1.0
            if thin * share > _SMALLEST_MM:
                todo.append((path[-1, :2], angle + flip * turn, thin * share))


def _branch(
    rng: np.random.Generator, start: Points, angle: float, length: float, side: float
) -> tuple[Points, float]:
    """Return a gently bent axis and the angle at which it ends."""
    bend = rng.normal(0.0, 0.22)
    knots = [np.append(start, 0.0)]
    for part in range(2):
        angle += bend * (0.5 + part)
        step = length / 2 * np.array([side * np.cos(angle), np.sin(angle), 0.0])
        knots.append(knots[-1] + step)
    return smooth_path(knots, 12), angle


def _in_lung(anatomy: Anatomy, point: Points, side: float) -> bool:
    x, y = (point[0] - anatomy.shift_mm) * side, float(point[1])
    if y < 14.0 or x < 14.0:
        return False
    low = float(dome_level(anatomy, np.asarray(point[0]), side)) + 22.0
    return bool(x < float(lung_half_width(anatomy, np.asarray(y))) - 6.0 and y < low)
