"""A detector's raw boxes to regions of the source image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.answers import clipped
from inference.manifest import DetectionSection
from inference.outputs import Outputs
from inference.view import Boxes, View
from sr.findings import Probability, Region

_SMALLEST = 0.5  # pixels of the source; what is left of a box that lies in the margin is no box


def regions(section: DetectionSection, outputs: Outputs, row: int, view: View) -> list[Region]:
    """Return the boxes of one image that reach the operating point, one for each finding.

    Parameters
    ----------
    section
        The manifest's ``[detection]``.
    outputs
        Of the batch, checked.
    row
        Index of the image in the batch.
    view
        How the image lies in the tensor.

    Returns
    -------
    list
        The surest first, and that one even if it does not reach the operating point.
    """
    scores = np.asarray(outputs[section.scores][row], np.float64)
    labels = np.zeros(len(scores), np.intp)
    if section.labels is not None:
        labels = np.asarray(outputs[section.labels][row]).astype(np.intp)
    boxes = view.boxes_to_picture(np.asarray(outputs[section.boxes][row], np.float64))
    sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    used = np.flatnonzero((scores > 0) & (sides >= _SMALLEST))
    order = used[np.argsort(-scores[used], kind="stable")]
    order = order[: max(1, np.count_nonzero(scores[order] >= section.threshold))]
    kept = strongest(boxes[order], labels[order], section.overlap)[: section.maximum]
    return [_region(section, boxes[i], labels[i], scores[i]) for i in order[kept]]


def strongest(boxes: Boxes, labels: NDArray[np.intp], overlap: float) -> list[int]:
    """Non-maximum suppression within each class.

    Parameters
    ----------
    boxes
        The surest first.
    labels
        Shape (n,), the class of each box.
    overlap
        Intersection over union, 0..1; of two boxes of a class that share more, the weaker goes.

    Returns
    -------
    list
        Indices of the boxes that stay, the surest first.
    """
    kept: list[int] = []
    for index in range(len(boxes)):
        rivals = [each for each in kept if labels[each] == labels[index]]
        if all(_shared(boxes[each], boxes[index]) <= overlap for each in rivals):
            kept.append(index)
    return kept


def _shared(one: Boxes, other: Boxes) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(float(width), 0.0) * max(float(height), 0.0)
    return both / (_area(one) + _area(other) - both)


def _area(box: Boxes) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _region(section: DetectionSection, box: Boxes, label: int, score: float) -> Region:
    found = section.classes[label]
    finding = Probability(finding=found.code.code, label=found.label, value=clipped(score))
    left, top, right, bottom = (float(each) for each in box)
    return Region(finding=finding, left=left, top=top, right=right, bottom=bottom)
