"""Paragraphs of the text report: what was read, what was found, and what it amounts to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.sr.coding import Code

from sr.findings import Decision, ImageReading, Probability, Reading, StudyAnswer
from sr.identity import SOFTWARE_VERSION
from sr.wording import Words


def procedure(words: Words, reading: Reading) -> str:
    """Return which procedure was read, how many of its images, and by which model."""
    if reading.study is None:
        key, count = "images_read", len(reading.images)
    else:
        key, count = "slices_read", reading.study.images_read
    named = words.label(reading.procedure.meaning, reading.procedure)
    told = words.maker(key, reading.algorithm, SOFTWARE_VERSION, procedure=named, count=count)
    return words.sentences([told, words.disclaimer])


def image_finding(
    words: Words, reading: Reading, image: ImageReading, place: str, image_area: float | None
) -> list[str]:
    """Return one paragraph about one image, as its sentences.

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
    sentences = [words.about(place, words.headline(image.decision))]
    sentences += _answer(words, image.decision, image.probabilities)
    sentences += measurements(words, reading, image, image_area)
    return [words.sentence(each) for each in sentences]


def measurements(
    words: Words, reading: Reading, image: ImageReading, image_area: float | None
) -> list[str]:
    """Return what was measured on an image: a text for each kind of output."""
    texts = []
    if image.scores:
        texts.append(words.say("severity", scores=words.listed(map(words.score, image.scores))))
    for grade in image.grades:
        levels = words.classes(grade.levels)
        texts.append(words.say("grade_with_levels", grade=words.grade(grade), levels=levels))
    if image.regions:
        texts.append(words.marked(reading.numbered_regions(image)))
    texts += [words.covered(each, image_area) for each in image.segments]
    return texts


def image_impression(
    words: Words, reading: Reading, image: ImageReading, place: str, image_area: float | None
) -> str:
    """Return what one image amounts to, in one or two sentences."""
    semicolon = words.catalogue.semicolon
    if image.decision is None:
        measured = semicolon.join(measurements(words, reading, image, image_area))
        told = words.about(place, measured or words.measured_only)
        return words.sentences([told, words.caution(None)])
    told = semicolon.join([words.headline(image.decision), *map(words.grade, image.grades)])
    return words.sentences([words.about(place, told), *_summary(words, image.decision)])


def urgency_impression(words: Words, reading: Reading) -> list[str]:
    """Return what the images together amount to: nothing, or whether the study can wait."""
    if reading.urgency is None:
        return []
    told = _marked_urgent(words, reading, words.urgency(reading.urgency))
    return [words.about(words.say("study"), told)]


def study_finding(
    words: Words,
    reading: Reading,
    study: StudyAnswer,
    suspicious: Sequence[tuple[str, float | None]],
) -> list[str]:
    """Return one paragraph about a study that was read as a whole, as its sentences.

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
    named = words.label(reading.procedure.meaning, reading.procedure)
    read = words.say("study_read", procedure=named, count=study.images_read)
    headline = _marked_urgent(words, reading, words.headline(study.decision))
    sentences = [words.about(read, headline)]
    sentences += _answer(words, study.decision, study.probabilities)
    if suspicious:
        slices = words.listed(_slice(words, *each) for each in suspicious)
        sentences.append(words.say("suspicious", slices=slices))
    return [words.sentence(each) for each in sentences]


def study_impression(words: Words, reading: Reading, study: StudyAnswer) -> str:
    """Return what a study that was read as a whole amounts to, and whether it can wait."""
    sentences = [
        _marked_urgent(words, reading, words.headline(study.decision)),
        *_summary(words, study.decision),
    ]
    if reading.urgency is not None:
        sentences.append(words.urgency(reading.urgency))
    return words.sentences(sentences)


def limits(words: Words, reading: Reading) -> list[str]:
    """Return what the model looked for, and which images it did not read."""
    texts = []
    if reading.assessed:
        codes = dict(_coded_labels(reading))
        texts.append(words.assessed((label, codes.get(label)) for label in reading.assessed))
    texts += map(words.not_assessed, reading.not_assessed)
    return [words.sentence(each) for each in texts]


def _coded_labels(reading: Reading) -> Iterator[tuple[str, Code]]:
    """Yield every label of a reading with its code."""
    for answer in (reading.study, *reading.images):
        if answer is not None:
            yield from ((each.label, each.finding) for each in answer.probabilities)
    for image in reading.images:
        yield from ((each.name.meaning, each.name) for each in image.scores)
        for grade in image.grades:
            yield grade.name.meaning, grade.name
            yield from ((each.label, each.finding) for each in grade.levels)
        yield from ((each.finding.label, each.finding.finding) for each in image.regions)
        yield from ((each.label, each.finding) for each in image.segments)


def _marked_urgent(words: Words, reading: Reading, told: str) -> str:
    urgent = reading.urgency is not None and reading.urgency.urgent
    return words.say("urgent", told=told) if urgent else told


def _summary(words: Words, decision: Decision) -> list[str]:
    caution = words.caution(decision)
    return [words.summary(decision), *([caution] if caution else [])]


def _answer(
    words: Words, decision: Decision | None, probabilities: Sequence[Probability]
) -> list[str]:
    texts = [] if decision is None else [words.operating_point(decision)]
    if probabilities:
        texts.append(words.say("all_classes", classes=words.classes(probabilities)))
    return texts


def _slice(words: Words, name: str, probability: float | None) -> str:
    if probability is None:
        return name
    return words.say("probable_slice", slice=name, probability=words.percent(probability))
