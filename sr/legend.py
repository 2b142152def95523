"""The bands of text above and below the picture; none of it identifies the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sr import codes
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
    TRACK,
    VERMILION,
    WHITE,
    Colour,
    broken,
    fitting,
    font,
)
from sr.marks import mark_colours
from sr.rows import (
    Badge,
    Headline,
    Meter,
    Row,
    Space,
    Swatch,
    draw_stack,
    stack_height,
    wrapped,
)
from sr.wording import Words, capital

_ANSWER: dict[Normality, Colour] = {  # orange and blue differ for everyone
    Normality.NORMAL: (110, 190, 255),
    Normality.ABNORMAL: (255, 150, 40),
    Normality.INDETERMINATE: (225, 225, 140),
}
_PROBABILITY, _SCALE = (214, 170, 120), (110, 190, 255)
_SMALLEST = 13  # pixels, of letters that can be read


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
    largest = max(_SMALLEST, width // 32)
    room = width - largest
    size = fitting(text, largest, max(_SMALLEST, largest * 2 // 3), room)
    lines, step = broken(text, size, room), round(1.4 * size)
    band = Image.new("RGB", (width, step * (len(lines) - 1) + round(1.9 * largest)), BAND)
    draw_on = ImageDraw.Draw(band)
    first = (band.height - step * (len(lines) - 1)) / 2
    for place, line in enumerate(lines):
        middle = (width / 2, first + place * step)
        draw_on.text(middle, line, fill=AMBER, font=font(size), anchor="mm")
    draw_on.line((0, band.height - 1, width, band.height - 1), fill=AMBER)
    return band


def legend(width: int, caption: Caption, *, with_scale: bool) -> Image.Image:
    """Draw the lower band: the answer on the left, notes and the heat map's scale on the right."""
    size = max(_SMALLEST, width // 50)
    margin = round(1.2 * size)
    right_width = round(width * 0.27)
    right = width - margin - right_width
    answer = answer_rows(caption, size, right - 2 * margin - margin // 2)
    notes = _note_rows(caption, size, right_width, with_scale=with_scale)
    made_by = _maker_rows(caption, size, width - 2 * margin)
    scale_height = 4 * size if with_scale else 0
    upper = margin + max(stack_height(answer), scale_height + stack_height(notes)) + margin // 2
    band = Image.new("RGB", (width, upper + stack_height(made_by) + margin), BAND)
    draw_on = ImageDraw.Draw(band)
    if with_scale:
        _draw_scale(band, caption.words, right, margin, right_width, size)
    draw_stack(draw_on, margin, margin, answer)
    draw_stack(draw_on, right, margin + scale_height, notes)
    draw_on.line((margin, upper, width - margin, upper), fill=TRACK)
    draw_stack(draw_on, margin, upper + size // 2, made_by)
    return band


def _maker_rows(caption: Caption, size: int, room: int) -> list[Row]:
    words, small = caption.words, round(0.85 * size)
    maker = words.maker("maker", caption.reading.algorithm, SOFTWARE_VERSION)
    notice = wrapped(words.disclaimer, size, AMBER, room) if caption.banner else []
    return [*notice, *wrapped(maker, small, GREY, room)]


# -- the answer --


def answer_rows(caption: Caption, size: int, room: int) -> list[Row]:
    """Return what the legend says of the answer; ``size`` and ``room`` in pixels."""
    words, reading, image = caption.words, caption.reading, caption.image
    rows: list[Row] = []
    if reading.urgency is not None:
        rows += _urgency_rows(words, reading.urgency, size, room)
    if reading.study is None:
        rows += _headline_rows(words, image.decision, words.headline(image.decision), size, room)
        rows += _class_rows(words, image.decision, image.probabilities, size, room)
    else:
        decision = reading.study.decision
        told = words.about(words.say("study"), words.headline(decision))
        rows += _headline_rows(words, decision, told, size, room)
        rows += _class_rows(words, decision, reading.study.probabilities, size, room)
        rows += _slice_rows(caption, reading.study.images_read, size, room)
    return [*rows, *_measurement_rows(caption, size, room)]


def _urgency_rows(words: Words, urgency: Urgency, size: int, room: int) -> list[Row]:
    told = words.urgency(urgency)
    if not urgency.urgent:
        colour = GREY if urgency.urgent is False else _ANSWER[Normality.INDETERMINATE]
        lines = wrapped(words.about(words.say("study"), told), size, colour, room)
        return [*lines, Space(size // 3)]
    lines = wrapped(words.say("urgent_study"), round(1.5 * size), WHITE, room)
    lines += wrapped(capital(told), size, WHITE, room - 2 * size)
    return [Badge(tuple(lines), room, VERMILION)]


def _headline_rows(
    words: Words, decision: Decision | None, told: str, size: int, room: int
) -> list[Row]:
    colour = WHITE if decision is None else _ANSWER[decision.normality]
    room -= Headline.indent(2 * size)
    large = fitting(told, round(1.5 * size), round(1.2 * size), room)
    lines = wrapped(told, large, colour, room)
    caution = words.caution(decision)
    lines += wrapped(caution, size, colour, room) if caution else []
    return [Headline(tuple(lines)), Space(size // 3)]


def _class_rows(
    words: Words,
    decision: Decision | None,
    probabilities: Sequence[Probability],
    size: int,
    room: int,
) -> list[Row]:
    """Return the probability that decided with its operating point, and that of each finding."""
    normal = codes.normality(Normality.NORMAL)  # which is the rest of what the first meter shows
    found = [each for each in probabilities if each.finding != normal]
    if decision is None:
        return [_class_meter(words, each, size, room) for each in found]
    name = words.say("abnormality")
    if len(found) == 1:  # then it is the same
        name = capital(words.label(found[0].label, found[0].finding))
    decided = Meter(
        name=name,
        value=words.percent(decision.abnormal_probability),
        share=decision.abnormal_probability,
        mark=decision.threshold,
        marked=words.say("threshold", threshold=words.percent(decision.threshold)),
        room=room,
        size=size,
        colour=_ANSWER[decision.normality],
    )
    others = found if len(found) > 1 else []
    return [decided, *(_class_meter(words, each, size, room) for each in others)]


def _class_meter(words: Words, found: Probability, size: int, room: int) -> Meter:
    return Meter(
        name=capital(words.label(found.label, found.finding)),
        value=words.percent(found.value),
        share=found.value,
        room=room,
        size=size,
        colour=_PROBABILITY,
    )


def _slice_rows(caption: Caption, images_read: int, size: int, room: int) -> list[Row]:
    """Return which slice is shown, and what is said of it."""
    words = caption.words
    told = words.say("slice_of_study", place=caption.place, count=images_read)
    rows: list[Row] = [Space(size // 3), *wrapped(told, size, GREY, room)]
    return rows + [_class_meter(words, each, size, room) for each in caption.image.probabilities]


def _measurement_rows(caption: Caption, size: int, room: int) -> list[Row]:
    words, image = caption.words, caption.image
    rows: list[Row] = [Space(size // 3)] if image.scores else []
    rows += [_score_meter(words, each, size, room) for each in image.scores]
    for grade in image.grades:
        rows.append(_grade_meter(words, grade, size, room))
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


def _score_meter(words: Words, score: Score, size: int, room: int) -> Meter:
    span = score.highest - score.lowest
    return Meter(
        name=capital(words.label(score.name.meaning, score.name)),
        value=words.score_value(score),
        share=(score.value - score.lowest) / span if span > 0 else 0.0,
        room=room,
        size=size,
        colour=_SCALE,
    )


def _grade_meter(words: Words, grade: Grade, size: int, room: int) -> Meter:
    steps, stated = len(grade.levels), grade.stated
    return Meter(
        name=capital(words.label(grade.name.meaning, grade.name)),
        value=words.classes([stated]),
        share=(grade.level + 0.5) / steps,
        steps=steps,
        room=room,
        size=size,
        colour=_SCALE,
    )


# -- the notes --


def _note_rows(caption: Caption, size: int, room: int, *, with_scale: bool) -> list[Row]:
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
