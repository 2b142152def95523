"""Where pixels lie in the patient, as far as the source says so: a slice's, and the overlay's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.valuerep import DSfloat

from sr.patient import numbers, orientation, put_copy, spacing
from sr.picture import Drawing

_CROSS_SECTIONAL = frozenset({"CT", "MR"})
_TOLERANCE = 1e-3  # of direction cosines, which are written with few digits


def put_geometry(result: Dataset, source: Dataset, drawing: Drawing) -> None:
    """Write orientation, spacing and, for a slice, its plane.

    The overlay has bands of text around the source's pixels, and other pixels than the source:
    spacing and position are those of the overlay's own.

    Parameters
    ----------
    result
        The overlay.
    source
        The image that it shows.
    drawing
        How the source's pixels lie in it.
    """
    result.PatientOrientation = orientation(source)
    # Imager Pixel Spacing is measured at the detector and says nothing about the patient.
    distances = spacing(source, "PixelSpacing")
    if distances is None:
        return
    between = (distances[0] / drawing.row_scale, distances[1] / drawing.column_scale)
    result.PixelSpacing = [DSfloat(each, auto_format=True) for each in between]
    plane = plane_of(source)
    if plane is not None:
        _put_plane(result, source, plane.first_pixel(distances, drawing))


class Plane(NamedTuple):
    """Image Position (Patient), mm, and the directions of a row and of a column."""

    position: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]

    def first_pixel(self, distances: tuple[float, float], drawing: Drawing) -> NDArray[np.float64]:
        """Return where the centre of the overlay's first pixel lies, mm."""
        # Both first pixels' centres lie half a pixel, each of its own size, from their corners.
        down = (0.5 - drawing.top) / drawing.row_scale - 0.5
        across = (0.5 - drawing.left) / drawing.column_scale - 0.5
        position: NDArray[np.float64] = (
            self.position
            + self.along_column * down * distances[0]
            + self.along_row * across * distances[1]
        )
        return position


def plane_of(source: Dataset) -> Plane | None:
    """Return the plane of a slice; None if the source is none, or does not say where it lies."""
    if source.get("Modality") not in _CROSS_SECTIONAL or not source.get("FrameOfReferenceUID"):
        return None
    position = numbers(source, "ImagePositionPatient", 3)
    directions = numbers(source, "ImageOrientationPatient", 6)
    if position is None or directions is None or not np.isfinite([*position, *directions]).all():
        return None
    along_row, along_column = np.array(directions[:3]), np.array(directions[3:])
    products = (along_row @ along_row, along_column @ along_column, along_row @ along_column)
    if not np.allclose(products, (1.0, 1.0, 0.0), atol=_TOLERANCE):
        return None
    return Plane(np.array(position), along_row, along_column)


def _put_plane(result: Dataset, source: Dataset, position: NDArray[np.float64]) -> None:
    """Write the Frame of Reference and Image Plane modules (PS3.3 C.7.4.1, C.7.6.2)."""
    for name in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
        put_copy(result, source, name)
    for name in ("ImageOrientationPatient", "SliceThickness"):
        put_copy(result, source, name)
    result.ImagePositionPatient = [DSfloat(float(each), auto_format=True) for each in position]
