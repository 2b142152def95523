"""Head CT series made in code: an ellipsoid of brain in a skull, cut by any stack of planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage

from tests.dicomfiles import STUDY, change, image

Grid = NDArray[np.float64]
Bleed = Callable[[Grid, Grid, Grid], NDArray[np.bool_]]
"""From x (to the left), y (to the back), z (to the head) in mm to where blood is."""

AIR, BRAIN, BONE, BLOOD, TABLE = -1000, 35, 900, 100, 200  # Hounsfield units
SIDE = 64  # pixels
PIXEL_MM = 3.5
# Half axes in mm: to the sides, front and back, up and down.
_SKULL, _BRAIN = (75.0, 95.0, 90.0), (68.0, 88.0, 83.0)

HFS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
"""Row and column direction of a patient head first, supine."""


def tilted(degrees: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Directions of a gantry that is tilted around the patient's x axis."""
    angle = np.radians(degrees)
    return (1.0, 0.0, 0.0), (0.0, float(np.cos(angle)), float(-np.sin(angle)))


def between(low: float, high: float) -> Bleed:
    """The whole brain between two heights."""
    return lambda x, y, z: (z >= low) & (z <= high)


def left_between(low: float, high: float) -> Bleed:
    """The left half of the brain between two heights."""
    return lambda x, y, z: (x > 5) & (z >= low) & (z <= high)


def hounsfield(x: Grid, y: Grid, z: Grid, bleed: Bleed | None = None) -> NDArray[np.int16]:
    """The head at these places, in Hounsfield units; below it lies a thin table top."""
    values = np.full(x.shape, AIR, np.int16)
    values[(y > 102) & (y < 106)] = TABLE
    values[_inside(x, y, z, _SKULL)] = BONE
    brain = _inside(x, y, z, _BRAIN)
    values[brain] = BRAIN
    if bleed is not None:
        values[brain & bleed(x, y, z)] = BLOOD
    return values


def _inside(x: Grid, y: Grid, z: Grid, axes: tuple[float, float, float]) -> NDArray[np.bool_]:
    return np.asarray((x / axes[0]) ** 2 + (y / axes[1]) ** 2 + (z / axes[2]) ** 2 <= 1)


def head_series(
    *,
    heights: Sequence[float] = tuple(range(-30, 31, 5)),
    axes: tuple[Sequence[float], Sequence[float]] = HFS,
    bleed: Bleed | None = None,
    study: str = STUDY,
    series: int = 1,
    side: int = SIDE,
    thickness: float | None = 5.0,
    **elements: Any,
) -> list[Dataset]:
    """A series of slices; the first is number 1.

    Parameters
    ----------
    heights
        Of each slice along its normal, mm from the middle of the head.
    axes
        Directions of rows and columns in the patient (PS3.3 C.7.6.2.1.1).
    bleed
        Where blood is.
    study, series
        UIDs are made of these.
    side
        Rows and columns.
    thickness
        Slice Thickness, mm; None leaves it out.
    elements
        Go over every header; None deletes one.
    """
    return [
        _slice(number, height, axes, bleed, study, series, side, thickness, elements)
        for number, height in enumerate(heights, start=1)
    ]


def _slice(
    number: int,
    height: float,
    axes: tuple[Sequence[float], Sequence[float]],
    bleed: Bleed | None,
    study: str,
    series: int,
    side: int,
    thickness: float | None,
    elements: dict[str, Any],
) -> Dataset:
    row, column = (np.array(each) for each in axes)
    normal = np.cross(row, column)
    centre = np.array([0.0, 0.0, height / normal[2]]) if normal[2] else height * normal
    pixel = PIXEL_MM * SIDE / side
    corner = centre - (row + column) * pixel * (side - 1) / 2
    down, across = np.mgrid[:side, :side] * pixel
    places = corner + across[..., None] * row + down[..., None] * column
    values = hounsfield(places[..., 0], places[..., 1], places[..., 2], bleed)
    made = image(
        (values + 1024).astype(np.uint16),
        number=number,
        study=study,
        SOPClassUID=CTImageStorage,
        SOPInstanceUID=f"{study}.{series}.{number}",
        SeriesInstanceUID=f"{study}.{series}",
        SeriesNumber=series,
        Modality="CT",
        BodyPartExamined="HEAD",
        ViewPosition=None,
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        FrameOfReferenceUID=f"{study}.99",
        PatientPosition="HFS",
        ImagePositionPatient=[f"{each:.6f}" for each in corner],
        ImageOrientationPatient=[f"{each:.8f}" for each in (*row, *column)],
        PixelSpacing=[pixel, pixel],
        ConvolutionKernel="H31s",
        RescaleSlope=1,
        RescaleIntercept=-1024,
        RescaleType="HU",
        WindowCenter=40,
        WindowWidth=80,
    )
    if thickness is not None:
        made.SliceThickness = thickness
    return change(made, **elements)


def localizer(study: str = STUDY) -> Dataset:
    """A scout view of the head."""
    (made,) = head_series(heights=[0], study=study, series=9)
    return change(made, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
