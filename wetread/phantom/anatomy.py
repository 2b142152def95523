"""The build of one synthetic patient, drawn from a seed: every length in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Side = Literal["right", "left"]
SIDES: tuple[tuple[Side, float], ...] = (("right", -1.0), ("left", 1.0))


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """Measures of a thorax.

    Attributes
    ----------
    sex
        "F" adds breast shadows.
    scale
        Size of the skeleton against an average adult.
    thorax_mm
        Half the inner width of the rib cage at its widest.
    wall_mm
        Soft tissue from the ribs to the skin at the side.
    depth_mm
        Half the front to back extent of the body at mid chest.
    dome_mm
        y of the right dome of the diaphragm.
    dome_step_mm
        How much lower the left dome stands.
    heart
        Width of the heart against an average one.
    aorta_mm
        Radius of the aortic knob.
    rib_drop
        Slope of the ribs against an average one.
    rib_pairs
        11 or 12.
    rib_shifts_mm
        How far each rib sits from its even place, 24 values; no two sides are alike.
    shoulder_mm
        How much lower the left shoulder hangs.
    turn_deg
        Rotation about the long axis; positive turns the patient's front to the left.
    shift_mm
        How far off the middle of the detector the patient stands.
    breast_mm
        Radius of the breast shadows; 0 for none.
    stomach_mm
        Radius of the air bubble in the stomach; 0 for none.
    """

    sex: Literal["F", "M"]
    scale: float
    thorax_mm: float
    wall_mm: float
    depth_mm: float
    dome_mm: float
    dome_step_mm: float
    heart: float
    aorta_mm: float
    rib_drop: float
    rib_pairs: int
    rib_shifts_mm: tuple[float, ...]
    shoulder_mm: float
    turn_deg: float
    shift_mm: float
    breast_mm: float
    stomach_mm: float

    def turned(self, x: float, z: float) -> float:
        """Return where ``x`` at the depth ``z`` falls after the patient's rotation and shift."""
        angle = np.deg2rad(self.turn_deg)
        return float(x * np.cos(angle) + z * np.sin(angle)) + self.shift_mm


def draw_anatomy(seed: int) -> Anatomy:
    """Draw a patient; the same seed gives the same patient."""
    rng = np.random.default_rng([seed, 1])
    sex: Literal["F", "M"] = "F" if rng.random() < 0.5 else "M"
    scale = float(np.clip(rng.normal(1.01 if sex == "M" else 0.95, 0.03), 0.88, 1.08))
    girth = float(np.clip(rng.normal(0.0, 1.0), -1.6, 2.0))
    return Anatomy(
        sex=sex,
        scale=scale,
        thorax_mm=float(rng.normal(138.0, 4.0)) * scale,
        wall_mm=26.0 + 6.0 * girth,
        depth_mm=112.0 + 8.0 * girth,
        dome_mm=float(rng.normal(218.0, 9.0)) * scale,
        dome_step_mm=float(rng.uniform(5.0, 18.0)),
        heart=float(np.clip(rng.normal(1.0, 0.07), 0.85, 1.2)),
        aorta_mm=float(rng.uniform(13.0, 18.0)),
        rib_drop=float(np.clip(rng.normal(1.0, 0.1), 0.8, 1.2)),
        rib_pairs=12 if rng.random() < 0.9 else 11,
        rib_shifts_mm=tuple(rng.normal(0.0, 0.9, 24).tolist()),
        shoulder_mm=float(np.clip(rng.normal(0.0, 4.0), -8.0, 8.0)),
        turn_deg=float(np.clip(rng.normal(0.0, 1.5), -4.0, 4.0)),
        shift_mm=float(np.clip(rng.normal(0.0, 3.0), -7.0, 7.0)),
        breast_mm=float(rng.uniform(52.0, 72.0)) if sex == "F" else 0.0,
        stomach_mm=float(rng.uniform(14.0, 26.0)) if rng.random() < 0.75 else 0.0,
    )
