"""The bands of text above and below the picture; none of it identifies the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sr.findings import (
    Decision,
    Grade,
    ImageReading,
    Normality,
    Probability,
    Reading,
    Score,
    Urgency,
)
from sr.heatmap import CONTOUR_AT, VISIBLE_FROM, palette
from sr.identity import SOFTWARE_VERSION
from sr.lettering import (
    AMBER,
    BAND,
    GREY,
    VERMILION,
    WHITE,
    Badge,
    Colour,
    Gauge,
    Line,
    Row,
    Swatch,
    draw_stack,
    font,
    printable,
    stack_height,
    wrapped,
)
from sr.marks import mark_colours
from sr.wording import Words, capital

_ANSWER: dict[Normality, Colour] = {  # orange and blue differ for everyone
    Normality.NORMAL: (110, 190, 255),
    Normality.ABNORMAL: (255, 150, 40),
    Normality.INDETERMINATE: (225, 225, 140),
}
_GAUGE = (110, 190, 255)


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What a legend tells of.

    Attributes
    ----------
    words
        The language.
    reading, image
        What the model says, and the one of its images that is shown.
    place
        Which slice of a series is shown; empty for a model that reads image by image.
    image_area
        In mm2; None if the image is not calibrated.
    banner
        What the upper band says instead of the notice, which then stands in the lower one.
    """

    words: Words
    reading: Reading
    image: ImageReading
    place: str = ""
    image_area: float | None = None
    banner: str = ""


def banner(width: int, text: str) -> Image.Image:
    """Draw the upper band: the notice that this is no diagnosis, or the site's own text."""
    size = max(14, width // 32)
    band = Image.new("RGB", (width, round(size * 1.9)), BAND)
    draw_on = ImageDraw.Draw(band)
    middle = (width / 2, band.height / 2)
    draw_on.text(middle, printable(text), fill=AMBER, font=font(size), anchor="mm")
    draw_on.line((0, band.height - 1, width, band.height - 1), fill=AMBER)
    return band


def legend(width: int, caption: Caption, *, with_scale: bool) -> Image.Image:
    """Draw the lower band: the answer on the left, notes and the heat map's scale on the right."""
    size = max(13, width // 46)
    margin = size
    right_width = round(width * 0.3)
    right = width - margin - right_width
    answer = answer_rows(caption, size, right - 2 * margin)
    notes = _note_rows(caption, size, right_width, with_scale=with_scale)
    made_by = wrapped(_maker(caption), round(0.85 * size), GREY, width - 2 * margin)
    scale_height = 4 * size if with_scale else 0
    upper = round(1.5 * margin) + max(stack_height(answer), scale_height + stack_height(notes))
    band = Image.new("RGB", (width, upper + stack_height(made_by) + margin), BAND)
    draw_on = ImageDraw.Draw(band)
    if with_scale:
        _draw_scale(band, caption.words, right, margin, right_width, size)
    draw_stack(draw_on, margin, margin, answer)
    draw_stack(draw_on, right, margin + scale_height, notes)
    draw_stack(draw_on, margin, upper, made_by)
    return band


def _maker(caption: Caption) -> str:
    words = caption.words
    return words.maker("maker", caption.reading.algorithm, SOFTWARE_VERSION) + (
        f" - {words.disclaimer}" if caption.banner else ""
    )


# -- the answer --


def answer_rows(caption: Caption, size: int, room: int) -> list[Row]:
    """Return what the legend says of the answer; ``size`` and ``room`` in pixels."""
    words, reading, image = caption.words, caption.reading, caption.image
    rows: list[Row] = []
    if reading.urgency is not None:
        rows += _urgency_rows(words, reading.urgency, size, room)
    if reading.study is None:
        rows += _headline_rows(words, image.decision, words.headline(image.decision), size, room)
        texts = _answer_texts(words, image.decision, image.probabilities)
    else:
        told = words.about(words.say("study"), words.headline(reading.study.decision))
        rows += _headline_rows(words, reading.study.decision, told, size, room)
        texts = _answer_texts(words, reading.study.decision, reading.study.probabilities)
        count = reading.study.images_read
        texts.append(words.say("slice_of_study", place=caption.place, count=count))
        if image.probabilities:
            texts.append(words.say("on_this_slice", classes=words.classes(image.probabilities)))
    for text in texts:
        rows += wrapped(text, size, WHITE, room)
    return [*rows, *_measurement_rows(caption, size, room)]


def _urgency_rows(words: Words, urgency: Urgency, size: int, room: int) -> list[Row]:
    told = words.urgency(urgency)
    if not urgency.urgent:
        colour = GREY if urgency.urgent is False else _ANSWER[Normality.INDETERMINATE]
        return [*wrapped(words.about(words.say("study"), told), size, colour, room)]
    lines = wrapped(words.say("urgent_study"), round(1.5 * size), WHITE, room)
    lines += wrapped(capital(told), size, WHITE, room - 2 * size)
    return [Badge(tuple(lines), room, VERMILION)]


def _headline_rows(
    words: Words, decision: Decision | None, told: str, size: int, room: int
) -> list[Line]:
    colour = WHITE if decision is None else _ANSWER[decision.normality]
    lines = wrapped(told, round(1.5 * size), colour, room)
    caution = words.caution(decision)
    return [*lines, *wrapped(caution, size, colour, room)] if caution else lines


def _answer_texts(
    words: Words, decision: Decision | None, probabilities: Sequence[Probability]
) -> list[str]:
    texts = [] if decision is None else [words.operating_point(decision)]
    return [*texts, words.classes(probabilities)] if probabilities else texts


def _measurement_rows(caption: Caption, size: int, room: int) -> list[Row]:
    words, image = caption.words, caption.image
    rows: list[Row] = []
    for score in image.scores:
        rows += [*wrapped(words.score(score), size, WHITE, room), _score_gauge(score, size)]
    for grade in image.grades:
        rows += wrapped(words.grade(grade), size, WHITE, room)
        rows.append(_grade_gauge(grade, size))
        rows += wrapped(words.classes(grade.levels), round(0.85 * size), GREY, room)
    if image.regions:
        told = words.marked(caption.reading.numbered_regions(image))
        rows += wrapped(told, size, WHITE, room)
    colours = mark_colours(image)
    for segment in image.segments:
        told = words.covered(segment, caption.image_area)
        first, *others = wrapped(told, size, WHITE, room - Swatch.indent(size))
        rows += [Swatch(first, colours[segment.finding.value]), *others]
    return rows


def _score_gauge(score: Score, size: int) -> Gauge:
    span = score.highest - score.lowest
    share = (score.value - score.lowest) / span if span > 0 else 0.0
    return Gauge(share, 0, 14 * size, size, _GAUGE)


def _grade_gauge(grade: Grade, size: int) -> Gauge:
    steps = len(grade.levels)
    return Gauge((grade.level + 0.5) / steps, steps, 14 * size, size, _GAUGE)


# -- the notes --


def _note_rows(caption: Caption, size: int, room: int, *, with_scale: bool) -> list[Line]:
    keys = ["activation_note"] if with_scale else []
    if caption.image.regions or caption.image.segments:
        keys.append("marks_note")
    small = round(0.85 * size)
    notes = map(caption.words.say, keys or ["no_activation"])
    return [line for note in notes for line in wrapped(note, small, GREY, room)]


def _draw_scale(
    band: Image.Image, words: Words, left: int, top: int, width: int, size: int
) -> None:
    """Draw the colour scale with its range and the level of the contour."""
    draw_on = ImageDraw.Draw(band)
    draw_on.text((left, top), words.say("activation"), fill=WHITE, font=font(size))
    bar_top = top + round(1.5 * size)
    first = round(255 * VISIBLE_FROM)
    ramp = np.broadcast_to(np.linspace(first, 255, width).astype(np.uint8), (size, width))
    band.paste(Image.fromarray(palette()[ramp]), (left, bar_top))
    mark = left + round(width * (CONTOUR_AT - VISIBLE_FROM) / (1.0 - VISIBLE_FROM))
    draw_on.line((mark, bar_top - 2, mark, bar_top + size + 2), fill=WHITE, width=2)
    below = bar_top + round(1.3 * size)
    small = font(round(size * 0.85))
    contour = words.say("contour", value=words.number(CONTOUR_AT))
    draw_on.text((left, below), words.number(VISIBLE_FROM, 2), fill=GREY, font=small)
    draw_on.text((mark, below), contour, fill=GREY, font=small, anchor="ma")
    draw_on.text((left + width, below), "1", fill=GREY, font=small, anchor="ra")
