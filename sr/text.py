"""A reading as plain text: a Basic Text SR that every viewer shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydicom import Dataset
from pydicom.uid import BasicTextSRStorage

from sr import codes, wording
from sr.content import Relation, container, image, put_root, text
from sr.context import observation_context
from sr.document import Origin, images_read, new_result, put_document, reading_texts
from sr.findings import ImageReading, Reading
from sr.identity import SOFTWARE_VERSION, Kind


def build_text_report(
    sources: Sequence[Dataset],
    reading: Reading,
    *,
    when: datetime,
    predecessors: Sequence[Dataset] = (),
) -> Dataset:
    """Build a short preliminary report (PS3.16 TID 2000), one paragraph per image.

    Parameters
    ----------
    sources
        Headers of the images that were read, in any order; Pixel Data is not needed.
    reading
        What the model says.
    when
        When it was said, with time zone.
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
        Kind.TEXT,
        BasicTextSRStorage,
        modality="SR",
        series_uid=origin.uid(Kind.TEXT, "series"),
        texts=reading_texts(reading),
    )
    sections = _sections(images, reading)
    put_root(result, codes.DIAGNOSTIC_IMAGING_REPORT, "2000", [*observation_context(), *sections])
    put_document(result, origin, list(images.values()), predecessors)
    return result


def _sections(images: Mapping[str, Dataset], reading: Reading) -> list[Dataset]:
    """Return the sections (PS3.16 CID 7001) in the order in which a radiologist dictates them."""
    places = _places(images, reading)
    pairs = list(zip(reading.images, places, strict=True))
    findings = [_finding(images[each.sop_instance_uid], each, place) for each, place in pairs]
    impressions = [text(codes.IMPRESSION, wording.impression(each, place)) for each, place in pairs]
    procedure = text(codes.PROCEDURE_DESCRIPTION, _procedure(reading))
    return [
        container(codes.CURRENT_PROCEDURE_DESCRIPTIONS, [procedure]),
        container(codes.FINDINGS, findings),
        container(codes.IMPRESSIONS, impressions),
        container(codes.RECOMMENDATIONS, [text(codes.RECOMMENDATION, wording.NOTICE)]),
    ]


def _finding(source: Dataset, reading: ImageReading, place: str) -> Dataset:
    evidence = image(source, Relation.INFERRED_FROM)
    return text(codes.FINDING, wording.finding(reading, place), children=[evidence])


def _procedure(reading: Reading) -> str:
    algorithm = reading.algorithm
    count = len(reading.images)
    return (
        f"{reading.procedure.meaning}; {count} image{'s' if count > 1 else ''} read by "
        f"{algorithm.title} (model {algorithm.name}, version {algorithm.version}, "
        f"{algorithm.manufacturer}; wetread {SOFTWARE_VERSION}). {wording.DISCLAIMER}."
    )


def _places(images: Mapping[str, Dataset], reading: Reading) -> list[str]:
    """Name each image as a person finds it: its number among the images, its view, if stated."""
    total = len(reading.images)
    return [
        wording.place(index, total, str(images[each.sop_instance_uid].get("ViewPosition") or ""))
        for index, each in enumerate(reading.images, start=1)
    ]
