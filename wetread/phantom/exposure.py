"""From thickness to grey: attenuation, scatter, quantum noise, logarithm, display processing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wetread.phantom.anatomy import draw_anatomy
from wetread.phantom.opacity import Finding, Opacity, lost_air
from wetread.phantom.raster import Grid, Map, blur, cloud, resize
from wetread.phantom.skeleton import build_skeleton
from wetread.phantom.thorax import build_thorax
from wetread.phantom.vessels import build_vessels

# Linear attenuation at the mean energy of a filtered 120 kV beam, about 60 keV, per millimetre.
_SOFT, _LUNG, _SPONGY, _COMPACT = 0.0203, 0.0056, 0.0265, 0.058
# Detector field of a 35 x 43 cm plate; the apex of the lungs lies this far below its upper edge.
FIELD_MM = 428.0
_APEX_MM = 58.0
_QUANTA = 200_000.0  # quanta that reach 1 mm^2 of the detector without a patient
_FINEST_MM = 0.42  # anatomy is drawn no finer than this; detail below it is noise anyway


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is imaged.

    Attributes
    ----------
    seed
        The patient.
    finding, opacity
        What is wrong with the lungs, and where.
    exposure
        Number of the exposure; each has its own noise.
    marker
        Whether a lead "L" lies at the patient's left shoulder.
    """

    seed: int
    finding: Finding = "none"
    opacity: Opacity = field(default_factory=Opacity)
    exposure: int = 1
    marker: bool = True


def expose(
    scene: Scene, *, rows: int, columns: int, pitch_mm: float, bits: int
) -> NDArray[np.uint16]:
    """Take the radiograph.

    Returns
    -------
    NDArray[np.uint16]
        Shape (rows, columns), 0 (unattenuated beam) to 2**bits - 1, dense is high.
    """
    # Every exposure of a scene sees the same anatomy.
    attenuation = attenuate(replace(scene, exposure=0), rows, columns, pitch_mm)
    rng = np.random.default_rng([scene.seed, 4, scene.exposure])
    signal = _detect(resize(attenuation, rows, columns), pitch_mm, rng)
    return _present(signal, pitch_mm, bits)


@lru_cache(maxsize=4)
def attenuate(scene: Scene, rows: int, columns: int, pitch_mm: float) -> Map:
    """Return the line integrals of attenuation on the anatomy's grid, dimensionless.

    The last few are kept, because the same patient is often wanted again in another format.
    """
    coarser = max(1.0, _FINEST_MM / pitch_mm)
    grid = Grid(
        rows=round(rows / coarser),
        columns=round(columns / coarser),
        pitch_mm=pitch_mm * coarser,
        top_mm=-_APEX_MM,
    )
    anatomy = draw_anatomy(scene.seed)
    thorax, bones = build_thorax(grid, anatomy), build_skeleton(grid, anatomy)
    rng = np.random.default_rng([scene.seed, 5])
    lost = lost_air(grid, thorax, scene.finding, scene.opacity, scene.seed)
    vessels = build_vessels(grid, anatomy, scene.seed)
    grain = 1.0 + 0.02 * cloud(rng, grid, 2.4, octaves=2)
    lung = np.maximum(thorax.lung * (1.0 - lost) * grain - 1.9 * vessels, 0.0)
    soft = np.maximum(thorax.body - lung - thorax.air, 0.0)
    soft *= 1.0 + 0.012 * cloud(rng, grid, 40.0, octaves=2)
    total = _SOFT * soft + _LUNG * lung
    compact = blur(bones.compact, 0.5 / grid.pitch_mm)
    total += (_COMPACT - _SOFT) * compact + (_SPONGY - _SOFT) * bones.spongy
    if scene.marker:
        total = total + _marker(grid)
    return np.asarray(total, np.float32)


def _marker(grid: Grid) -> Map:
    """A lead "L" at the patient's left shoulder."""
    x, y = grid.x - grid.columns * grid.pitch_mm * 0.44, grid.y + _APEX_MM - 26.0
    upright = (np.abs(x) < 1.6) & (np.abs(y) < 7.5)
    foot = (np.abs(x - 3.6) < 5.2) & (np.abs(y - 6.0) < 1.5)
    return np.asarray(3.0 * (upright | foot), np.float32)


def _detect(attenuation: Map, pitch_mm: float, rng: np.random.Generator) -> Map:
    """Return what the detector measures against the open beam: primary, scatter and noise."""
    primary = np.exp(-attenuation)
    born = np.asarray(primary * np.minimum(attenuation, 4.0), np.float32)
    scatter = blur(born, 45.0 / pitch_mm)
    image = primary + 0.079 * scatter
    quanta = _QUANTA * pitch_mm**2
    noise: Map = rng.standard_normal(image.shape, np.float32) * np.sqrt(image / quanta)
    # The phosphor spreads light: its blur leaves the noise correlated.
    image = image + blur(noise, max(0.35, 0.11 / pitch_mm))
    return np.asarray(np.maximum(image, 1e-4), np.float32)


def _present(signal: Map, pitch_mm: float, bits: int) -> NDArray[np.uint16]:
    """Logarithm, compression of the dynamic range, edge enhancement, tone curve."""
    density = np.asarray(-np.log(signal), np.float32)
    coarse = blur(density, 14.0 / pitch_mm)
    fine = blur(density, max(0.4, 1.2 / pitch_mm))
    flat = 0.78 * coarse + 1.12 * (fine - coarse) + 1.5 * (density - fine)
    grey = _tone(flat)
    return np.asarray(np.rint(grey * (2**bits - 1)), np.uint16)


def _tone(density: Map) -> Map:
    """Map processed density to 0..1: black air, dark lungs, a bright but not white middle."""
    x = [-0.5, 0.0, 0.6, 1.2, 1.6, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0]
    y = [0.0, 0.02, 0.06, 0.19, 0.33, 0.49, 0.67, 0.81, 0.90, 0.96, 1.0]
    return np.interp(density, x, y).astype(np.float32)
