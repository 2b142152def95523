"""Boxes and outlines on the overlay: what a model marked, without hiding it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from sr.contours import mask_parts
from sr.findings import ImageReading, Region, Segment
from sr.lettering import BAND, Colour, font, printable
from sr.wording import Words

# Told apart in every common colour blindness (Okabe and Ito), the lighter ones of them.
_COLOURS: tuple[Colour, ...] = (
    (86, 180, 233),
    (240, 228, 66),
    (204, 121, 167),
    (0, 188, 135),
    (230, 159, 0),
)
_FILL = 0.28  # opacity of a segment
_Rectangle = tuple[int, int, int, int]  # left, top, right, bottom


def mark_colours(image: ImageReading) -> dict[str, Colour]:
    """Return the colour of each finding that is marked on an image, by code value."""
    findings = [each.finding.finding.value for each in image.regions]
    findings += [each.finding.value for each in image.segments]
    return {
        finding: _COLOURS[place % len(_COLOURS)]
        for place, finding in enumerate(dict.fromkeys(findings))
    }


def draw_marks(
    body: Image.Image,
    image: ImageReading,
    regions: Sequence[tuple[int, Region]],
    size: tuple[int, int],
    words: Words,
) -> None:
    """Draw segments, boxes and the boxes' labels on ``body``, in place.

    Parameters
    ----------
    body
        The source image, resized.
    image
        Whose segments are drawn.
    regions
        The image's boxes with their numbers.
    size
        Rows and columns of the source image.
    words
        The language of the labels.
    """
    colours = mark_colours(image)
    for segment in image.segments:
        _draw_segment(body, segment, colours[segment.finding.value])
    if regions:
        scale = (body.width / size[1], body.height / size[0])
        boxes = [_placed(region, scale) for _, region in regions]
        _draw_boxes(body, boxes, [colours[each.finding.finding.value] for _, each in regions])
        _draw_labels(body, boxes, regions, colours, words)


def _draw_segment(body: Image.Image, segment: Segment, colour: Colour) -> None:
    if not segment.mask.any():
        return
    mask = Image.fromarray(segment.mask.astype(np.uint8) * round(255 * _FILL))
    body.paste(colour, (0, 0), mask.resize(body.size, Image.Resampling.BILINEAR))
    draw_on = ImageDraw.Draw(body)
    width = _line_width(body)
    for part in mask_parts(segment.mask, body.height, body.width):
        line = [(float(across), float(down)) for across, down in part.outline]
        draw_on.line(line, fill=BAND, width=width + 2, joint="curve")
        draw_on.line(line, fill=colour, width=width, joint="curve")


def _line_width(body: Image.Image) -> int:
    return max(2, max(body.size) // 400)


# -- boxes --


def _placed(region: Region, scale: tuple[float, float]) -> _Rectangle:
    across, down = scale
    edges = (region.left * across, region.top * down, region.right * across, region.bottom * down)
    left, top, right, bottom = map(round, edges)
    return left, top, right, bottom


def _draw_boxes(body: Image.Image, boxes: Sequence[_Rectangle], colours: Sequence[Colour]) -> None:
    draw_on = ImageDraw.Draw(body)
    width = _line_width(body)
    for (left, top, right, bottom), colour in zip(boxes, colours, strict=True):
        draw_on.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=BAND, width=width + 2)
        draw_on.rectangle((left, top, right, bottom), outline=colour, width=width)


def _draw_labels(
    body: Image.Image,
    boxes: Sequence[_Rectangle],
    regions: Sequence[tuple[int, Region]],
    colours: dict[str, Colour],
    words: Words,
) -> None:
    """Write number, finding and probability beside each box, where nothing is written yet."""
    draw_on = ImageDraw.Draw(body)
    letters = font(max(13, max(body.size) // 64))
    taken: list[_Rectangle] = []
    for box, (number, region) in zip(boxes, regions, strict=True):
        # The number alone, which the legend explains, where the whole label has no room.
        for text in (printable(words.region(number, region)), f"({number})"):
            _, _, width, height = (round(each) for each in letters.getbbox(text))
            place = free_place(box, (width + 8, height + 8), body.size, taken)
            if place is not None:
                taken.append(place)
                draw_on.rectangle(place, fill=BAND)
                colour = colours[region.finding.finding.value]
                draw_on.text((place[0] + 4, place[1] + 3), text, fill=colour, font=letters)
                break


def free_place(
    box: _Rectangle, size: tuple[int, int], room: tuple[int, int], taken: Sequence[_Rectangle]
) -> _Rectangle | None:
    """Return where a label of ``size`` fits: above its box, below it, or inside."""
    left, top, right, bottom = box
    width, height = size
    for corner_left, corner_top in (
        (left, top - height - 3),
        (right - width, top - height - 3),
        (left, bottom + 3),
        (right - width, bottom + 3),
        (left + 3, top + 3),
        (right - width - 3, bottom - height - 3),
    ):
        # Pushed back where it would leave the picture at a side.
        start = min(max(0, corner_left), room[0] - width)
        place = (start, corner_top, start + width, corner_top + height)
        inside = start >= 0 and corner_top >= 0 and place[3] < room[1]
        if inside and not any(_overlap(place, each) for each in taken):
            return place
    return None


def _overlap(one: _Rectangle, other: _Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
