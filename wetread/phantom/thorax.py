"""Soft tissue and air: body contour, lungs, heart, great vessels, airways, stomach bubble."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wetread.phantom.anatomy import SIDES, Anatomy
from wetread.phantom.raster import Grid, Map, ellipsoid, smooth_path, splat, tube, union

# The rib cage and the body are rounded rectangles in cross-section, not ellipses.
SQUARE = 2.4


@dataclass(frozen=True, kw_only=True)
class Thorax:
    """Thickness maps, millimetres along the ray.

    Attributes
    ----------
    body
        Skin to skin.
    lung
        Aerated lung, of which vessels and opacities take their share later.
    air
        Airways and stomach bubble.
    inside
        Silhouette of each lung above the diaphragm, 0..1: right, then left.
    """

    body: Map
    lung: Map
    air: Map
    inside: tuple[Map, Map]


def build_thorax(grid: Grid, anatomy: Anatomy) -> Thorax:
    """Project the soft tissue and the air of a patient."""
    mediastinum = _mediastinum(grid, anatomy)
    lungs = [_lung(grid, anatomy, side) for _, side in SIDES]
    silhouettes = tuple(np.clip(lung / 25.0, 0.0, 1.0) for lung in lungs)
    lung = np.maximum(lungs[0] + lungs[1] - mediastinum, 0.0)
    return Thorax(
        body=_body(grid, anatomy),
        lung=lung.astype(np.float32),
        air=_airways(grid, anatomy) + _stomach(grid, anatomy),
        inside=(silhouettes[0], silhouettes[1]),
    )


def lung_half_width(anatomy: Anatomy, y: np.ndarray) -> np.ndarray:
    """Return the distance from the midline to the inner rib cage at the levels ``y``."""
    apex = 44.0 * anatomy.scale
    fill = 1.0 - np.clip(1.0 - y / (215.0 * anatomy.scale), 0.0, 1.0) ** 3.4
    waist = 10.0 * np.clip((y - 205.0 * anatomy.scale) / 70.0, 0.0, 1.5) ** 2
    return np.asarray(apex + (anatomy.thorax_mm - apex) * fill ** (1.0 / 1.75) - waist)


def dome_level(anatomy: Anatomy, x: np.ndarray, side: float) -> np.ndarray:
    """Return y of the crest of one half of the diaphragm at the places ``x``, millimetres."""
    across = (x - anatomy.shift_mm) * side / anatomy.thorax_mm
    level = anatomy.dome_mm + (anatomy.dome_step_mm if side > 0 else 0.0)
    top = 0.46 if side < 0 else 0.52
    lateral = np.clip((across - top) / (1.0 - top), 0.0, 1.3)
    medial = np.clip((top - across) / top, 0.0, 1.5)
    return np.asarray(level + 52.0 * lateral**2.3 + 5.0 * medial**2)


def _body(grid: Grid, anatomy: Anatomy) -> Map:
    x = np.abs(grid.x - anatomy.shift_mm)
    skin = anatomy.thorax_mm + anatomy.wall_mm
    width = grid.along_y(
        [-90, -60, -42, -30, -16, 0, 18, 40, 70, 110, 200, 300, 400],
        [60, 62, 72, 108, 156, 192, 206, 206, skin + 18, skin + 4, skin, skin - 6, skin + 2],
        smooth_mm=18.0,
    )
    deep = anatomy.depth_mm
    depth = grid.along_y(
        [-90, -40, -10, 30, 80, 140, 300, 400],
        [62, 62, 74, 92, deep - 4, deep, deep, deep - 2],
        smooth_mm=25.0,
    )
    torso = _slice_chord(x / width, depth)
    arms = grid.empty()
    for _, side in SIDES:
        knots = [(side * 196.0, 10.0, 0.0), (side * 212.0, 110.0, 0.0), (side * 232.0, 380.0, 0.0)]
        elbow = np.interp(grid.y, [k[1] for k in knots], [k[0] for k in knots])
        off = np.clip(1.0 - ((grid.x - elbow) / 40.0) ** 2, 0.0, None)
        arms += (80.0 * np.sqrt(off) * (grid.y > 10.0)).astype(np.float32)
    return union(torso, arms) + _breasts(grid, anatomy)


def _slice_chord(u: Map, half_depth: Map) -> Map:
    inside = np.clip(1.0 - np.abs(u) ** SQUARE, 0.0, None) ** (1.0 / SQUARE)
    return (2.0 * half_depth * inside).astype(np.float32)


def _breasts(grid: Grid, anatomy: Anatomy) -> Map:
    total = grid.empty()
    radius = anatomy.breast_mm
    if radius <= 0.0:
        return total
    for _, side in SIDES:
        x = anatomy.turned(side * (0.68 * anatomy.thorax_mm), 100.0)
        centre = (x, anatomy.dome_mm - 12.0)
        whole = ellipsoid(grid, centre, (radius, 0.85 * radius, 0.3 * radius), side * -14.0)
        # Above its middle the breast thins out into the chest wall; below it ends in a fold.
        upper = np.clip((grid.y - centre[1] + radius) / (1.1 * radius), 0.0, 1.0)
        total += whole * upper**1.3
    return total


def _lung(grid: Grid, anatomy: Anatomy, side: float) -> Map:
    x, y = (grid.x - anatomy.shift_mm) * side, grid.y
    apex = 44.0 * anatomy.scale
    depth = (
        0.74
        * anatomy.depth_mm
        * np.sqrt(1.0 - np.clip(1.0 - y / (120.0 * anatomy.scale), 0.0, 1.0) ** 2.2)
    )
    chord = _slice_chord(x / lung_half_width(anatomy, y), depth)
    rise = np.sqrt(1.0 - np.clip(1.0 - y / 55.0, 0.0, 1.0) ** 2)
    edge = apex - (apex - 10.0) * rise
    medial = np.clip((x - edge) / 42.0, 0.0, 1.0) ** 0.7
    below = np.clip((y - dome_level(anatomy, grid.x, side)) / 85.0, 0.0, 1.0)
    # Lung reaches below the crest behind the liver, at the side; the heart lies on the crest.
    steep = 1.8 + 4.0 * np.clip(1.6 - 2.0 * x / anatomy.thorax_mm, 0.0, 0.7)
    above = np.clip(1.0 - steep * np.sqrt(below), 0.0, 1.0)
    return np.asarray(chord * medial * above * (y > 0.0), np.float32)


def _mediastinum(grid: Grid, anatomy: Anatomy) -> Map:
    """Heart, great vessels, spine and what lies between: soft tissue where lung would be."""
    s, heart = anatomy.scale, anatomy.heart
    front, back = anatomy.turned(0.0, 25.0), anatomy.turned(0.0, -40.0)
    base = anatomy.dome_mm
    # The great veins and arteries of the upper mediastinum part from the midline as they rise.
    cava = grid.along_y([-60, 0, 50, 110, 160], [12, 4, 9, 13, 9], smooth_mm=30.0)
    parts = [
        ellipsoid(
            grid, (front + 31 * heart, base - 36 + anatomy.dome_step_mm), (66 * heart, 41, 56), 40.0
        ),
        ellipsoid(grid, (front - 8, base - 38), (34 * heart, 48, 50), -8.0),
        ellipsoid(grid, (front + 16, base - 62), (60, 30 * heart, 46), 66.0),
        ellipsoid(grid, (front + 17, base - 98), (42, 20 * heart, 40), 74.0),
        ellipsoid(grid, (back + 21, 82 * s), (anatomy.aorta_mm, anatomy.aorta_mm + 3, 44)),
        _column(grid, back + 15, (82 * s, base + 40), 16.0, 70.0),
        _column(grid, front - 4 - cava, (-10, base - 30), 17.0, 80.0),
        _column(grid, front + 2 + 0.8 * cava, (-60, 90 * s), 17.0, 70.0),
        _column(grid, back, (-90, 500), 25.0, 150.0),
    ]
    return union(*parts)


def _column(
    grid: Grid, x: float | Map, levels: tuple[float, float], radius: float, depth: float
) -> Map:
    """An upright elliptic cylinder that fades in and out at its ends."""
    chord = depth * np.clip(1.0 - ((grid.x - x) / radius) ** 2, 0.0, None) ** 0.7
    fade = np.clip((grid.y - levels[0]) / 50.0, 0.0, 1.0)
    fade = fade * np.clip((levels[1] - grid.y) / 50.0, 0.0, 1.0)
    return np.asarray(chord * fade, np.float32)


def _airways(grid: Grid, anatomy: Anatomy) -> Map:
    s, middle = anatomy.scale, anatomy.turned(0.0, 0.0)
    carina = (middle + 3.0, 98.0 * s, 0.0)
    windpipe = smooth_path([(middle, -90.0, 0.0), (middle, 20.0, 0.0), carina])
    air = [tube(windpipe, [8.0 * s, 8.5 * s, 8.5 * s])]
    right = [carina, (middle - 22.0, 118.0 * s, 0.0), (middle - 36.0, 142.0 * s, 0.0)]
    left = [carina, (middle + 24.0, 122.0 * s, 0.0), (middle + 46.0, 138.0 * s, 0.0)]
    for knots in (right, left):
        air.append(tube(smooth_path(knots), [7.0 * s, 6.0 * s, 3.5]))
    # Where the branches meet they would count twice.
    return np.minimum(splat(grid, air), np.float32(17.0 * s))


def _stomach(grid: Grid, anatomy: Anatomy) -> Map:
    radius = anatomy.stomach_mm
    if radius <= 0.0:
        return grid.empty()
    level = anatomy.dome_mm + anatomy.dome_step_mm + radius + 12.0
    return ellipsoid(
        grid, (anatomy.turned(62.0, 0.0), level), (1.4 * radius, radius, radius), -12.0
    )
