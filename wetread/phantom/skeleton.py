"""Bone: ribs, vertebrae, clavicles, scapulae and humeral heads, as compact and spongy bone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wetread.phantom.anatomy import SIDES, Anatomy
from wetread.phantom.raster import (
    Grains,
    Grid,
    Map,
    Points,
    blade,
    ellipsoid,
    smooth_path,
    splat,
    tube,
    tube_wall,
)
from wetread.phantom.thorax import SQUARE, lung_half_width

_DISC_MM = 4.5
_MOST_MM = 9.0  # of compact bone
# Outline of the left scapula of an average adult, arms forward, millimetres.
_SCAPULA = (
    (112, 14), (116, 50), (124, 95), (136, 138), (146, 142), (152, 110), (160, 62), (164, 34),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """Thickness maps, millimetres along the ray.

    Attributes
    ----------
    compact
        Cortical bone.
    spongy
        Cancellous bone with its marrow.
    """

    compact: Map
    spongy: Map


def build_skeleton(grid: Grid, anatomy: Anatomy) -> Skeleton:
    """Project the bones of a patient."""
    walls, cores = _spine_arches(anatomy), []
    compact, spongy = _vertebral_bodies(grid, anatomy)
    for _, side in SIDES:
        for number in range(1, anatomy.rib_pairs + 1):
            wall, core = _rib(anatomy, number, side)
            walls.append(wall)
            cores.append(core)
        wall, core = _clavicle(anatomy, side)
        walls += [wall, *_scapula(anatomy, side), _humeral_shaft(anatomy, side)]
        cores.append(core)
        shell, head = _humeral_head(grid, anatomy, side)
        compact, spongy = compact + shell + _blade(grid, anatomy, side), spongy + head
    # A ray that grazes a wall for long still crosses no more than a bone holds.
    wall = _MOST_MM * -np.expm1(-splat(grid, walls) / _MOST_MM)
    return Skeleton(compact=compact + wall, spongy=spongy + 1.3 * splat(grid, cores))


def vertebra_level(anatomy: Anatomy, number: float) -> float:
    """Return y of the middle of a thoracic vertebra, millimetres; 0 and less are cervical."""
    return (-4.0 + 19.3 * (number - 1.0) + 0.28 * (number - 1.0) ** 2) * anatomy.scale


def rib_path(anatomy: Anatomy, number: int, side: float) -> Points:
    """Return the axis of a rib from its vertebra round to its cartilage, shape (k, 3)."""
    start = vertebra_level(anatomy, number - 0.45)
    start += anatomy.rib_shifts_mm[2 * (number - 1) + (side > 0)]
    drop = np.interp(number, [1, 2, 4, 7, 10, 12], [40, 64, 94, 118, 128, 100])
    drop *= anatomy.scale * anatomy.rib_drop
    half = float(lung_half_width(anatomy, np.asarray(start + 0.45 * drop + 4.0))) + 3.0
    deep = 0.78 * anatomy.depth_mm * np.interp(number, [1, 2, 4, 8, 12], [0.5, 0.68, 0.9, 1, 0.95])
    square = np.interp(number, [1, 4], [2.0, SQUARE])
    first = np.arcsin(min(1.0, (19.0 / half) ** (square / 2)))
    end = np.interp(number, [1, 5, 8, 10, 11, 12], [0.8, 0.78, 0.7, 0.62, 0.44, 0.32]) * np.pi
    phi = np.linspace(first, end, 160)
    x = side * half * np.sin(phi) ** (2 / square)
    z = -deep * np.sign(np.cos(phi)) * np.abs(np.cos(phi)) ** (2 / square)
    # From the vertebra the rib climbs a little at first, then falls all the way to the front.
    climb = 5.0 * np.sin(np.clip(phi / 0.9, 0, 1) * np.pi)
    y = start + drop * ((1 - np.cos(phi)) / 2) ** 0.75 - climb
    angle = np.deg2rad(anatomy.turn_deg)
    across = x * np.cos(angle) + z * np.sin(angle) + anatomy.shift_mm
    return np.stack([across, y, z], axis=1)


def _rib(anatomy: Anatomy, number: int, side: float) -> tuple[Grains, Grains]:
    path = rib_path(anatomy, number, side)
    size = np.interp(number, [1, 2, 6, 10, 12], [4.8, 4.8, 5.3, 4.9, 3.8]) * anatomy.scale
    high = size * np.array([0.7, 0.95, 1.0, 1.0, 1.0, 1.0])
    wall = [0.3, 1.1, 1.2, 1.2, 1.1, 0.95, 0.85, 0.8, 0.7, 0.6, 0.1]
    shell = tube_wall(path, height_mm=high, depth_mm=3.6, wall_mm=wall)
    return shell, tube(path, 0.95 * high * [0.6, 1.0, 1.0, 1.0, 0.9, 0.3])


def _vertebral_bodies(grid: Grid, anatomy: Anatomy) -> tuple[Map, Map]:
    """Return blocks with a waist, dense end plates and side walls, from the neck down."""
    compact, spongy = grid.empty(), grid.empty()
    middle = anatomy.turned(0.0, -55.0)
    for number in range(-3, 19):
        level, wide, tall = _vertebra(anatomy, number)
        ends = np.searchsorted(grid.y[:, 0], [level - tall - 2.0, level + tall + 2.0])
        rows = slice(int(ends[0]), int(ends[1]))
        y = (grid.y[rows] - level) / tall
        x = (grid.x - middle) / (wide * (0.9 + 0.1 * y * y))
        inside = np.clip((1.0 - np.abs(x) ** 6) * 3.0, 0, 1) * np.clip((1.0 - y**8) * 2.0, 0, 1)
        plate = np.exp(-(((np.abs(y) - 0.93) / 0.08) ** 2)) * (np.abs(x) < 0.98)
        side = np.exp(-(((np.abs(x) - 0.95) / 0.05) ** 2)) * (np.abs(y) < 0.97)
        spongy[rows] += 20.0 * inside
        compact[rows] += 1.6 * plate + 2.0 * side
    return compact, spongy


def _vertebra(anatomy: Anatomy, number: int) -> tuple[float, float, float]:
    """Return y, half width and half height of a vertebral body."""
    level = vertebra_level(anatomy, number)
    tall = (vertebra_level(anatomy, number + 1) - level - _DISC_MM) / 2
    wide = np.interp(number, [-3, 1, 4, 12, 16], [12, 14.5, 14, 19, 22]) * anatomy.scale
    return level, float(wide), tall


def _spine_arches(anatomy: Anatomy) -> list[Grains]:
    """Return pedicles, transverse and spinous processes."""
    x, tip = anatomy.turned(0.0, -75.0), anatomy.turned(0.0, -95.0)
    grains = []
    for number in range(-3, 19):
        y, wide, tall = _vertebra(anatomy, number)
        spine = smooth_path([(tip, y + 0.2 * tall, -90.0), (tip, y + 1.5 * tall, -100.0)], 20)
        grains.append(tube_wall(spine, height_mm=[2.2, 3.2], depth_mm=6.0, wall_mm=0.6))
        for _, side in SIDES:
            pedicle = _ring(x + side * 0.62 * wide, y - 0.25 * tall, 3.2, 4.8)
            grains.append(tube_wall(pedicle, height_mm=1.0, depth_mm=4.0, wall_mm=0.4))
            near, far = x + side * 0.7 * wide, x + side * 1.75 * wide
            arm = smooth_path([(near, y - 0.2 * tall, -70), (far, y - 0.5 * tall, -80)], 20)
            grains.append(tube_wall(arm, height_mm=[4.5, 4.0], depth_mm=4.0, wall_mm=0.55))
    return grains


def _ring(x: float, y: float, wide: float, tall: float) -> Points:
    turn = np.linspace(0, 2 * np.pi, 60)
    return np.stack([x + wide * np.cos(turn), y + tall * np.sin(turn), np.zeros(60)], axis=1)


def _clavicle(anatomy: Anatomy, side: float) -> tuple[Grains, Grains]:
    s = anatomy.scale
    knots = [(16, 38, 70), (40, 30, 72), (80, 12, 55), (120, -2, 30), (166, -4, 5)]
    low = anatomy.shoulder_mm * (side > 0)
    path = smooth_path(
        [(anatomy.turned(side * x * s, z), y * s + low * x / 166, z) for x, y, z in knots]
    )
    high = np.array([8.0, 6.2, 5.2, 5.4, 6.5]) * s
    wall = tube_wall(
        path, height_mm=high, depth_mm=5.5, wall_mm=[0.3, 1.0, 1.5, 1.8, 1.8, 1.6, 1.1, 0.3]
    )
    return wall, tube(path, high * [0.5, 0.9, 0.9, 0.9, 0.4])


def _scapula_path(anatomy: Anatomy, side: float, knots: Sequence[tuple[float, float]]) -> Points:
    """Return a curve through (x, y) of an average left scapula, moved to this patient's."""
    wider = anatomy.thorax_mm - 138.0 * anatomy.scale
    middle, scale = anatomy.turned(0.0, -80.0), anatomy.scale
    low = anatomy.shoulder_mm * (side > 0)
    return smooth_path(
        [(middle + side * (x * scale + wider), y * scale + low, -80.0) for x, y in knots]
    )


def _blade(grid: Grid, anatomy: Anatomy, side: float) -> Map:
    return blade(grid, _scapula_path(anatomy, side, _SCAPULA)[:, :2], 1.6)


def _scapula(anatomy: Anatomy, side: float) -> list[Grains]:
    """Return the borders of the blade, its spine and the coracoid."""
    border = _scapula_path(anatomy, side, _SCAPULA)
    ridge = _scapula_path(anatomy, side, [(114, 26), (140, 8), (166, -8), (180, -8)])
    coracoid = _scapula_path(anatomy, side, [(150, 30), (148, 12), (158, 6)])
    edge, wall = [1.2, 1.6, 2.2, 2.6, 3.2, 3.0], [0.2, 0.8, 0.8, 0.8, 0.8, 0.8, 0.2]
    return [
        tube_wall(border, height_mm=edge, depth_mm=3.5, wall_mm=wall),
        tube_wall(
            ridge, height_mm=[2.0, 4.0, 6.0, 7.0], depth_mm=4.0, wall_mm=[0.3, 0.8, 0.8, 0.2]
        ),
        tube_wall(coracoid, height_mm=[7.0, 6.0, 4.5], depth_mm=6.0, wall_mm=[0.1, 0.6, 0.3]),
    ]


def _humeral_head(grid: Grid, anatomy: Anatomy, side: float) -> tuple[Map, Map]:
    s = anatomy.scale
    centre = (side * 188.0 * s + anatomy.shift_mm, 28.0 * s)
    head = ellipsoid(grid, centre, (24 * s, 25 * s, 23 * s))
    inner = ellipsoid(grid, centre, (23 * s, 24 * s, 22 * s))
    return head - inner, 0.6 * inner


def _humeral_shaft(anatomy: Anatomy, side: float) -> Grains:
    s, x = anatomy.scale, side * 188.0 * anatomy.scale + anatomy.shift_mm
    shaft = smooth_path([(x + side * 4, 40.0 * s, 0), (x + side * 18, 150.0 * s, 0)])
    return tube_wall(shaft, height_mm=[15, 11, 11], depth_mm=11.0, wall_mm=[0.8, 2.5, 3.5])
