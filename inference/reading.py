"""From a study's images to findings: pixels, model, operating point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from inference.manifest import ClassificationSection
from inference.pixels import Placement, placement, prepare
from inference.runtime import Model, Outputs
from sr.findings import Decision, ImageReading, Normality, Probability, Reading


def read_pictures(model: Model, pictures: Mapping[str, NDArray[np.uint8]]) -> Reading:
    """Read the images of a study that fit the model.

    Parameters
    ----------
    model
        The loaded model.
    pictures
        By SOP Instance UID, at least one: what ``inference.pixels.displayed`` gives for the
        image, shape (Rows, Columns).

    Raises
    ------
    ModelError
        The runtime failed.
    """
    package = model.package
    tensors = np.stack([prepare(each, package.preparation) for each in pictures.values()])
    uids = list(pictures)
    step = package.manifest.runtime.batch
    images: list[ImageReading] = []
    for start in range(0, len(tensors), step):
        outputs = model.run(tensors[start : start + step])
        for offset in range(len(outputs.probabilities)):
            index = start + offset
            rows, columns = pictures[uids[index]].shape
            place = placement(rows, columns, package.preparation)
            images.append(_image_reading(model, outputs, offset, uids[index], place))
    procedure = package.manifest.report.procedure.code
    return Reading(algorithm=package.algorithm, procedure=procedure, images=tuple(images))


def _image_reading(
    model: Model, outputs: Outputs, row: int, uid: str, place: Placement
) -> ImageReading:
    section = model.package.manifest.classification
    values = np.clip(outputs.probabilities[row].astype(np.float64), 0.0, 1.0)
    probabilities = tuple(
        Probability(finding=each.code.code, label=each.label, value=float(value))
        for each, value in zip(section.classes, values, strict=True)
    )
    decision, leading = decide(section, probabilities)
    heatmap = None
    if outputs.activations is not None:
        tensor_size = (model.package.preparation.rows, model.package.preparation.columns)
        heatmap = crop_to_picture(outputs.activations[row, leading], place, tensor_size)
    return ImageReading(
        sop_instance_uid=uid, decision=decision, probabilities=probabilities, heatmap=heatmap
    )


def decide(
    section: ClassificationSection, probabilities: Sequence[Probability]
) -> tuple[Decision, int]:
    """Apply the manifest's operating point.

    Returns
    -------
    tuple
        The decision, and the index of its leading class: for a normal image the normal class,
        else the most probable abnormal one.
    """
    normal = next(i for i, each in enumerate(section.classes) if each.normal)
    abnormal_probability = min(1.0, max(0.0, 1.0 - probabilities[normal].value))
    band = section.indeterminate
    if band is not None and band[0] <= abnormal_probability < band[1]:
        normality = Normality.INDETERMINATE
    elif abnormal_probability >= section.threshold:
        normality = Normality.ABNORMAL
    else:
        normality = Normality.NORMAL
    leading = normal
    if normality is not Normality.NORMAL:
        others = [i for i in range(len(probabilities)) if i != normal]
        leading = max(others, key=lambda i: probabilities[i].value)
    decision = Decision(
        normality=normality,
        abnormal_probability=abnormal_probability,
        threshold=section.threshold,
        leading=probabilities[leading],
        band=band,
    )
    return decision, leading


def crop_to_picture(
    activation: NDArray[np.float32], place: Placement, tensor_size: tuple[int, int]
) -> NDArray[np.float32]:
    """Cut the margin of the aspect-preserving resize off an activation map.

    Parameters
    ----------
    activation
        Shape (h, w), over the whole input tensor.
    place
        Where the picture lies in the tensor, pixels of the tensor.
    tensor_size
        Rows and columns of the tensor.

    Returns
    -------
    NDArray[np.float32]
        Values 0..1; its edges are the picture's edges. Sampled at the tensor's resolution,
        because a coarse map's cells do not end where the picture does.
    """
    fine = _bilinear(np.clip(activation, 0.0, 1.0), tensor_size)
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
