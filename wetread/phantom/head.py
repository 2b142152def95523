"""The build of one synthetic head, drawn from a seed, and the layers from its skin inwards.

The axes are the patient's (PS3.3 C.7.6.2.1.1): x to the left hand, y to the back, z to the head,
in millimetres from the middle of the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from wetread.phantom.raster import Grid, Map
from wetread.phantom.texture import Texture

FIELD_MM = 240.0
_POWER = np.float32(2.3)  # a little squarer than an ellipsoid
_EDGE_MM = 5.0  # so far from a surface nothing of it is seen
_DOWN_MM = 96.0  # where the skull would close below, if there were no neck


@dataclass(frozen=True, kw_only=True)
class Head:
    """Measures of a head, millimetres unless said otherwise.

    Attributes
    ----------
    seed
        What its textures are drawn from.
    sex
        "M" heads are larger on average.
    age
        Years; sulci and ventricles widen with it.
    half_width, half_length, height
        Of the skull, from the middle of the head.
    skull
        Mean thickness of the bone.
    scalp
        Mean thickness of what lies over it.
    wasting
        Width of the sulci, 0 (young) to 1 (old).
    ventricles
        Size of the ventricles against an average.
    turn_deg
        How far the patient has turned the face to the left.
    """

    seed: int
    sex: Literal["F", "M"]
    age: int
    half_width: float
    half_length: float
    height: float
    skull: float
    scalp: float
    wasting: float
    ventricles: float
    turn_deg: float

    @cached_property
    def gyri(self) -> Texture:
        """Between whose hills the sulci run."""
        return self._texture(1, 12.0)

    @cached_property
    def relief(self) -> Texture:
        """How bone, scalp and what lies between them vary in thickness."""
        return self._texture(2, 38.0)

    @cached_property
    def grain(self) -> Texture:
        """What is uneven within a tissue."""
        return self._texture(3, 7.0)

    def _texture(self, number: int, size_mm: float) -> Texture:
        return Texture(np.random.default_rng([self.seed, 10, number]), FIELD_MM, size_mm)

    def turned(self, grid: Grid) -> tuple[Map, Map]:
        """Return x and y of a grid's samples in the head, however the patient has turned it."""
        angle = np.deg2rad(self.turn_deg)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return grid.x * cos + grid.y * sin, grid.y * cos - grid.x * sin


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Where a plane lies between skin and brain.

    Attributes
    ----------
    x, y, z
        In the head.
    depth
        Below the outer surface of the skull, mm; negative in the scalp and outside.
    scalp, skull
        Thickness there, mm.
    """

    x: Map
    y: Map
    z: float
    depth: Map
    scalp: Map
    skull: Map

    @property
    def within(self) -> Map:
        """Depth below the inner surface of the skull, mm."""
        return self.depth - self.skull


def draw_head(seed: int) -> Head:
    """Draw a head; the same seed gives the same one."""
    rng = np.random.default_rng([seed, 9])
    sex: Literal["F", "M"] = "F" if rng.random() < 0.5 else "M"
    scale = float(np.clip(rng.normal(1.015 if sex == "M" else 0.975, 0.02), 0.93, 1.06))
    age = int(rng.integers(22, 84))
    wasting = float(np.clip((age - 30) / 60 + rng.normal(0.0, 0.12), 0.0, 1.0))
    return Head(
        seed=seed,
        sex=sex,
        age=age,
        half_width=float(rng.normal(73.0, 2.0)) * scale,
        half_length=float(rng.normal(90.0, 2.5)) * scale,
        height=float(rng.normal(84.0, 2.0)) * scale,
        skull=float(np.clip(rng.normal(6.8, 0.8), 5.0, 9.0)),
        scalp=float(np.clip(rng.normal(5.5, 0.9), 3.5, 8.0)),
        wasting=wasting,
        ventricles=float(np.clip(0.85 + 0.4 * wasting + rng.normal(0.0, 0.07), 0.75, 1.4)),
        turn_deg=float(np.clip(rng.normal(0.0, 3.0), -7.0, 7.0)),
    )


def layers(head: Head, grid: Grid, z: float) -> Layers:
    """Return the layers that a plane at the height ``z`` goes through."""
    x, y = head.turned(grid)
    up = head.height if z >= 0 else _DOWN_MM
    width = head.half_width * (1.0 + 0.10 * y / head.half_length)
    radius = (
        np.abs(x / width) ** _POWER
        + np.abs(y / head.half_length) ** _POWER
        + np.float32(abs(z / up) ** _POWER)
    ) ** (1 / _POWER)
    radius = np.maximum(radius, 0.02)
    distance = np.sqrt(x * x + y * y + np.float32(z * z))
    relief = head.relief.at(grid, z)
    back = np.clip(y / head.half_length, 0.0, 1.0)
    return Layers(
        x=x,
        y=y,
        z=z,
        depth=np.asarray(distance * (1.0 / radius - 1.0), np.float32),
        scalp=np.asarray(head.scalp * (1.0 + 0.25 * relief + 0.3 * back), np.float32),
        skull=np.asarray(head.skull * (1.0 + 0.14 * relief + 0.25 * back), np.float32),
    )


def step(margin: ArrayLike, width: float = 1.2) -> Map:
    """How much of a sample lies inside a surface, 0..1, by its distance to it, mm."""
    share = np.asarray(margin, np.float32) / np.float32(width) + np.float32(0.5)
    return np.asarray(np.clip(share, 0.0, 1.0), np.float32)


Point = tuple[float, float, float]


def ball(at: Layers, centre: Point, half: Point) -> Map:
    """Distance into an ellipsoid, about mm; negative outside."""
    if abs(at.z - centre[2]) > half[2] + _EDGE_MM:
        return np.full_like(at.depth, -_EDGE_MM)
    u, v = (at.x - centre[0]) / half[0], (at.y - centre[1]) / half[1]
    w = (at.z - centre[2]) / half[2]
    return np.asarray((1.0 - np.sqrt(u * u + v * v + w * w)) * min(half), np.float32)


def rod(at: Layers, start: Point, end: Point, radius: float) -> Map:
    """Distance into a rod with round ends, mm; negative outside."""
    low, high = sorted((start[2], end[2]))
    if not low - radius - _EDGE_MM < at.z < high + radius + _EDGE_MM:
        return np.full_like(at.depth, -_EDGE_MM)
    x, y, z = at.x - start[0], at.y - start[1], at.z - start[2]
    across, back, up = (b - a for a, b in zip(start, end, strict=True))
    place = (x * across + y * back + z * up) / (across**2 + back**2 + up**2)
    place = np.clip(place, 0.0, 1.0)
    gap = (x - place * across) ** 2 + (y - place * back) ** 2 + (z - place * up) ** 2
    return np.asarray(radius - np.sqrt(gap), np.float32)
