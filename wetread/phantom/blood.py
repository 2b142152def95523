"""Haemorrhage in the head: where the blood is, so that it is as much as was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from wetread.phantom.anatomy import SIDES, Side
from wetread.phantom.head import FIELD_MM, Head, Layers, layers, step
from wetread.phantom.raster import Grid, Map

Bleeding = Literal["none", "intraparenchymal", "subdural", "epidural"]
_VOLUMES_ML = (1.0, 120.0)
_COARSE_MM = 2.5  # where blood is counted
# Where hypertensive and lobar bleedings are found, on the left.
_CENTRES = ((28.0, -4.0, 8.0), (33.0, -34.0, 26.0), (36.0, 30.0, 28.0))


@dataclass(frozen=True, kw_only=True)
class Haemorrhage:
    """Kind, side and size of a bleeding.

    Attributes
    ----------
    kind
        "none", in the brain ("intraparenchymal"), a crescent over it ("subdural") or a lens
        between skull and dura ("epidural").
    side
        The patient's.
    volume_ml
        1 to 120.
    """

    kind: Bleeding = "none"
    side: Side = "left"
    volume_ml: float = 40.0

    def __post_init__(self) -> None:
        """Refuse what no skull holds.

        Raises
        ------
        ValueError
            ``volume_ml`` is out of range.
        """
        least, most = _VOLUMES_ML
        if not least <= self.volume_ml <= most:
            raise ValueError(f"volume_ml is {self.volume_ml}; give {least:.0f} to {most:.0f}")


@dataclass(frozen=True, kw_only=True)
class Clot:
    """Blood in one head.

    Attributes
    ----------
    head, haemorrhage
        Whose, and what.
    centre
        Its middle, mm.
    reach
        How far it extends from there, in the measure of ``_field``.
    """

    head: Head
    haemorrhage: Haemorrhage
    centre: tuple[float, float, float]
    reach: float

    @property
    def shift_mm(self) -> float:
        """How far it pushes the midline to the other side; x of that."""
        push = min(9.0, 0.09 * self.haemorrhage.volume_ml)
        return -push if self.centre[0] > 0 else push

    def margin(self, at: Layers, grid: Grid) -> Map:
        """Distance into the blood, about mm; negative outside."""
        field, scale = _field(self.haemorrhage.kind, self.centre, at, self.head, grid)
        return (self.reach - field) * scale

    def share(self, at: Layers, grid: Grid) -> Map:
        """How much of each sample is blood, 0..1."""
        return step(self.margin(at, grid)) * step(at.within)


def bleed(head: Head, haemorrhage: Haemorrhage) -> Clot | None:
    """Lay so much blood into a head as was asked for; None for no finding."""
    if haemorrhage.kind == "none":
        return None
    rng = np.random.default_rng([head.seed, 11])
    place = _CENTRES[int(rng.integers(len(_CENTRES)))]
    x, y, z = (float(each) for each in place + rng.normal(0.0, 2.0, 3))
    centre = (x * dict(SIDES)[haemorrhage.side], y, z)
    return Clot(
        head=head,
        haemorrhage=haemorrhage,
        centre=centre,
        reach=_reach(head, haemorrhage, centre),
    )


def _reach(head: Head, haemorrhage: Haemorrhage, centre: tuple[float, float, float]) -> float:
    """How far blood extends that fills the volume: that of the samples which it reaches first."""
    side = round(FIELD_MM / _COARSE_MM)
    grid = Grid(rows=side, columns=side, pitch_mm=_COARSE_MM, top_mm=-FIELD_MM / 2)
    found = []
    for z in np.arange(-45.0, head.height, _COARSE_MM):
        at = layers(head, grid, float(z))
        field, _ = _field(haemorrhage.kind, centre, at, head, grid)
        found.append(field[at.within > 0])
    count = round(haemorrhage.volume_ml * 1000.0 / _COARSE_MM**3)
    return float(np.partition(np.concatenate(found), count)[count])


def _field(
    kind: Bleeding, centre: tuple[float, float, float], at: Layers, head: Head, grid: Grid
) -> tuple[Map, Map]:
    """How late blood comes to each place, and how many mm one of that is."""
    x, y, z = at.x - centre[0], at.y - centre[1], at.z - centre[2]
    if kind == "intraparenchymal":
        off = np.sqrt(x * x + (y / 1.35) ** 2 + np.float32((z / 1.1) ** 2))
        deep = 40.0 * step(6.0 - at.within, 6.0)  # it stays below the cortex as long as it can
        return off + 2.0 * head.grain.at(grid, at.z) + deep, np.ones_like(off)
    same_side = step(at.x * np.sign(centre[0]) - 6.0, 8.0)
    if kind == "subdural":
        profile = np.exp(-((y / 52.0) ** 2) - np.float32((z / 36.0) ** 2)) * same_side
        profile = profile * (1.0 + 0.15 * head.relief.at(grid, at.z))
    else:
        across = (y / 34.0) ** 2 + np.float32((z / 34.0) ** 2)
        profile = np.sqrt(np.maximum(1.0 - across, 0.0)) * same_side
    profile = np.maximum(profile, np.float32(0.02))
    return np.maximum(at.within, 0.0) / profile, profile
