"""Thickness maps: solids and tubes projected along parallel rays onto a millimetre grid.

Every map is float32, shape (rows, columns), in millimetres of material along the ray. The axes are
those of a chest radiograph on the wall: x grows to the patient's left, y to the feet, z to the
patient's front; x is 0 at the midline and y is 0 at the apex of the lungs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

Map = NDArray[np.float32]
Points = NDArray[np.float64]
# Small pieces of material: x, y in millimetres and volume in cubic millimetres, shape (n,) each.
Grains = tuple[Points, Points, Points]
# Finer than the pitch of the maps, or the pieces would show.
GRAIN_MM = 0.36


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The sampling of the thickness maps.

    Attributes
    ----------
    rows, columns
        Size, samples.
    pitch_mm
        Distance between samples.
    top_mm
        y of the upper edge; the midline (x = 0) is the middle of the columns.
    """

    rows: int
    columns: int
    pitch_mm: float
    top_mm: float

    @cached_property
    def x(self) -> Map:
        """Position of each column, x, millimetres, shape (1, columns)."""
        index = np.arange(self.columns) + 0.5 - self.columns / 2
        return (index * self.pitch_mm).astype(np.float32)[np.newaxis]

    @cached_property
    def y(self) -> Map:
        """Position of each row, y, millimetres, shape (rows, 1)."""
        index = np.arange(self.rows) + 0.5
        return (index * self.pitch_mm + self.top_mm).astype(np.float32)[:, np.newaxis]

    def empty(self) -> Map:
        """Return a map of no material."""
        return np.zeros((self.rows, self.columns), np.float32)

    def along_y(
        self, levels: Sequence[float], values: Sequence[float], smooth_mm: float = 12.0
    ) -> Map:
        """Return a smooth curve through (level, value) pairs for each row, shape (rows, 1)."""
        taps = max(1, round(smooth_mm / self.pitch_mm))
        pad = np.arange(-taps, self.rows + taps) * self.pitch_mm + self.top_mm
        curve = np.interp(pad, levels, values)
        window = np.hanning(2 * taps + 1)
        smooth = np.convolve(curve, window / window.sum(), "valid")
        return np.asarray(smooth, np.float32)[:, np.newaxis]


def ellipsoid(
    grid: Grid,
    centre: tuple[float, float],
    semi_axes: tuple[float, float, float],
    tilt_deg: float = 0.0,
) -> Map:
    """Return the chords of an ellipsoid.

    Parameters
    ----------
    grid
        The sampling.
    centre
        x and y, millimetres.
    semi_axes
        Along the first axis, the second axis and the ray, millimetres.
    tilt_deg
        Turns the first axis from x towards y (clockwise on the picture).
    """
    angle = np.deg2rad(tilt_deg)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    reach = max(semi_axes[:2])
    rows = _within(grid.y[:, 0], centre[1], reach)
    columns = _within(grid.x[0], centre[0], reach)
    dx, dy = grid.x[:, columns] - centre[0], grid.y[rows] - centre[1]
    u = (dx * cos + dy * sin) / semi_axes[0]
    v = (dy * cos - dx * sin) / semi_axes[1]
    total = grid.empty()
    total[rows, columns] = 2.0 * semi_axes[2] * np.sqrt(np.maximum(1.0 - u * u - v * v, 0.0))
    return total


def _within(places: Map, middle: float, reach: float) -> slice:
    first, last = np.searchsorted(places, [middle - reach, middle + reach])
    return slice(int(first), int(last))


def union(*maps: Map) -> Map:
    """Join overlapping solids: a smooth maximum (4-norm), so that no crease shows."""
    total = np.zeros_like(maps[0])
    for part in maps:
        total += np.square(np.square(part))
    return np.sqrt(np.sqrt(total))


def blade(grid: Grid, outline: ArrayLike, thickness_mm: float) -> Map:
    """Return a flat plate whose outline is a polygon of (x, y), shape (k, 2), millimetres."""
    corners = np.asarray(outline) - (grid.x[0, 0], grid.y[0, 0])
    image = Image.new("L", (grid.columns, grid.rows))
    ImageDraw.Draw(image).polygon([tuple(c) for c in corners / grid.pitch_mm], fill=255)
    return np.asarray(image, np.float32) * np.float32(thickness_mm / 255.0)


def splat(grid: Grid, parts: Iterable[Grains]) -> Map:
    """Spread grains of material over their four nearest samples, keeping the volume."""
    x, y, volume = (np.concatenate(column) for column in zip(*parts, strict=True))
    column = x / grid.pitch_mm + (grid.columns / 2 - 0.5)
    row = (y - grid.top_mm) / grid.pitch_mm - 0.5
    inside = (column > 0) & (column < grid.columns - 1) & (row > 0) & (row < grid.rows - 1)
    column, row, weight = column[inside], row[inside], volume[inside] / grid.pitch_mm**2
    left, upper = column.astype(np.int32), row.astype(np.int32)
    right_part, lower_part = column - left, row - upper
    total = np.zeros(grid.rows * grid.columns)
    base = upper * grid.columns + left
    for step, part in (
        (0, (1 - right_part) * (1 - lower_part)),
        (1, right_part * (1 - lower_part)),
        (grid.columns, (1 - right_part) * lower_part),
        (grid.columns + 1, right_part * lower_part),
    ):
        total += np.bincount(base + step, weight * part, minlength=total.size)
    return total.reshape(grid.rows, grid.columns).astype(np.float32)


def resample(path: Points, step_mm: float) -> tuple[Points, Points]:
    """Return points at equal steps along a path, shape (n, 3), and their place on it, 0..1."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    count = max(2, round(lengths[-1] / step_mm) + 1)
    place = np.linspace(0.0, 1.0, count)
    points = [np.interp(place * lengths[-1], lengths, path[:, axis]) for axis in range(3)]
    return np.stack(points, axis=1), place


def smooth_path(knots: ArrayLike, count: int = 200) -> Points:
    """Return a Catmull-Rom curve through knots of shape (k, 3) as ``count`` points."""
    knot = np.asarray(knots, np.float64)
    padded = np.concatenate([[2 * knot[0] - knot[1]], knot, [2 * knot[-1] - knot[-2]]])
    place = np.linspace(0.0, len(knot) - 1.0, count)
    index = np.minimum(place.astype(int), len(knot) - 2)
    t = (place - index)[:, np.newaxis]
    p0, p1, p2, p3 = (padded[index + offset] for offset in range(4))
    linear, square, cube = p2 - p0, 2 * p0 - 5 * p1 + 4 * p2 - p3, 3 * p1 - p0 - 3 * p2 + p3
    return np.asarray(0.5 * (2 * p1 + linear * t + square * t**2 + cube * t**3))


def tube_wall(
    path: Points, *, height_mm: ArrayLike, depth_mm: ArrayLike, wall_mm: ArrayLike
) -> Grains:
    """Cut up the wall of an elliptic tube: cortical bone, denser where a ray grazes it.

    Parameters
    ----------
    path
        Axis of the tube, shape (k, 3), millimetres.
    height_mm, depth_mm
        Half axes of the cross-section, across the picture and along the ray; one value, or
        several, spread from the start to the end of the path.
    wall_mm
        Thickness of the wall, likewise.
    """
    points, place = resample(path, GRAIN_MM)
    high, deep, wall = (_along(place, value) for value in (height_mm, depth_mm, wall_mm))
    across = _across(points)
    outward = _outward(points, across)
    around = int(np.ceil(5.0 * np.max(high) / GRAIN_MM))
    theta = np.linspace(0.0, 2 * np.pi, around, endpoint=False)[np.newaxis]
    cos, sin = np.cos(theta), np.sin(theta)
    x = points[:, :1] + across[:, :1] * high * cos + outward[:, :1] * deep * sin
    y = points[:, 1:2] + across[:, 1:2] * high * cos + outward[:, 1:2] * deep * sin
    arc = np.hypot(high * sin, deep * cos) * (2 * np.pi / around)
    step = np.linalg.norm(points[1] - points[0])
    return x.ravel(), y.ravel(), (arc * wall * step).ravel()


def tube(path: Points, radius_mm: ArrayLike) -> Grains:
    """Cut up a solid round tube; ``path`` and ``radius_mm`` as in ``tube_wall``."""
    points, place = resample(path, GRAIN_MM)
    radius = _along(place, radius_mm)
    across = _across(points)
    count = max(3, int(np.ceil(2.2 * np.max(radius) / GRAIN_MM)))
    share = (np.arange(count) + 0.5) / count * 2.0 - 1.0
    offset = radius * share[np.newaxis]
    chord = 2.0 * np.sqrt(np.maximum(radius**2 - offset**2, 0.0))
    step = np.linalg.norm(points[1] - points[0])
    x = points[:, :1] + across[:, :1] * offset
    y = points[:, 1:2] + across[:, 1:2] * offset
    return x.ravel(), y.ravel(), (chord * (2.0 * radius / count) * step).ravel()


def _along(place: Points, value: ArrayLike) -> Points:
    values = np.atleast_1d(np.asarray(value, np.float64))
    return np.interp(place, np.linspace(0.0, 1.0, values.size), values)[:, np.newaxis]


def _across(points: Points) -> Points:
    """Return unit vectors across a path, in the picture, shape (n, 3)."""
    ahead = np.empty_like(points)
    ahead[1:-1] = points[2:] - points[:-2]
    ahead[0], ahead[-1] = points[1] - points[0], points[-1] - points[-2]
    across = np.stack([-ahead[:, 1], ahead[:, 0], np.zeros(len(points))], axis=1)
    length = np.hypot(across[:, 0], across[:, 1])[:, np.newaxis]
    # A path that runs along the ray has no direction in the picture; any will do.
    return np.where(length < 1e-6, (0.0, 1.0, 0.0), across / np.maximum(length, 1e-6))


def _outward(points: Points, across: Points) -> Points:
    """Return unit vectors that complete the cross-section's axes, shape (n, 3)."""
    normal = np.cross(np.gradient(points, axis=0), across)
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True))


def resize(values: Map, rows: int, columns: int) -> Map:
    """Resample a map, bicubic, with antialiasing where it shrinks."""
    image = Image.fromarray(values)
    return np.asarray(image.resize((columns, rows), Image.Resampling.BICUBIC), np.float32)


def blur(values: Map, sigma: float) -> Map:
    """Blur by about a Gaussian of ``sigma`` samples; edges repeat."""
    factor = max(1, int(sigma // 2))
    rows, columns = values.shape
    small = values
    if factor > 1:
        image = Image.fromarray(values)
        size = (max(2, columns // factor), max(2, rows // factor))
        small = np.asarray(image.resize(size, Image.Resampling.BOX), np.float32)
    for axis in (0, 1):
        small = _blur_axis(small, sigma / factor, axis)
    return small if factor == 1 else resize(small, rows, columns)


def _blur_axis(values: Map, sigma: float, axis: int) -> Map:
    reach = max(1, int(np.ceil(2.5 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    pads = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
    padded = np.pad(values, pads, mode="edge")
    length = values.shape[axis]
    total = np.zeros_like(values)
    for offset, weight in enumerate(kernel):
        part = (
            padded[offset : offset + length] if axis == 0 else padded[:, offset : offset + length]
        )
        total += weight * part
    return np.asarray(total, np.float32)


def cloud(rng: np.random.Generator, grid: Grid, size_mm: float, octaves: int = 1) -> Map:
    """Return smooth random values of about unit spread whose features measure ``size_mm``."""
    total, amplitude, power = grid.empty(), 1.0, 0.0
    for _ in range(octaves):
        spacing = size_mm / grid.pitch_mm
        rows, columns = (int(np.ceil(n / spacing)) + 3 for n in (grid.rows, grid.columns))
        coarse = rng.standard_normal((rows, columns)).astype(np.float32)
        big = resize(coarse, int(rows * spacing) + 1, int(columns * spacing) + 1)
        total += amplitude * big[: grid.rows, : grid.columns]
        power += amplitude**2
        amplitude, size_mm = amplitude * 0.6, size_mm / 2.0
    return np.asarray(total / np.sqrt(power), np.float32)
