"""A reading as plain text: a Basic Text SR that every viewer shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydicom import Dataset
from pydicom.uid import BasicTextSRStorage

from sr import codes, paragraphs
from sr.content import Relation, container, image, put_root, text
from sr.context import observation_context
from sr.document import (
    Origin,
    evidence,
    images_read,
    new_result,
    put_document,
    reading_texts,
)
from sr.findings import Reading, StudyAnswer
from sr.identity import SOFTWARE_VERSION, Kind
from sr.patient import image_area, instance_number
from sr.style import DEFAULT_STYLE, Style
from sr.wording import Words


def build_text_report(
    sources: Sequence[Dataset],
    reading: Reading,
    *,
    when: datetime,
    style: Style = DEFAULT_STYLE,
    predecessors: Sequence[Dataset] = (),
) -> Dataset:
    """Build a short preliminary report (PS3.16 TID 2000).

    It has one paragraph per image, or one for a study that was read as a whole.

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
    result = new_result(
        origin,
        Kind.TEXT,
        BasicTextSRStorage,
        modality="SR",
        series_uid=origin.uid(Kind.TEXT, "series"),
        texts=reading_texts(reading),
    )
    sections = _sections(images, reading, words)
    put_root(result, codes.DIAGNOSTIC_IMAGING_REPORT, "2000", [*observation_context(), *sections])
    put_document(result, origin, evidence(origin, reading, images), predecessors)
    return result


def _sections(images: Mapping[str, Dataset], reading: Reading, words: Words) -> list[Dataset]:
    """Return the sections (PS3.16 CID 7001) in the order in which a radiologist dictates them."""
    if reading.study is None:
        findings, impressions = _by_image(images, reading, words)
    else:
        findings, impressions = _as_study(images, reading, reading.study, words)
    procedure = text(codes.PROCEDURE_DESCRIPTION, _procedure(reading, words))
    return [
        container(codes.CURRENT_PROCEDURE_DESCRIPTIONS, [procedure]),
        container(codes.FINDINGS, findings),
        container(codes.IMPRESSIONS, [text(codes.IMPRESSION, each) for each in impressions]),
        container(codes.RECOMMENDATIONS, [text(codes.RECOMMENDATION, words.notice)]),
    ]


def _by_image(
    images: Mapping[str, Dataset], reading: Reading, words: Words
) -> tuple[list[Dataset], list[str]]:
    """Return findings and impressions of a model that reads image by image."""
    findings, impressions = [], paragraphs.urgency_impression(words, reading)
    for index, each in enumerate(reading.images, start=1):
        source = images[each.sop_instance_uid]
        view = str(source.get("ViewPosition") or "")
        place, area = words.place(index, len(reading.images), view), image_area(source)
        told = paragraphs.image_finding(words, reading, each, place, area)
        findings.append(_finding(told, [source]))
        impressions.append(paragraphs.image_impression(words, reading, each, place, area))
    return findings, impressions


def _as_study(
    images: Mapping[str, Dataset], reading: Reading, study: StudyAnswer, words: Words
) -> tuple[list[Dataset], list[str]]:
    """Return finding and impression of a model that reads a series."""
    by_uid = {each.sop_instance_uid: each for each in reading.images}
    suspicious = []
    for uid in study.suspicious:
        number = instance_number(images[uid])
        name = f"number {list(images).index(uid) + 1} of those shown"
        named = name if number is None else f"instance {number}"
        suspicious.append((named, study.finding_on(by_uid[uid])))
    told = paragraphs.study_finding(words, reading, study, suspicious)
    return [_finding(told, images.values())], [paragraphs.study_impression(words, reading, study)]


def _finding(told: str, sources: Iterable[Dataset]) -> Dataset:
    basis = [image(source, Relation.INFERRED_FROM) for source in sources]
    return text(codes.FINDING, told, children=basis)


def _procedure(reading: Reading, words: Words) -> str:
    algorithm = reading.algorithm
    if reading.study is None:
        count, thing = len(reading.images), "image"
    else:
        count, thing = reading.study.images_read, "slice"
    return (
        f"{reading.procedure.meaning}; {count} {thing}{'s' if count > 1 else ''} read by "
        f"{algorithm.title} (model {algorithm.name}, version {algorithm.version}, "
        f"{algorithm.manufacturer}; wetread {SOFTWARE_VERSION}). {words.disclaimer}."
    )
