"""A reading as plain text: a Basic Text SR that every viewer shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import BasicTextSRStorage

from sr import codes, paragraphs
from sr.content import Relation, container, image, put_root, text, text_values
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
from sr.identity import Kind
from sr.lines import in_lines
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
    sections = report_sections(images, reading, words, replaces=bool(predecessors))
    result = new_result(
        origin,
        Kind.TEXT,
        BasicTextSRStorage,
        modality="SR",
        series_uid=origin.uid(Kind.TEXT, "series"),
        texts=[*reading_texts(reading), *text_values(sections)],
    )
    content = [*observation_context(style.language), *sections]
    put_root(result, codes.DIAGNOSTIC_IMAGING_REPORT, "2000", content)
    put_document(result, origin, evidence(origin, reading, images), predecessors)
    return result


def report_sections(
    images: Mapping[str, Dataset], reading: Reading, words: Words, *, replaces: bool
) -> list[Dataset]:
    """Return the sections (PS3.16 CID 7001) in the order in which a radiologist dictates them.

    The impression on an image that is worth looking at, or on the study, refers to what to look at.
    """
    if reading.study is None:
        findings, impressions = _by_image(images, reading, words)
    else:
        findings, impressions = _as_study(images, reading, reading.study, words)
    procedure = [paragraphs.procedure(words, reading)]
    if replaces:
        procedure.append(words.say("replaces"))
    described = (text(codes.PROCEDURE_DESCRIPTION, each) for each in procedure)
    impressions += [_impression(each) for each in paragraphs.limits(words, reading)]
    return [
        container(codes.CURRENT_PROCEDURE_DESCRIPTIONS, described),
        container(codes.FINDINGS, findings),
        container(codes.IMPRESSIONS, impressions),
        container(codes.RECOMMENDATIONS, [text(codes.RECOMMENDATION, words.notice)]),
    ]


def _by_image(
    images: Mapping[str, Dataset], reading: Reading, words: Words
) -> tuple[list[Dataset], list[Dataset]]:
    """Return findings and impressions of a model that reads image by image."""
    findings = []
    impressions = [_impression(each) for each in paragraphs.urgency_impression(words, reading)]
    for index, each in enumerate(reading.images, start=1):
        source = images[each.sop_instance_uid]
        view = str(source.get("ViewPosition") or "")
        place, area = words.place(index, len(reading.images), view), image_area(source)
        findings.append(
            _finding(paragraphs.image_finding(words, reading, each, place, area), [source])
        )
        concluded = paragraphs.image_impression(words, reading, each, place, area)
        impressions.append(_impression(concluded, [source] if reading.is_flagged(each) else []))
    return findings, impressions


def _as_study(
    images: Mapping[str, Dataset], reading: Reading, study: StudyAnswer, words: Words
) -> tuple[list[Dataset], list[Dataset]]:
    """Return finding and impression of a model that reads a series."""
    by_uid = {each.sop_instance_uid: each for each in reading.images}
    places = {uid: place for place, uid in enumerate(images, start=1)}
    suspicious = []
    for uid in study.suspicious:
        name = words.instance(instance_number(images[uid]), places[uid])
        suspicious.append((name, study.finding_on(by_uid[uid])))
    told = paragraphs.study_finding(words, reading, study, suspicious)
    flagged = [images[each.sop_instance_uid] for each in reading.images if reading.is_flagged(each)]
    concluded = paragraphs.study_impression(words, reading, study)
    return [_finding(told, images.values())], [_impression(concluded, flagged)]


def _finding(sentences: Iterable[str], sources: Iterable[Dataset]) -> Dataset:
    # Some viewers break no line of a finding.
    return _inferred(codes.FINDING, in_lines(sentences), sources)


def _impression(told: str, sources: Iterable[Dataset] = ()) -> Dataset:
    return _inferred(codes.IMPRESSION, told, sources)


def _inferred(name: Code, told: str, sources: Iterable[Dataset]) -> Dataset:
    basis = [image(source, Relation.INFERRED_FROM) for source in sources]
    return text(name, told, children=basis)
