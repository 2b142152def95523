"""Paragraphs of the text report: what was found, and what it amounts to."""

from __future__ import annotations

from collections.abc import Sequence

from sr import wording
from sr.findings import Decision, ImageReading, Normality, Probability, Reading, StudyAnswer

_SUMMARY = {
    Normality.NORMAL: "No abnormality called by the model",
    Normality.ABNORMAL: "Called abnormal by the model. Prompt review is suggested",
    Normality.INDETERMINATE: "The model could not decide",
}


def image_finding(
    reading: Reading, image: ImageReading, place: str, image_area: float | None
) -> str:
    """Return one paragraph about one image.

    Parameters
    ----------
    reading
        What the model says.
    image
        One of its images.
    place
        The image's name, which tells it from the others.
    image_area
        Its area in mm2; None if it is not calibrated.
    """
    sentences = [f"{place}: {wording.headline(image.decision)}"]
    sentences += _answer(image.decision, image.probabilities)
    sentences += measurements(reading, image, image_area)
    return _joined(sentences)


def measurements(reading: Reading, image: ImageReading, image_area: float | None) -> list[str]:
    """Return what was measured on an image: a text for each kind of output."""
    texts = []
    if image.scores:
        texts.append(f"Severity: {', '.join(map(wording.score, image.scores))}")
    for grade in image.grades:
        texts.append(f"{wording.grade(grade)}; all levels: {wording.classes(grade.levels)}")
    if image.regions:
        texts.append(wording.marked(reading.numbered_regions(image)))
    texts += [wording.covered(each, image_area) for each in image.segments]
    return texts


def image_impression(
    reading: Reading, image: ImageReading, place: str, image_area: float | None
) -> str:
    """Return what one image amounts to, in one or two sentences."""
    if image.decision is None:
        texts = measurements(reading, image, image_area)
        return _joined(
            [f"{place}: {'; '.join(texts) or wording.MEASURED_ONLY}", wording.caution(None)]
        )
    stated = "".join(f"; {wording.grade(each)}" for each in image.grades)
    headline = f"{place}: {wording.headline(image.decision)}{stated}"
    return _joined([headline, *_summary(image.decision)])


def urgency_impression(reading: Reading) -> list[str]:
    """Return what the images together amount to: nothing, or whether the study can wait."""
    if reading.urgency is None:
        return []
    return [f"Study: {_urgent(reading)}{wording.urgency(reading.urgency)}"]


def study_finding(
    reading: Reading, study: StudyAnswer, suspicious: Sequence[tuple[str, float | None]]
) -> str:
    """Return one paragraph about a study that was read as a whole.

    Parameters
    ----------
    reading
        What the model says.
    study
        Its answer for the study.
    suspicious
        The most suspicious slices: name, and probability of the finding if known.
    """
    count = f"{study.images_read} slice{'s' if study.images_read > 1 else ''}"
    procedure = reading.procedure.meaning
    headline = f"{_urgent(reading)}{wording.headline(study.decision)}"
    sentences = [f"{procedure}, {count} read: {headline}"]
    sentences += _answer(study.decision, study.probabilities)
    if suspicious:
        sentences.append(f"Most suspicious slices: {', '.join(map(_slice, suspicious))}")
    return _joined(sentences)


def study_impression(reading: Reading, study: StudyAnswer) -> str:
    """Return what a study that was read as a whole amounts to, and whether it can wait."""
    sentences = [
        f"{_urgent(reading)}{wording.headline(study.decision)}",
        *_summary(study.decision),
    ]
    if reading.urgency is not None:
        sentences.append(wording.urgency(reading.urgency))
    return _joined(sentences)


def _urgent(reading: Reading) -> str:
    return "URGENT, " if reading.urgency is not None and reading.urgency.urgent else ""


def _summary(decision: Decision) -> list[str]:
    caution = wording.caution(decision)
    return [_SUMMARY[decision.normality], *([caution] if caution else [])]


def _answer(decision: Decision | None, probabilities: Sequence[Probability]) -> list[str]:
    texts = [] if decision is None else [wording.operating_point(decision)]
    return [*texts, f"All classes: {wording.classes(probabilities)}"] if probabilities else texts


def _slice(named: tuple[str, float | None]) -> str:
    name, probability = named
    return name if probability is None else f"{name} ({wording.percent(probability)})"


def _joined(sentences: Sequence[str]) -> str:
    return " ".join(map(wording.sentence, sentences))
