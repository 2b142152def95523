"""What a graph must say by its manifest: names, shapes and ranges of its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import ModelError
from inference.manifest import DetectionSection, Manifest

Outputs = Mapping[str, NDArray[Any]]
"""By name of the graph's output; the first axis is the image, for a series the slice."""

_TOLERANCE = 1e-3  # softmax in half precision may leave 0..1 by this
_SUM_TOLERANCE = 1e-2


@dataclass(frozen=True, kw_only=True)
class _Expected:
    """One output by the manifest.

    Attributes
    ----------
    name
        The graph's output.
    shapes
        Any of these; a letter stands for any size.
    unit
        Whether values must lie in 0..1.
    whole
        Whether the values of a row sum to 1.
    """

    name: str
    shapes: Sequence[tuple[int | str, ...]]
    unit: bool = False
    whole: bool = False


def output_names(manifest: Manifest) -> list[str]:
    """Return the graph's outputs that the manifest names, each once."""
    return list(dict.fromkeys(each.name for each in _expected(manifest, 1)))


def check_outputs(manifest: Manifest, count: int, outputs: Outputs) -> None:
    """Check what a graph said against its manifest.

    Parameters
    ----------
    manifest
        The package's manifest.
    count
        Images or slices in the batch.
    outputs
        One entry for each of ``output_names``.

    Raises
    ------
    ModelError
        An output has another shape than the manifest says, values that are not finite,
        probabilities outside 0..1 or labels of no class.
    """
    try:
        for each in _expected(manifest, count):
            _check(each, outputs[each.name])
        if manifest.detection is not None:
            _check_detection(manifest.detection, outputs)
    except ValueError as error:
        raise ModelError(f"model {manifest.model.name}: {error}") from error


def _expected(manifest: Manifest, count: int) -> list[_Expected]:
    return [
        *_expected_classification(manifest, count),
        *_expected_measurements(manifest, count),
        *_expected_places(manifest, count),
    ]


def _expected_classification(manifest: Manifest, count: int) -> list[_Expected]:
    section = manifest.classification
    if section is None:
        return []
    classes = len(section.classes)
    answers = 1 if manifest.series is not None else count
    found = [_Expected(name=section.output, shapes=[(answers, classes)], unit=True)]
    if section.slice_output is not None:
        found.append(_Expected(name=section.slice_output, shapes=[(count, classes)], unit=True))
    if section.activation is not None:
        found.append(_Expected(name=section.activation, shapes=[(count, classes, "h", "w")]))
    return found


def _expected_measurements(manifest: Manifest, count: int) -> list[_Expected]:
    scores = [
        _Expected(name=each.output, shapes=[(count,), (count, 1)]) for each in manifest.scores
    ]
    grades = [
        _Expected(name=each.output, shapes=[(count, len(each.levels))], unit=True, whole=True)
        for each in manifest.grades
    ]
    return [*scores, *grades]


def _expected_places(manifest: Manifest, count: int) -> list[_Expected]:
    found = []
    if (boxes := manifest.detection) is not None:
        found.append(_Expected(name=boxes.boxes, shapes=[(count, "n", 4)]))
        found.append(_Expected(name=boxes.scores, shapes=[(count, "n")], unit=True))
        if boxes.labels is not None:
            found.append(_Expected(name=boxes.labels, shapes=[(count, "n")]))
    if (masks := manifest.segmentation) is not None:
        shape = (count, len(masks.classes), "h", "w")
        found.append(_Expected(name=masks.output, shapes=[shape], unit=True))
    return found


def _check(expected: _Expected, value: NDArray[Any]) -> None:
    name = expected.name
    if not any(_fits(shape, value.shape) for shape in expected.shapes):
        wanted = " or ".join(_written(shape) for shape in expected.shapes)
        raise ValueError(f"output {name!r} has shape {value.shape}, expected {wanted}")
    if value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        raise ValueError(f"output {name!r} has values that are not finite numbers")
    if expected.unit and value.size and (value.min() < -_TOLERANCE or value.max() > 1 + _TOLERANCE):
        raise ValueError(
            f"output {name!r} has values outside 0..1; the graph must end in softmax or sigmoid"
        )
    if expected.whole and np.abs(value.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        raise ValueError(f"output {name!r} must sum to 1 over its levels; end in softmax")


def _check_detection(section: DetectionSection, outputs: Outputs) -> None:
    """Compare the outputs of a detector with each other."""
    named = [section.boxes, section.scores, *([section.labels] if section.labels else [])]
    counts = {name: outputs[name].shape[1] for name in named}
    if len(set(counts.values())) > 1:
        raise ValueError(f"the outputs have different numbers of boxes: {counts}")
    if section.labels is None:
        return
    labels = outputs[section.labels][outputs[section.scores] > 0]
    if np.any((labels < 0) | (labels >= len(section.classes)) | (labels != np.floor(labels))):
        raise ValueError(
            f"output {section.labels!r} names no class: {len(section.classes)} are listed, from 0"
        )


def _fits(expected: tuple[int | str, ...], shape: tuple[int, ...]) -> bool:
    if len(expected) != len(shape):
        return False
    pairs = zip(expected, shape, strict=True)
    return all(
        size == want or (want in ("h", "w") and size > 0) or want == "n" for want, size in pairs
    )


def _written(shape: tuple[int | str, ...]) -> str:
    inner = ", ".join(str(each) for each in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"
