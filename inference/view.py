"""How a picture lies in a model's input tensor, and the way back from there.

Outputs are laid over the tensor; findings are laid over the source image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.crop import Box, head_box, whole
from inference.pixels import Placement, Preparation, placement

Boxes = NDArray[np.float64]
"""Shape (n, 4): left, top, right, bottom."""


@dataclass(frozen=True, kw_only=True)
class View:
    """The part of a picture that a tensor shows, and where in the tensor it lies.

    Attributes
    ----------
    rows, columns
        Size of the picture, pixels.
    box
        The part of it that went into the tensor.
    place
        Where that part lies in the tensor.
    tensor
        Rows and columns of the tensor.
    """

    rows: int
    columns: int
    box: Box
    place: Placement
    tensor: tuple[int, int]

    @classmethod
    def of(cls, picture: NDArray[np.uint8], preparation: Preparation, box: Box | None) -> View:
        """Tell how ``inference.pixels.prepare`` lays a picture with the same arguments."""
        shown = whole(picture) if box is None else box
        place = placement(shown.bottom - shown.top, shown.right - shown.left, preparation)
        rows, columns = picture.shape
        return cls(
            rows=rows, columns=columns, box=shown, place=place,
            tensor=(preparation.rows, preparation.columns),
        )  # fmt: skip

    def map_to_picture(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lay a map over the tensor onto the picture.

        Parameters
        ----------
        values
            Shape (h, w), over the whole input tensor.

        Returns
        -------
        NDArray[np.float32]
            Values 0..1; its edges are the picture's edges. At the tensor's resolution, because a
            coarse map's cells do not end where the picture does; with a crop at the picture's,
            and 0 outside the crop.
        """
        cut = cut_margin(values, self.place, self.tensor)
        if self.box == Box(0, 0, self.columns, self.rows):
            return cut
        return self._pasted(cut)

    def _pasted(self, cut: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put a map of the box where the box lies, shape (rows, columns)."""
        box = self.box
        fine = _bilinear(cut, (box.bottom - box.top, box.right - box.left))
        top, left = max(box.top, 0), max(box.left, 0)
        bottom, right = min(box.bottom, self.rows), min(box.right, self.columns)
        picture = np.zeros((self.rows, self.columns), np.float32)
        picture[top:bottom, left:right] = fine[
            top - box.top : bottom - box.top, left - box.left : right - box.left
        ]
        return picture

    def boxes_to_picture(self, boxes: Boxes) -> Boxes:
        """Take boxes from pixels of the tensor to pixels of the picture, cut at its edges."""
        box, place = self.box, self.place
        across = (box.right - box.left) / place.width
        down = (box.bottom - box.top) / place.height
        scale = np.array([across, down, across, down])
        origin = np.array([place.left, place.top, place.left, place.top])
        corner = np.array([box.left, box.top, box.left, box.top])
        limits = np.array([self.columns, self.rows, self.columns, self.rows])
        return np.asarray(np.clip((boxes - origin) * scale + corner, 0.0, limits))


def box_of(picture: NDArray[np.uint8], preparation: Preparation) -> Box | None:
    """Return the part of a single picture that goes into the tensor; None for all of it."""
    return head_box([picture]) if preparation.crop == "head" else None


def cut_margin(
    values: NDArray[np.float32], place: Placement, tensor: tuple[int, int]
) -> NDArray[np.float32]:
    """Cut the margin of the aspect-preserving resize off a map.

    Parameters
    ----------
    values
        Shape (h, w), over the whole input tensor.
    place
        Where the picture lies in the tensor, pixels of the tensor.
    tensor
        Rows and columns of the tensor.

    Returns
    -------
    NDArray[np.float32]
        Values 0..1, shape (place.height, place.width).
    """
    fine = _bilinear(np.clip(values, 0.0, 1.0), tensor)
    return fine[place.top : place.top + place.height, place.left : place.left + place.width]


def _bilinear(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize with cell centres aligned, as convolutions with padding lay their cells."""
    for axis, target in enumerate(size):
        count = values.shape[axis]
        position = np.clip((np.arange(target) + 0.5) * count / target - 0.5, 0, count - 1)
        low = np.floor(position).astype(np.intp)
        high = np.minimum(low + 1, count - 1)
        weight = (position - low).astype(np.float32)
        weight = weight[:, None] if axis == 0 else weight
        values = values.take(low, axis) * (1 - weight) + values.take(high, axis) * weight
    return values.astype(np.float32)
