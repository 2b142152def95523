"""Where the slices of a series lie in the patient: their order, their gaps, and which way is up.

All by Image Position and Image Orientation (Patient) (PS3.3 C.7.6.2.1.1), never by instance
number. Coordinates are the patient's: x to the left hand, y to the back, z to the head, mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from sr.reasons import Reason

Vector = NDArray[np.float64]
_Type = TypeVar("_Type", bound=np.generic)

_MOST_TILTED_DEGREES = 32.0  # gantries tilt by up to 30
_SAME_DIRECTION = 0.01  # of unit vectors, about half a degree
_SAME_PLACE_MM = 0.05
_SAME_SPACING = 0.01  # relative
_MISSING = 1.5  # times the usual distance of neighbours: a slice is missing between them
_UNSEEN = 1.25  # times their thickness: so is the anatomy
_ABOUT = 0.25  # a series at the model's spacing within this is taken as it is
_FURTHEST = 1.5  # times the model's spacing: no slice stands for a place further away than that


class Unfit(ValueError):
    """A series that cannot be read as a stack.

    Attributes
    ----------
    reason
        Why, without patient data.
    """

    def __init__(self, template: str, **values: object) -> None:
        self.reason = Reason.of(template, **values)
        super().__init__(str(self.reason))


@dataclass(frozen=True)
class Turn:
    """How stored pictures are turned to what radiologists look at.

    There the patient's right is at the left edge, and the front at the upper.

    Attributes
    ----------
    transposed
        Rows and columns change places first.
    rows_reversed, columns_reversed
        Then the order of rows, of columns, is reversed.
    """

    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    def apply(self, stored: NDArray[_Type]) -> NDArray[_Type]:
        """Turn a stored picture, shape (rows, columns), or a map laid over it."""
        turned = stored.T if self.transposed else stored
        return np.ascontiguousarray(self._flipped(turned))

    def undo(self, turned: NDArray[_Type]) -> NDArray[_Type]:
        """Turn back to the rows and columns of the stored picture."""
        flipped = self._flipped(turned)
        return np.ascontiguousarray(flipped.T if self.transposed else flipped)

    def _flipped(self, picture: NDArray[_Type]) -> NDArray[_Type]:
        return picture[:: -1 if self.rows_reversed else 1, :: -1 if self.columns_reversed else 1]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Parallel axial slices in order.

    Attributes
    ----------
    order
        Indices of the given headers, caudal to cranial.
    heights
        Where their centres lie along the normal, mm, rising; in the same order.
    turn
        How their pictures are turned.
    """

    order: tuple[int, ...]
    heights: Vector
    turn: Turn

    @property
    def spacing(self) -> float:
        """The usual distance of neighbours, mm."""
        return float(np.median(np.diff(self.heights)))

    @property
    def coverage(self) -> float:
        """From the centre of the first slice to that of the last, mm."""
        return float(self.heights[-1] - self.heights[0])


@dataclass(frozen=True)
class Cut:
    """One slice as the model sees it; indices are places in the stack.

    Attributes
    ----------
    nearest
        The slice that bears its name.
    members
        The slices whose mean it is.
    """

    nearest: int
    members: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Plane:
    """What one header says of its slice; lengths in mm."""

    position: Vector
    row: Vector
    column: Vector
    matrix: tuple[int, int]
    spacing: Vector
    thickness: float


def stack_of(headers: Sequence[Dataset]) -> Stack:
    """Order the slices of one series from caudal to cranial.

    Parameters
    ----------
    headers
        At least two; Pixel Data is not needed.

    Raises
    ------
    Unfit
        Positions or orientations are missing, the slices are not parallel, not axial, of
        different matrix or pixel size, or at one place, or one is missing between others.
    """
    planes = [_plane(each) for each in headers]
    _check_alike(planes)
    normal = np.cross(planes[0].row, planes[0].column)
    if abs(normal[2]) < np.cos(np.radians(_MOST_TILTED_DEGREES)):
        raise Unfit("the slices are not axial")
    cranial = normal * np.sign(normal[2])
    heights = np.array([each.position @ cranial for each in planes])
    order = np.argsort(heights, kind="stable")
    _check_gaps(heights[order], np.array([planes[i].thickness for i in order]))
    return Stack(
        order=tuple(int(each) for each in order),
        heights=heights[order],
        turn=_turn(planes[0]),
    )


def cuts(stack: Stack, spacing: float | None) -> list[Cut]:
    """Lay slices at the model's spacing through a stack, from its first slice to its last.

    Each is the mean of all slices whose centre lies within half the spacing, or the nearest slice
    where there is none. A stack at about that spacing is taken as it is.

    Parameters
    ----------
    stack
        The slices.
    spacing
        Distance of neighbours that the model was trained at, mm; None takes any.

    Raises
    ------
    Unfit
        No slice is near enough.
    """
    gaps = np.diff(stack.heights)
    if spacing is None or np.all(np.abs(gaps / spacing - 1) <= _ABOUT):
        return [Cut(each, (each,)) for each in range(len(stack.order))]
    count = int(np.floor(stack.coverage / spacing + 0.5)) + 1
    return [
        _cut(stack.heights, stack.heights[0] + each * spacing, spacing) for each in range(count)
    ]


def _cut(heights: Vector, target: float, spacing: float) -> Cut:
    distances = np.abs(heights - target)
    nearest = int(distances.argmin())
    if distances[nearest] > _FURTHEST * spacing:
        gap = f"{2 * distances[nearest]:.0f}"
        raise Unfit("the slices have a gap of {gap} mm", gap=gap)
    members = np.flatnonzero(distances <= spacing / 2 + _SAME_PLACE_MM)
    return Cut(nearest, tuple(int(each) for each in members) or (nearest,))


def _plane(header: Dataset) -> _Plane:
    orientation = _numbers(header, "ImageOrientationPatient", 6)
    position = _numbers(header, "ImagePositionPatient", 3)
    if orientation is None or position is None:
        raise Unfit("the slices have no position or orientation in the patient")
    row, column = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if (
        np.any(np.abs(np.array(lengths) - 1) > _SAME_DIRECTION)
        or abs(row @ column) > _SAME_DIRECTION
    ):
        raise Unfit("the orientation of the slices is malformed")
    spacing = _numbers(header, "PixelSpacing", 2)
    if spacing is None or np.any(spacing <= 0):
        raise Unfit("the slices have no Pixel Spacing (0028,0030)")
    if abs(spacing[0] / spacing[1] - 1) > _SAME_SPACING:
        raise Unfit("the pixels are not square")
    thickness = _numbers(header, "SliceThickness", 1)
    return _Plane(
        position=position,
        row=row / lengths[0],
        column=column / lengths[1],
        matrix=(int(header.Rows), int(header.Columns)),
        spacing=spacing,
        thickness=0.0 if thickness is None else float(thickness[0]),
    )


def _check_alike(planes: Sequence[_Plane]) -> None:
    first = planes[0]
    for each in planes[1:]:
        if each.matrix != first.matrix:
            raise Unfit("the slices of one series have different matrix sizes")
        if np.any(np.abs(each.spacing / first.spacing - 1) > _SAME_SPACING):
            raise Unfit("the slices of one series have different pixel spacings")
        turned = max(np.abs(each.row - first.row).max(), np.abs(each.column - first.column).max())
        if turned > _SAME_DIRECTION:
            raise Unfit("the slices of one series lie in different planes")


def _check_gaps(heights: Vector, thicknesses: Vector) -> None:
    gaps = np.diff(heights)
    if np.any(gaps < _SAME_PLACE_MM):
        raise Unfit("several slices of one series lie at one place")
    between = (thicknesses[:-1] + thicknesses[1:]) / 2
    limits = np.maximum(_MISSING * np.median(gaps), _UNSEEN * between)
    if np.any(gaps > limits):
        widest = f"{gaps[gaps > limits].max():.1f}"
        raise Unfit("a slice is missing: two neighbours are {gap} mm apart", gap=widest)


def _turn(plane: _Plane) -> Turn:
    """Find what makes columns run to the patient's left, and rows to the back."""
    transposed = bool(abs(plane.row[0]) < abs(plane.row[1]))
    across, down = (plane.column, plane.row) if transposed else (plane.row, plane.column)
    return Turn(transposed, rows_reversed=bool(down[1] < 0), columns_reversed=bool(across[0] < 0))


def _numbers(header: Dataset, keyword: str, count: int) -> Vector | None:
    """Values of an element as finite numbers; None if there are not that many."""
    value: Any = header.get(keyword)
    if value is None or value == "":
        return None
    values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    return values if values.shape == (count,) and np.isfinite(values).all() else None
