"""Paragraphs of the text report: what was found, and what it amounts to."""

from __future__ import annotations

from collections.abc import Sequence

from sr.findings import Decision, ImageReading, Normality, Probability, Reading, StudyAnswer
from sr.wording import Words

_SUMMARY = {
    Normality.NORMAL: "No abnormality called by the model",
    Normality.ABNORMAL: "Called abnormal by the model. Prompt review is suggested",
    Normality.INDETERMINATE: "The model could not decide",
}


def image_finding(
    words: Words, reading: Reading, image: ImageReading, place: str, image_area: float | None
) -> str:
    """Return one paragraph about one image.

    Parameters
    ----------
    words
        The language.
    reading
        What the model says.
    image
        One of its images.
    place
        The image's name, which tells it from the others.
    image_area
        Its area in mm2; None if it is not calibrated.
    """
    sentences = [f"{place}: {words.headline(image.decision)}"]
    sentences += _answer(words, image.decision, image.probabilities)
    sentences += measurements(words, reading, image, image_area)
    return _joined(words, sentences)


def measurements(
    words: Words, reading: Reading, image: ImageReading, image_area: float | None
) -> list[str]:
    """Return what was measured on an image: a text for each kind of output."""
    texts = []
    if image.scores:
        texts.append(f"Severity: {', '.join(map(words.score, image.scores))}")
    for grade in image.grades:
        texts.append(f"{words.grade(grade)}; all levels: {words.classes(grade.levels)}")
    if image.regions:
        texts.append(words.marked(reading.numbered_regions(image)))
    texts += [words.covered(each, image_area) for each in image.segments]
    return texts


def image_impression(
    words: Words, reading: Reading, image: ImageReading, place: str, image_area: float | None
) -> str:
    """Return what one image amounts to, in one or two sentences."""
    if image.decision is None:
        texts = measurements(words, reading, image, image_area)
        return _joined(
            words, [f"{place}: {'; '.join(texts) or words.measured_only}", words.caution(None)]
        )
    stated = "".join(f"; {words.grade(each)}" for each in image.grades)
    headline = f"{place}: {words.headline(image.decision)}{stated}"
    return _joined(words, [headline, *_summary(words, image.decision)])


def urgency_impression(words: Words, reading: Reading) -> list[str]:
    """Return what the images together amount to: nothing, or whether the study can wait."""
    if reading.urgency is None:
        return []
    return [f"Study: {_urgent(reading)}{words.urgency(reading.urgency)}"]


def study_finding(
    words: Words,
    reading: Reading,
    study: StudyAnswer,
    suspicious: Sequence[tuple[str, float | None]],
) -> str:
    """Return one paragraph about a study that was read as a whole.

    Parameters
    ----------
    words
        The language.
    reading
        What the model says.
    study
        Its answer for the study.
    suspicious
        The most suspicious slices: name, and probability of the finding if known.
    """
    count = f"{study.images_read} slice{'s' if study.images_read > 1 else ''}"
    procedure = reading.procedure.meaning
    headline = f"{_urgent(reading)}{words.headline(study.decision)}"
    sentences = [f"{procedure}, {count} read: {headline}"]
    sentences += _answer(words, study.decision, study.probabilities)
    if suspicious:
        sentences.append(
            f"Most suspicious slices: {', '.join(_slice(words, each) for each in suspicious)}"
        )
    return _joined(words, sentences)


def study_impression(words: Words, reading: Reading, study: StudyAnswer) -> str:
    """Return what a study that was read as a whole amounts to, and whether it can wait."""
    sentences = [
        f"{_urgent(reading)}{words.headline(study.decision)}",
        *_summary(words, study.decision),
    ]
    if reading.urgency is not None:
        sentences.append(words.urgency(reading.urgency))
    return _joined(words, sentences)


def _urgent(reading: Reading) -> str:
    return "URGENT, " if reading.urgency is not None and reading.urgency.urgent else ""


def _summary(words: Words, decision: Decision) -> list[str]:
    caution = words.caution(decision)
    return [_SUMMARY[decision.normality], *([caution] if caution else [])]


def _answer(
    words: Words, decision: Decision | None, probabilities: Sequence[Probability]
) -> list[str]:
    texts = [] if decision is None else [words.operating_point(decision)]
    return [*texts, f"All classes: {words.classes(probabilities)}"] if probabilities else texts


def _slice(words: Words, named: tuple[str, float | None]) -> str:
    name, probability = named
    return name if probability is None else f"{name} ({words.percent(probability)})"


def _joined(words: Words, sentences: Sequence[str]) -> str:
    return " ".join(map(words.sentence, sentences))
