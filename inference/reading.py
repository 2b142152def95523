"""From single images to findings: pixels, model, operating points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference import answers
from inference.boxes import regions
from inference.manifest import (
    ClassificationSection,
    GradeSection,
    Manifest,
    ScoreSection,
    SegmentationSection,
)
from inference.outputs import Outputs
from inference.package import Package
from inference.pixels import prepare
from inference.runtime import Model
from inference.view import View, box_of
from sr.findings import (
    Decision,
    Grade,
    ImageReading,
    Normality,
    Probability,
    Reading,
    Region,
    Score,
    Segment,
)

Pictures = Mapping[str, NDArray[np.uint8]]
"""Displayed pictures by SOP Instance UID, shape (Rows, Columns)."""


def read_pictures(model: Model, pictures: Pictures) -> Reading:
    """Read the images of a study that fit the model, each on its own.

    Parameters
    ----------
    model
        The loaded model.
    pictures
        What ``inference.pixels.displayed`` gives for each image in the model's window, at least
        one.

    Raises
    ------
    ModelError
        The runtime failed.
    """
    return read_studies(model, [pictures])[0]


def read_studies(model: Model, studies: Sequence[Pictures]) -> list[Reading]:
    """Read several studies; images of different ones share the runs of the model.

    Raises
    ------
    ModelError
        The runtime failed, on whichever study.
    """
    images = [
        _Picture(number, uid, picture)
        for number, pictures in enumerate(studies)
        for uid, picture in pictures.items()
    ]
    found: list[list[ImageReading]] = [[] for _ in studies]
    step = model.package.manifest.runtime.batch
    for start in range(0, len(images), step):
        together = images[start : start + step]
        for image, read in zip(together, _read_batch(model, together), strict=True):
            found[image.study].append(read)
    return [_reading(model.package, each) for each in found]


class _Picture(NamedTuple):
    study: int
    uid: str
    picture: NDArray[np.uint8]


def _reading(package: Package, images: Sequence[ImageReading]) -> Reading:
    decisions = [each.decision for each in images if each.decision is not None]
    return Reading(
        algorithm=package.algorithm,
        procedure=package.manifest.report.procedure.code,
        assessed=package.manifest.assessed,
        translations=package.manifest.translations,
        images=tuple(images),
        urgency=answers.urgency(package.manifest, decisions),
    )


def _read_batch(model: Model, images: Sequence[_Picture]) -> list[ImageReading]:
    preparation = model.package.preparation
    boxes = [box_of(each.picture, preparation) for each in images]
    pairs = list(zip(images, boxes, strict=True))
    outputs = model.run(np.stack([prepare(each.picture, preparation, box) for each, box in pairs]))
    return [
        _image_reading(
            model.package.manifest,
            outputs,
            row,
            each.uid,
            View.of(each.picture, preparation, box),
        )
        for row, (each, box) in enumerate(pairs)
    ]


def _image_reading(
    manifest: Manifest, outputs: Outputs, row: int, uid: str, view: View
) -> ImageReading:
    """Say what the outputs mean for one image; the strongest kind of output decides."""
    probabilities, decision, heatmap = _classified(manifest.classification, outputs, row, view)
    grades = [_grade(each, outputs, row) for each in manifest.grades]
    decision = decision or answers.gravest(_grade_decisions(manifest, grades))
    boxes: list[Region] = []
    if manifest.detection is not None:
        boxes = regions(manifest.detection, outputs, row, view)
        decision = decision or answers.decide_by_boxes(manifest.detection, boxes)
        boxes = [each for each in boxes if each.finding.value >= manifest.detection.threshold]
    scores = [_score(each, outputs, row) for each in manifest.scores if _applies(each, decision)]
    silent = not (decision or scores or grades)
    return ImageReading(
        sop_instance_uid=uid,
        decision=decision,
        probabilities=probabilities,
        scores=tuple(scores),
        grades=tuple(grades),
        regions=tuple(boxes),
        segments=_segments(manifest.segmentation, outputs, row, view, even_empty=silent),
        heatmap=heatmap,
    )


def _classified(
    section: ClassificationSection | None, outputs: Outputs, row: int, view: View
) -> tuple[tuple[Probability, ...], Decision | None, NDArray[np.float32] | None]:
    """Probabilities, decision, and the map of the leading class."""
    if section is None:
        return (), None, None
    probabilities = class_probabilities(section, outputs[section.output][row])
    decision, leading = answers.decide(section, probabilities)
    heatmap = None
    if section.activation is not None:
        heatmap = view.map_to_picture(outputs[section.activation][row, leading])
    return probabilities, decision, heatmap


def class_probabilities(
    section: ClassificationSection, values: NDArray[np.floating]
) -> tuple[Probability, ...]:
    """Name the probabilities of the classes, shape (classes,)."""
    return tuple(
        Probability(finding=each.code.code, label=each.label, value=answers.clipped(value))
        for each, value in zip(section.classes, values, strict=True)
    )


def _grade(section: GradeSection, outputs: Outputs, row: int) -> Grade:
    values = outputs[section.output][row]
    levels = tuple(
        Probability(finding=each.code.code, label=each.label, value=answers.clipped(value))
        for each, value in zip(section.levels, values, strict=True)
    )
    return Grade(name=section.code.code, levels=levels, level=int(np.argmax(values)))


def _grade_decisions(manifest: Manifest, grades: list[Grade]) -> list[Decision]:
    pairs = zip(manifest.grades, grades, strict=True)
    found = (answers.decide_by_grade(section, grade) for section, grade in pairs)
    return [each for each in found if each is not None]


def _applies(section: ScoreSection, decision: Decision | None) -> bool:
    """Whether a score means something for an image; an extent of disease in a normal one not."""
    if section.when == "always" or decision is None:
        return True
    return decision.normality is not Normality.NORMAL


def _score(section: ScoreSection, outputs: Outputs, row: int) -> Score:
    value = float(outputs[section.output][row].item())
    return Score(
        name=section.code.code,
        value=min(max(value, section.lowest), section.highest),
        lowest=section.lowest,
        highest=section.highest,
    )


def _segments(
    section: SegmentationSection | None, outputs: Outputs, row: int, view: View, *, even_empty: bool
) -> tuple[Segment, ...]:
    """Masks on the picture; ``even_empty``: a mask too small is reported as one without pixels."""
    if section is None:
        return ()
    segments = []
    for each, values in zip(section.classes, outputs[section.output][row], strict=True):
        mask = view.map_to_picture(np.asarray(values, np.float32)) >= section.threshold
        found = Segment(finding=each.code.code, label=each.label, mask=mask)
        if found.share > 0 and found.share >= section.minimum_share:
            segments.append(found)
        elif even_empty:
            nothing = np.zeros_like(mask)
            segments.append(Segment(finding=each.code.code, label=each.label, mask=nothing))
    return tuple(segments)
