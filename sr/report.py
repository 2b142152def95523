"""A reading as a TID 1500 measurement report: Comprehensive 3D SR, and simpler classes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)

from sr import codes, paragraphs
from sr.content import Relation, coded, container, put_root, text
from sr.context import image_library, observation_context
from sr.document import (
    Origin,
    evidence,
    images_read,
    new_result,
    put_document,
    put_file_meta,
    reading_texts,
)
from sr.findings import Reading
from sr.groups import measurement_groups
from sr.identity import Kind, uid_from
from sr.picture import shows_heatmap
from sr.style import DEFAULT_STYLE, Style
from sr.wording import Words

_REPLACED = {Tag(name) for name in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")}
_SIMPLER_CLASSES = (ComprehensiveSRStorage, EnhancedSRStorage)


def build_report(
    sources: Sequence[Dataset],
    reading: Reading,
    *,
    when: datetime,
    style: Style = DEFAULT_STYLE,
    sop_class: UID = Comprehensive3DSRStorage,
    predecessors: Sequence[Dataset] = (),
) -> Dataset:
    """Build the measurement report of a reading (PS3.16 TID 1500).

    There is a measurement group for the study if the model answers for it, one for each image, and
    one for each region marked.

    Parameters
    ----------
    sources
        Headers of the images that were read, in any order; Pixel Data is not needed.
    reading
        What the model says.
    when
        When it was said, with time zone.
    style
        How the destination wants it.
    sop_class
        Comprehensive 3D, Comprehensive or Enhanced SR; the content is the same.
    predecessors
        Reports of earlier readings of this study that this one replaces.

    Raises
    ------
    SourceError
        The sources do not belong to one study, lack an image of the reading, or are smaller than
        its boxes say.
    """
    origin = Origin(sources=sources, algorithm=reading.algorithm, when=when, style=style)
    words = Words(style.language, reading.translations)
    images = images_read(origin, reading)
    comments = _comments(words, reading)
    result = new_result(
        origin,
        Kind.REPORT,
        sop_class,
        modality="SR",
        series_uid=origin.uid(Kind.REPORT, "series"),
        texts=[*reading_texts(reading), *comments],
    )
    put_root(
        result,
        codes.IMAGING_MEASUREMENT_REPORT,
        "1500",
        [
            *observation_context(style.language),
            coded(codes.PROCEDURE_REPORTED, reading.procedure, Relation.HAS_CONCEPT_MOD),
            image_library(images.values()),
            container(codes.IMAGING_MEASUREMENTS, measurement_groups(origin, images, reading)),
            container(
                codes.QUALITATIVE_EVALUATIONS, [text(codes.COMMENT, each) for each in comments]
            ),
        ],
    )
    put_document(result, origin, evidence(origin, reading, images), predecessors)
    return result


def _comments(words: Words, reading: Reading) -> list[str]:
    """Return what must be known of all groups: the notice first, in English too, and the limits."""
    comments = [words.notice]
    english = Words().notice
    if english != words.notice:
        comments.append(english)  # which software and people of other languages look for
    if any(shows_heatmap(reading, each) for each in reading.images):
        comments.append(words.say("activation_note"))
    return [*comments, *paragraphs.limits(words, reading)]


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
