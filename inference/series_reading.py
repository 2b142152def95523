"""From a series of slices to findings: one answer for the study, and the slices to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference import answers
from inference.crop import head_box
from inference.errors import ManifestError
from inference.manifest import ClassificationSection, ClassSection, Manifest, SeriesSection
from inference.pixels import prepare
from inference.reading import class_probabilities
from inference.runtime import Model
from inference.view import View
from inference.volume import Volume
from sr.findings import ImageReading, Normality, Probability, Reading, StudyAnswer


def read_volume(model: Model, volume: Volume) -> Reading:
    """Read a series as a whole.

    Parameters
    ----------
    model
        The loaded model.
    volume
        The series, decoded in the model's window and at its spacing.

    Returns
    -------
    Reading
        The study's answer, and the slices where the finding is most probable in anatomical order.
        Of a normal study the one highest slice, which is not called suspicious.

    Raises
    ------
    ModelError
        The runtime failed.
    """
    package = model.package
    series, section, slice_output = _sections(package.manifest)
    box = head_box(volume.pictures) if package.preparation.crop == "head" else None
    outputs = model.run(
        np.stack([prepare(each, package.preparation, box) for each in volume.pictures])
    )
    probabilities = class_probabilities(section, outputs[section.output][0])
    decision, _ = answers.decide(section, probabilities)
    finding = answers.most_probable_abnormal(section, probabilities)
    normal = decision.normality is Normality.NORMAL
    on_slices = np.asarray(outputs[slice_output][:, finding], np.float64)
    highest = highest_slices(volume.uids, on_slices, 1 if normal else series.shown_slices)
    maps = None
    if section.activation is not None and not normal:
        view = View.of(volume.pictures[0], package.preparation, box)
        activation = outputs[section.activation][:, finding]
        maps = {i: view.map_to_picture(activation[i]) for i in highest}
    return Reading(
        algorithm=package.algorithm,
        procedure=package.manifest.report.procedure.code,
        assessed=package.manifest.assessed,
        translations=package.manifest.translations,
        images=tuple(
            ImageReading(
                sop_instance_uid=volume.uids[i],
                probabilities=(_on_slice(section.classes[finding], on_slices[i]),),
                heatmap=None if maps is None else volume.turn.undo(maps[i]),
            )
            for i in sorted(highest)
        ),
        study=StudyAnswer(
            decision=decision,
            probabilities=probabilities,
            images_read=volume.sources,
            suspicious=() if normal else tuple(volume.uids[i] for i in highest),
        ),
        urgency=answers.urgency(package.manifest, [decision]),
    )


def highest_slices(
    uids: tuple[str, ...], probabilities: NDArray[np.float64], count: int
) -> list[int]:
    """Return the indices of the ``count`` most probable slices, the highest first.

    Two slices that bear one source's name count as one, by the higher.
    """
    found: dict[str, int] = {}
    for index in np.argsort(-probabilities, kind="stable"):
        found.setdefault(uids[index], int(index))
    return list(found.values())[:count]


def _sections(manifest: Manifest) -> tuple[SeriesSection, ClassificationSection, str]:
    """The manifest's ``[series]``, ``[classification]`` and its ``slice_output``."""
    series, section = manifest.series, manifest.classification
    if series is None or section is None or section.slice_output is None:
        raise ManifestError(f"model {manifest.model.name} reads no series")
    return series, section, section.slice_output


def _on_slice(found: ClassSection, value: float) -> Probability:
    return Probability(finding=found.code.code, label=found.label, value=answers.clipped(value))
