"""Hounsfield units of a head: scalp, skull and its base, brain, ventricles, blood."""

from __future__ import annotations

import numpy as np

from wetread.phantom.blood import Clot
from wetread.phantom.head import Head, Layers, ball, layers, rod, step
from wetread.phantom.raster import Grid, Map

# Hounsfield units at 120 kV.
AIR = -1000.0
_SKIN, _FAT, _MUSCLE = 20.0, -85.0, 52.0
_COMPACT, _SPONGY, _BASE = 1450.0, 650.0, 1050.0
_GREY, _WHITE, _CEREBELLUM, _FLUID, _DURA, _VITREOUS = 38.5, 32.0, 36.0, 9.0, 48.0, 14.0
_FRESH_BLOOD, _OEDEMA = 68.0, 24.0
_OEDEMA_MM = 6.0
_BASE_TOP = -14.0  # above this height there is no bone but the vault


def hounsfield(head: Head, clot: Clot | None, grid: Grid, z: float) -> Map:
    """Return the plane at the height ``z`` in Hounsfield units, shape of the grid."""
    at = layers(head, grid, z)
    grain = head.grain.at(grid, z)
    values = np.full((grid.rows, grid.columns), AIR, np.float32)
    _add_scalp(values, at)
    _add_skull(values, at, grain)
    inside = step(at.within)
    brain = _brain(head, clot, at, grid)
    if clot is not None:
        _add_blood(brain, clot, at, grid, grain)
    _add_base(brain, at, grain)
    return values + inside * (brain - values)


def _mix(values: Map, into: float | Map, share: Map) -> None:
    values += share * (into - values)


def _add_scalp(values: Map, at: Layers) -> None:
    _mix(values, _SKIN, step(at.depth + at.scalp))
    _mix(values, _FAT, step(at.depth + at.scalp - 2.0))
    # The muscles of the temples and the neck.
    temple = step(np.float32(18.0 - at.z), 24.0) * step(np.abs(at.x) - 48.0, 12.0)
    neck = step(np.float32(-12.0 - at.z), 24.0) * step(at.y - 50.0, 12.0)
    _mix(values, _MUSCLE, step(at.depth + 0.75 * at.scalp) * np.maximum(temple, neck))
    _mix(values, _SKIN, step(at.depth + 1.5) * 0.6)  # the galea


def _add_skull(values: Map, at: Layers, grain: Map) -> None:
    _mix(values, _COMPACT, step(at.depth))
    spongy = np.minimum(at.depth - 1.9, at.skull - 1.7 - at.depth)
    _mix(values, _SPONGY + 170.0 * grain, step(spongy))


def _brain(head: Head, clot: Clot | None, at: Layers, grid: Grid) -> Map:
    pushed = at if clot is None else _pushed(at, clot)
    surface = _surface_fluid(head, at, grid)
    values = np.full(at.depth.shape, _WHITE, np.float32)
    _mix(values, _GREY, step(4.2 - surface, 2.5))  # the cortex follows the fluid
    for side in (-1.0, 1.0):
        for grey in _deep_grey(pushed, side):
            _mix(values, _GREY, step(grey, 2.0))
    _add_hindbrain(values, at, head, grid)
    _mix(values, _FLUID, step(-surface))
    for chamber in _chambers(pushed, head.ventricles):
        _mix(values, _FLUID, step(chamber, 1.8))
    _add_falx(values, pushed, head)
    _mix(values, _DURA, step(1.0 - at.within))
    return values


def _pushed(at: Layers, clot: Clot) -> Layers:
    """Where the places of a plane were before the blood pushed them; the skull stays."""
    near = np.exp(-((at.y - clot.centre[1]) ** 2 + np.float32((at.z - clot.centre[2]) ** 2)) / 2500)
    give = np.clip(at.within / 30.0, 0.0, 1.0)
    moved = at.x - np.float32(clot.shift_mm) * near * give
    return Layers(x=moved, y=at.y, z=at.z, depth=at.depth, scalp=at.scalp, skull=at.skull)


def _surface_fluid(head: Head, at: Layers, grid: Grid) -> Map:
    """Distance to the fluid over the brain and in its sulci, mm; negative in it."""
    cover = at.within - (0.4 + 1.3 * head.wasting) * (1.0 + 0.3 * head.relief.at(grid, at.z))
    # Sulci follow the zero of a texture; they close towards the depth.
    half = (0.35 + 0.9 * head.wasting) * (1.0 - at.within / 19.0)
    sulci = 4.5 * np.abs(head.gyri.at(grid, at.z)) - half
    sulci += np.float32(30.0) * step(at.within - 20.0, 4.0)
    bend = 3.0 * head.relief.at(grid, at.z) + 0.006 * (at.y + 6.0) ** 2
    insula = np.abs(np.abs(at.x) + bend - 0.55 * head.half_width) - 0.7 - 0.6 * head.wasting
    insula = np.maximum(insula, np.abs(at.y + 6.0) - 17.0)
    rise = at.y + 14.0 + 0.5 * np.float32(at.z) + 0.25 * (np.abs(at.x) - 40.0) - bend
    cleft = np.abs(rise) - 0.8 - 0.8 * head.wasting
    cleft = np.maximum(cleft, 0.55 * head.half_width - np.abs(at.x))
    sylvian = np.maximum(np.minimum(insula, cleft), np.float32(abs(at.z - 2.0) - 15.0))
    return np.asarray(np.minimum(np.minimum(cover, sulci), sylvian), np.float32)


def _deep_grey(at: Layers, side: float) -> tuple[Map, ...]:
    """Caudate and lentiform nucleus, thalamus."""
    return (
        ball(at, (side * 14.5, -21.0, 12.0), (4.5, 10.0, 10.0)),
        ball(at, (side * 25.0, -6.0, 6.0), (6.5, 15.0, 10.0)),
        ball(at, (side * 11.0, 9.0, 8.0), (8.0, 13.0, 9.0)),
    )


def _chambers(at: Layers, size: float) -> list[Map]:
    """The ventricles and the cisterns around the brainstem."""
    found = [
        rod(at, (0.0, -6.0, 2.0), (0.0, 12.0, 5.0), 1.9 * size),
        ball(at, (0.0, 43.0, -32.0), (6.0 * size, 4.5, 8.0)),
        ball(at, (0.0, -8.0, -20.0), (11.0, 8.0, 7.0)),
        rod(at, (-13.0, 20.0, -13.0), (13.0, 20.0, -13.0), 2.2),
    ]
    for side in (-1.0, 1.0):
        horn, body = (side * 9.0, -30.0, 12.0), (side * 10.0, 8.0, 24.0)
        atrium, back = (side * 22.0, 30.0, 12.0), (side * 20.0, 46.0, 8.0)
        found += [
            rod(at, horn, body, 4.6 * size),
            rod(at, body, atrium, 5.2 * size),
            rod(at, atrium, back, 3.0 * size),
            rod(at, (side * 26.0, 18.0, -6.0), atrium, 2.4 * size),
        ]
    return found


def _add_hindbrain(values: Map, at: Layers, head: Head, grid: Grid) -> None:
    """Cerebellum and brainstem below the tentorium, which rises to the middle."""
    roof = np.float32(-12.0 - at.z) - 0.22 * np.abs(at.x) + 8.0
    below = np.minimum(roof, at.y - 4.0 - 0.5 * np.abs(at.x))  # the petrous bones bound it
    _mix(values, _CEREBELLUM + 2.0 * head.grain.at(grid, at.z), step(below, 3.0))
    _mix(values, _DURA, step(1.0 - np.abs(roof), 1.5) * step(at.y - 22.0, 6.0) * 0.7)
    stem = ball(at, (0.0, 22.0, -30.0), (14.0, 13.0, 34.0))
    _mix(values, _WHITE + 3.0, step(stem, 3.0))


def _add_falx(values: Map, at: Layers, head: Head) -> None:
    """The fissure between the hemispheres, but for the bridge, and the falx in it."""
    bridge = np.sqrt((at.y / 50.0) ** 2 + np.float32(((at.z - 10.0) / 30.0) ** 2)) - 1.0
    there = step(30.0 * bridge, 6.0) * step(np.float32(at.z + 8.0), 8.0)
    _mix(values, _FLUID, step(0.3 + 0.7 * head.wasting - np.abs(at.x)) * there)
    _mix(values, _DURA, step(0.45 - np.abs(at.x), 1.0) * there)
    sinus = np.minimum(5.0 - np.abs(at.x), 6.0 - at.within - 0.5 * np.abs(at.x))
    _mix(values, _DURA, step(np.minimum(sinus, at.y + 30.0)) * there)


def _add_base(values: Map, at: Layers, grain: Map) -> None:
    """Petrous bones and sphenoid wings, orbits and sinuses: what lies below the brain."""
    if at.z > _BASE_TOP:
        return
    roof = np.float32(-32.0 - at.z) + 0.004 * at.x**2 + 2.0 * grain
    front = np.minimum(-20.0 - at.y - 0.2 * np.abs(at.x), roof)
    _mix(values, _BASE, step(front))
    _mix(values, _MUSCLE, step(front - 3.5, 3.0))
    for side in (-1.0, 1.0):
        petrous = rod(at, (side * 64.0, 30.0, -44.0), (side * 15.0, 0.0, -40.0), 8.5)
        _mix(values, _BASE + 250.0 * grain, step(petrous))
        cells = np.minimum(ball(at, (side * 60.0, 36.0, -46.0), (12.0, 15.0, 13.0)), 1.5 * grain)
        _mix(values, AIR, step(cells, 2.0))
        _mix(
            values,
            _BASE,
            step(rod(at, (side * 8.0, -24.0, -29.0), (side * 56.0, -42.0, -22.0), 3.5)),
        )
        orbit = ball(at, (side * 31.0, -62.0, -50.0), (17.0, 28.0, 16.0))
        _mix(values, _FAT, step(orbit))
        _mix(values, _VITREOUS, step(ball(at, (side * 32.0, -72.0, -50.0), (12.0, 12.0, 12.0))))
    for centre, half in (
        ((0.0, -60.0, -50.0), (11.0, 24.0, 15.0)),
        ((0.0, -22.0, -47.0), (13.0, 12.0, 10.0)),
        ((0.0, -78.0, -33.0), (16.0, 6.0, 9.0)),
    ):
        _mix(values, AIR, step(np.minimum(ball(at, centre, half), 1.6 + 1.5 * grain), 2.0))


def _add_blood(values: Map, clot: Clot, at: Layers, grid: Grid, grain: Map) -> None:
    share = clot.share(at, grid)
    if clot.haemorrhage.kind == "intraparenchymal":
        rim = step(clot.margin(at, grid) + _OEDEMA_MM, 4.0) * step(at.within - 4.0, 2.0)
        _mix(values, _OEDEMA, 0.8 * rim)
    _mix(values, _FRESH_BLOOD + 4.0 * grain, share)
