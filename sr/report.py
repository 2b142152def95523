"""A reading as a TID 1500 measurement report: Comprehensive 3D SR, and simpler classes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)

from sr import codes, wording
from sr.content import Relation, coded, container, number, point, put_root, text, uid
from sr.context import image_library, observation_context
from sr.document import (
    Origin,
    images_read,
    new_result,
    put_document,
    put_file_meta,
    reading_texts,
)
from sr.findings import Algorithm, ImageReading, Normality, Reading
from sr.identity import (
    Kind,
    result_uid,
    uid_from,
)

_REPLACED = {Tag(name) for name in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")}
_SIMPLER_CLASSES = (ComprehensiveSRStorage, EnhancedSRStorage)


def build_report(
    sources: Sequence[Dataset],
    reading: Reading,
    *,
    when: datetime,
    sop_class: UID = Comprehensive3DSRStorage,
    predecessors: Sequence[Dataset] = (),
) -> Dataset:
    """Build the measurement report of a reading (PS3.16 TID 1500), one group per image.

    Parameters
    ----------
    sources
        Headers of the images that were read, in any order; Pixel Data is not needed.
    reading
        What the model says.
    when
        When it was said, with time zone.
    sop_class
        Comprehensive 3D, Comprehensive or Enhanced SR; the content is the same.
    predecessors
        Reports of earlier readings of this study that this one replaces.

    Raises
    ------
    SourceError
        The sources do not belong to one study, or lack an image of the reading.
    """
    origin = Origin(sources=sources, algorithm=reading.algorithm, when=when)
    images = images_read(origin, reading)
    result = new_result(
        origin,
        Kind.REPORT,
        sop_class,
        modality="SR",
        series_uid=origin.uid(Kind.REPORT, "series"),
        texts=reading_texts(reading),
    )
    put_root(
        result,
        codes.IMAGING_MEASUREMENT_REPORT,
        "1500",
        [
            *observation_context(),
            coded(codes.PROCEDURE_REPORTED, reading.procedure, Relation.HAS_CONCEPT_MOD),
            image_library(images.values()),
            container(codes.IMAGING_MEASUREMENTS, _groups(images, reading)),
            container(codes.QUALITATIVE_EVALUATIONS, [text(codes.COMMENT, wording.NOTICE)]),
        ],
    )
    put_document(result, origin, list(images.values()), predecessors)
    return result


def fallback_reports(report: Dataset) -> list[Dataset]:
    """Return ``report`` as Comprehensive SR and Enhanced SR, for archives without Comprehensive 3D.

    The content tree is shared with ``report``, not copied; each has its own instance and series.
    """
    return [_as_class(report, sop_class) for sop_class in _SIMPLER_CLASSES]


def _as_class(report: Dataset, sop_class: UID) -> Dataset:
    variant = Dataset()
    variant.set_original_encoding(False, True, report.original_character_set)
    for tag in report.keys() - _REPLACED:
        variant[tag] = report.get_item(tag)
    variant.SOPClassUID = sop_class
    variant.SOPInstanceUID = uid_from(report.SOPInstanceUID, sop_class)
    variant.SeriesInstanceUID = uid_from(report.SeriesInstanceUID, sop_class)
    put_file_meta(variant)
    return variant


def _groups(images: Mapping[str, Dataset], reading: Reading) -> list[Dataset]:
    return [
        _group(images[each.sop_instance_uid], each, reading.algorithm, index)
        for index, each in enumerate(reading.images, start=1)
    ]


def _group(source: Dataset, reading: ImageReading, algorithm: Algorithm, index: int) -> Dataset:
    """Return the measurement group of one image (PS3.16 TID 1501)."""
    context = Relation.HAS_OBS_CONTEXT
    tracking = result_uid([str(source.SOPInstanceUID)], algorithm, Kind.REPORT, "tracking")
    return container(
        codes.MEASUREMENT_GROUP,
        [
            # Viewers take the group's first UID reference for its tracking UID.
            text(codes.TRACKING_IDENTIFIER, f"AI image {index}", context),
            uid(codes.TRACKING_UNIQUE_IDENTIFIER, tracking, context),
            coded(codes.FINDING, _finding(reading)),
            *_algorithm(algorithm),
            *_measurements(reading),
            coded(codes.NORMALITY, codes.normality(reading.decision.normality)),
            _where(source, reading),
        ],
        template="1501",
    )


def _algorithm(algorithm: Algorithm) -> list[Dataset]:
    """Return the algorithm identification (PS3.16 TID 4019)."""
    modifier = Relation.HAS_CONCEPT_MOD
    return [
        text(codes.ALGORITHM_NAME, algorithm.name, modifier),
        text(codes.ALGORITHM_VERSION, algorithm.version, modifier),
        text(codes.ALGORITHM_MANUFACTURER, algorithm.manufacturer, modifier),
        coded(codes.ALGORITHM_FAMILY, codes.ARTIFICIAL_INTELLIGENCE, modifier),
    ]


def _measurements(reading: ImageReading) -> list[Dataset]:
    """Return probabilities in percent, the operating point and the scores."""
    decision = reading.decision
    items = [
        _percent(_probability_name(reading, each.finding, each.label), each.value)
        for each in reading.probabilities
    ]
    items.append(_percent(codes.ABNORMAL_PROBABILITY, decision.abnormal_probability))
    items.append(_percent(codes.OPERATING_POINT, decision.threshold))
    for each in reading.scores:
        unit = codes.scale_unit(each.lowest, each.highest)
        items.append(number(each.name, f"{each.value:.6g}", unit))
    return items


def _finding(reading: ImageReading) -> Code:
    """Return what is found; software that reads codes must not list what was not decided."""
    if reading.decision.normality is Normality.INDETERMINATE:
        return codes.normality(Normality.INDETERMINATE)
    return reading.decision.leading.finding


def _probability_name(reading: ImageReading, finding: Code, label: str) -> Code:
    if finding == _finding(reading):
        return codes.PROBABILITY  # of the finding that the group states
    return codes.class_probability(finding, label)


def _percent(name: Code, probability: float) -> Dataset:
    return number(name, wording.percent_value(probability), codes.PERCENT)


def _where(source: Dataset, reading: ImageReading) -> Dataset:
    """Return the point by which a viewer finds the image: where activation peaks, or the centre.

    A group without any coordinates leaves some viewers black.
    """
    down, across = 0.5, 0.5
    heatmap = reading.heatmap
    if heatmap is not None and reading.decision.normality is not Normality.NORMAL:
        row, column = np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)
        down, across = (row + 0.5) / heatmap.shape[0], (column + 0.5) / heatmap.shape[1]
    return point(
        codes.SOURCE_OF_MEASUREMENT,
        float(across * source.Columns),
        float(down * source.Rows),
        source,
    )
