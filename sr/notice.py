"""A notice that a study was not processed, and why: silence must never read as negative."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import BasicTextSRStorage

from sr import codes
from sr.content import container, put_root, text, text_values
from sr.context import observation_context
from sr.document import Origin, algorithm_texts, new_result, put_document
from sr.findings import Algorithm
from sr.identity import Kind, contributing_equipment
from sr.reasons import Reason
from sr.style import DEFAULT_STYLE, Style
from sr.wording import Words


def build_notice(
    sources: Sequence[Dataset],
    skipped: Sequence[tuple[Algorithm, Reason]],
    *,
    when: datetime,
    style: Style = DEFAULT_STYLE,
) -> Dataset:
    """Build a notice (Basic Text SR, PS3.16 TID 2000) with one line per model.

    Parameters
    ----------
    sources
        Headers of instances of the study, images or not; at least one.
    skipped
        The models that did not process it, and why; at least one. A model with several reasons
        stands in it several times.
    when
        When it was decided, with time zone.
    style
        How the destination wants it.

    Raises
    ------
    SourceError
        The sources do not belong to one study, or cannot be referred to.
    """
    origin = Origin(sources=sources, algorithm=skipped[0][0], when=when, style=style)
    words = Words(style.language)
    lines = _lines(words, skipped)
    sections = [
        container(codes.FINDINGS, [text(codes.FINDING, each) for each in lines]),
        container(codes.IMPRESSIONS, [text(codes.IMPRESSION, words.say("not_read"))]),
        container(codes.RECOMMENDATIONS, [text(codes.RECOMMENDATION, words.not_read_notice)]),
    ]
    algorithms = dict.fromkeys(algorithm for algorithm, _ in skipped)
    # Another reason is another notice, beside the earlier one.
    told = " ".join(f"{each.name} {each.version} {why}" for each, why in skipped)
    result = new_result(
        origin,
        Kind.NOTICE,
        BasicTextSRStorage,
        modality="SR",
        series_uid=origin.uid(Kind.NOTICE, f"series {told}"),
        texts=[*text_values(sections), *(each for a in algorithms for each in algorithm_texts(a))],
        purpose=told,
    )
    result.ContributingEquipmentSequence = DicomSequence(map(contributing_equipment, algorithms))
    content = [*observation_context(style.language), *sections]
    put_root(result, codes.DIAGNOSTIC_IMAGING_REPORT, "2000", content)
    put_document(result, origin, sources)
    return result


def _lines(words: Words, skipped: Sequence[tuple[Algorithm, Reason]]) -> list[str]:
    """Return one line per model, with all its reasons."""
    reasons: dict[Algorithm, list[str]] = {}
    for algorithm, reason in skipped:
        reasons.setdefault(algorithm, []).append(words.reason(reason))
    semicolon = words.catalogue.semicolon
    return [
        words.sentence(words.say("not_processed", title=each.title, reason=semicolon.join(told)))
        for each, told in reasons.items()
    ]
