"""What a package says of a collection, through the node's own runtime."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.package import Package
from inference.runtime import Model
from training.calibrate import Calibration
from training.collection import Example
from training.errors import EvaluationError
from training.record import TRAINING_FILE, pooled, slice_name

Floats = NDArray[np.float64]
_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Calibrated probabilities of a collection's images.

    Attributes
    ----------
    classes
        Shape (images, classes); not a number for images that were not asked about.
    scores
        Of each ``[[score]]``, shape (images, scores).
    studies
        For a model that reads series, the probability of "abnormal" of each; else empty.
    held_out
        Whether the answers are those of cross-validation: of networks that never saw the image.
    """

    classes: Floats
    scores: Floats
    studies: Floats
    held_out: bool = False


def tensors(package: Package, greys: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the node's tensors of prepared pictures, (images, channels, rows, columns)."""
    how = package.preparation
    grey = (greys[:, None].astype(np.float32) / 255.0 - how.mean) / how.std
    return np.repeat(grey, how.channels, axis=1)


def ask_images(model: Model, greys: NDArray[np.uint8], at: NDArray[np.intp]) -> Answers:
    """Ask a model about images at some positions."""
    manifest = model.package.manifest
    section = manifest.classification
    if section is None:
        raise EvaluationError(f"model {model.package.name} does not classify")
    classes = np.full((len(greys), len(section.classes)), np.nan)
    scores = np.full((len(greys), len(manifest.scores)), np.nan)
    for start in range(0, len(at), _BATCH):
        part = at[start : start + _BATCH]
        found = model.run(tensors(model.package, greys[part]))
        classes[part] = found[section.output]
        for column, score in enumerate(manifest.scores):
            scores[part, column] = np.clip(
                found[score.output].reshape(len(part)), score.lowest, score.highest
            )
    return Answers(classes=classes, scores=scores, studies=np.empty(0))


def ask_series(
    model: Model, greys: NDArray[np.uint8], series: Sequence[NDArray[np.intp]]
) -> Answers:
    """Ask a model about whole series."""
    section = model.package.manifest.classification
    if section is None or section.slice_output is None:
        raise EvaluationError(f"model {model.package.name} does not read series")
    classes = np.full((len(greys), len(section.classes)), np.nan)
    studies = np.empty(len(series))
    for number, at in enumerate(series):
        found = model.run(tensors(model.package, greys[at]))
        classes[at] = found[section.slice_output]
        studies[number] = 1.0 - float(found[section.output][0, 0])
    return Answers(classes=classes, scores=np.empty((len(greys), 0)), studies=studies)


def held_out_answers(
    folder: Path, examples: Sequence[Example], series: Sequence[NDArray[np.intp]]
) -> Answers | None:
    """Return what cross-validation said of series that the model was trained on.

    None where the package was not trained on these series.

    Raises
    ------
    EvaluationError
        It was trained on some of them, and answers to those would flatter it.
    """
    file = folder / TRAINING_FILE
    record = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    if "folds" not in record:
        return None
    folds = record["folds"]
    known = dict(zip(folds["files"], folds["slice_logits"], strict=True))
    names = [slice_name(each) for each in examples]
    told = [name in known for name in names]
    if not any(told):
        return None
    if not all(told):
        raise EvaluationError(
            f"{sum(told)} of {len(told)} slices were trained on; judge the others by themselves"
        )
    logits = np.array([known[name] for name in names])
    abnormal = Calibration(**folds["slice_calibration"])(logits)
    study = np.array([pooled(logits[at]) for at in series])
    return Answers(
        classes=np.stack([1.0 - abnormal, abnormal], 1),
        scores=np.empty((len(examples), 0)),
        studies=Calibration(**record["calibration"])(study),
        held_out=True,
    )
