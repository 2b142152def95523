"""Draws the overlay: the radiograph, the heat map over it, and bands of text above and below.

No text lies on the anatomy, and no text identifies the patient. Pillow does the work on full-size
pictures with 8-bit tables; a 4,000-pixel radiograph takes tens of milliseconds.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from sr import wording
from sr.findings import Algorithm, ImageReading, Normality
from sr.identity import SOFTWARE_VERSION

SMALLEST_LONG_SIDE = 1024  # pixels; text on a smaller picture would not be legible
LARGEST_LONG_SIDE = 1536  # pixels; the source itself stays beside the overlay in full size
_NARROWEST = 640  # pixels; the canvas is not narrower, or the banner would not fit

_VISIBLE_FROM = 0.35  # activation below this is not shown
_CONTOUR_AT = 0.6
_OPACITY = 0.45  # at activation 1
_LEADING = 1.4  # distance of lines of text in letter heights
_MAP_SIDE = 256  # pixels; beyond this a bicubic map holds no more detail

# Plasma without its darkest third, which would look like lung: perceptually uniform, and told
# apart in every common colour blindness.
_COLOURS = (
    (139, 10, 165),
    (185, 50, 137),
    (219, 92, 104),
    (244, 136, 73),
    (254, 188, 43),
    (240, 249, 33),
)
_Colour = tuple[int, int, int]
_BAND: _Colour = (16, 16, 18)
_WHITE: _Colour = (238, 238, 238)
_GREY: _Colour = (160, 160, 165)
_AMBER: _Colour = (255, 190, 60)
_ANSWER: dict[Normality, _Colour] = {  # orange and blue differ for everyone
    Normality.NORMAL: (110, 190, 255),
    Normality.ABNORMAL: (255, 150, 40),
    Normality.INDETERMINATE: (225, 225, 140),
}


@dataclass(frozen=True)
class Drawing:
    """A finished overlay.

    Attributes
    ----------
    pixels
        Shape (rows, columns, 3), uint8, RGB.
    row_scale, column_scale
        Size of a source pixel in overlay pixels, vertically and horizontally.
    """

    pixels: NDArray[np.uint8]
    row_scale: float
    column_scale: float


def draw(picture: NDArray[np.uint8], reading: ImageReading, algorithm: Algorithm) -> Drawing:
    """Draw the overlay of one image.

    Parameters
    ----------
    picture
        The image as a viewer displays it: shape (rows, columns), 0 black to 255 white.
    reading
        What the model says about it. The heat map is drawn unless the reading is normal.
    algorithm
        The model, named in the lower band.
    """
    rows, columns = picture.shape
    scale = _scale(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    body = _resized(Image.fromarray(picture), size).convert("RGB")
    shown = shows_heatmap(reading)
    if shown and reading.heatmap is not None:
        _blend(body, reading.heatmap)
    width = max(size[0], _NARROWEST)
    parts = [_banner(width), _widened(body, width), _legend(width, reading, algorithm, shown)]
    pixels = np.concatenate([np.asarray(part) for part in parts])
    return Drawing(pixels, size[1] / rows, size[0] / columns)


def shows_heatmap(reading: ImageReading) -> bool:
    """Tell whether the overlay shows a heat map: there is one, and it reaches what is shown."""
    return (
        reading.heatmap is not None
        and reading.decision.normality is not Normality.NORMAL
        and float(np.nanmax(reading.heatmap, initial=0.0)) > _VISIBLE_FROM
    )


def _scale(rows: int, columns: int) -> float:
    longest = max(rows, columns)
    return min(max(longest, SMALLEST_LONG_SIDE), LARGEST_LONG_SIDE) / longest


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if size == image.size:
        return image
    enlarge = size[0] > image.size[0]
    method = Image.Resampling.BICUBIC if enlarge else Image.Resampling.BILINEAR
    return image.resize(size, method, reducing_gap=None if enlarge else 2.0)


def _widened(body: Image.Image, width: int) -> Image.Image:
    if body.width == width:
        return body
    canvas = Image.new("RGB", (width, body.height))
    canvas.paste(body, ((width - body.width) // 2, 0))
    return canvas


# -- heat map --


def _blend(body: Image.Image, heatmap: NDArray[np.float32]) -> None:
    """Lay the heat map and its contour over ``body``, in place, where activation is shown."""
    coarse = _coarse(heatmap)
    seen = coarse.point(_opacity_table()).getbbox()
    if seen is None:
        return
    activation, corner = _enlarged(coarse, seen, body.size)
    colour = activation.copy()
    colour.putpalette(_palette().tobytes())
    body.paste(colour.convert("RGB"), corner, activation.point(_opacity_table()))
    body.paste(_WHITE, corner, _contour(activation, width=max(2, max(body.size) // 500)))


def _coarse(heatmap: NDArray[np.float32]) -> Image.Image:
    """Return the heat map as a smooth 8-bit picture whose edges are the map's edges."""
    known = np.nan_to_num(heatmap.astype(np.float32, copy=False), nan=0.0)
    smooth = Image.fromarray(known).resize((_MAP_SIDE, _MAP_SIDE), Image.Resampling.BICUBIC)
    return Image.fromarray(np.rint(np.clip(np.asarray(smooth), 0.0, 1.0) * 255.0).astype(np.uint8))


def _enlarged(
    coarse: Image.Image, seen: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[Image.Image, tuple[int, int]]:
    """Enlarge the part of the map around ``seen`` to its place in a picture of ``size``.

    Returns
    -------
    tuple
        The part, in the picture's pixels, and where its top left corner lies.
    """
    across, down = size[0] / coarse.width, size[1] / coarse.height
    # One more pixel of the map on each side, so that the fading edge is whole.
    left = max(0, math.floor((seen[0] - 1) * across))
    top = max(0, math.floor((seen[1] - 1) * down))
    right = min(size[0], math.ceil((seen[2] + 1) * across))
    bottom = min(size[1], math.ceil((seen[3] + 1) * down))
    part = coarse.resize(
        (right - left, bottom - top),
        Image.Resampling.BILINEAR,
        box=(left / across, top / down, right / across, bottom / down),
    )
    return part, (left, top)


@lru_cache(maxsize=1)
def _opacity_table() -> tuple[int, ...]:
    return tuple(int(each) for each in np.rint(255 * _OPACITY * _visible_share() ** 0.7))


@lru_cache(maxsize=1)
def _palette() -> NDArray[np.uint8]:
    """Return 256 colours, shape (256, 3): the visible activations use the whole colour table."""
    anchors = np.linspace(0.0, 1.0, len(_COLOURS))
    channels = [np.interp(_visible_share(), anchors, each) for each in zip(*_COLOURS, strict=True)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def _visible_share() -> NDArray[np.float64]:
    """Return for each of 256 activations how far it lies above what is shown, 0..1."""
    steps = np.linspace(0.0, 1.0, 256)
    return np.clip((steps - _VISIBLE_FROM) / (1.0 - _VISIBLE_FROM), 0.0, 1.0)


def _contour(activation: Image.Image, *, width: int) -> Image.Image:
    """Return the outline of the strong activations as an opacity mask, ``width`` pixels wide."""
    inside = np.asarray(activation) >= round(255 * _CONTOUR_AT)
    edge = np.zeros(inside.shape, np.bool_)
    edge[width:] |= inside[width:] ^ inside[:-width]
    edge[:, width:] |= inside[:, width:] ^ inside[:, :-width]
    # The blur takes the steps out of the line.
    return Image.fromarray(edge.astype(np.uint8) * 220).filter(ImageFilter.BoxBlur(1))


# -- text --


@dataclass(frozen=True)
class _Line:
    """A line of the lower band; ``size`` is the height of its letters in pixels."""

    text: str
    size: int
    colour: _Colour


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType; install a Pillow wheel")
    return font


def _printable(text: str) -> str:
    """Return ``text`` in the letters that the built-in font has."""
    folded = unicodedata.normalize("NFKC", text)
    return folded.encode("latin-1", "replace").decode("latin-1")


def _wrapped(text: str, size: int, colour: _Colour, room: int) -> list[_Line]:
    """Break ``text`` into lines of at most ``room`` pixels, between words."""
    font = _font(size)
    lines: list[str] = []
    for word in _printable(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return [_Line(each, size, colour) for each in lines]


def _banner(width: int) -> Image.Image:
    size = max(14, width // 32)
    band = Image.new("RGB", (width, round(size * 1.9)), _BAND)
    draw_on = ImageDraw.Draw(band)
    middle = (width / 2, band.height / 2)
    draw_on.text(middle, wording.DISCLAIMER, fill=_AMBER, font=_font(size), anchor="mm")
    draw_on.line((0, band.height - 1, width, band.height - 1), fill=_AMBER)
    return band


def _legend(width: int, reading: ImageReading, algorithm: Algorithm, shown: bool) -> Image.Image:
    """Draw the lower band: the answer on the left, the colour scale on the right."""
    size = max(13, width // 46)
    margin = size
    right_width = round(width * 0.3)
    left = width - margin - right_width
    answer = _answer_lines(reading, size, left - 2 * margin)
    notes = _note_lines(shown, size, right_width)
    made_by = _wrapped(_maker(algorithm), round(0.85 * size), _GREY, width - 2 * margin)
    scale_height = 4 * size if shown else 0
    upper = margin + max(_height(answer), scale_height + _height(notes))
    band = Image.new("RGB", (width, upper + _height(made_by) + margin), _BAND)
    if shown:
        _draw_scale(band, left, margin, right_width, size)
    _draw_lines(band, margin, margin, answer)
    _draw_lines(band, left, margin + scale_height, notes)
    _draw_lines(band, margin, upper, made_by)
    return band


def _maker(algorithm: Algorithm) -> str:
    return (
        f"{algorithm.title} - {algorithm.name} {algorithm.version}, "
        f"{algorithm.manufacturer} - wetread {SOFTWARE_VERSION}"
    )


def _answer_lines(reading: ImageReading, size: int, room: int) -> list[_Line]:
    texts = [wording.operating_point(reading), wording.classes(reading)]
    texts += [wording.score(each) for each in reading.scores]
    lines = _wrapped(
        wording.headline(reading), round(1.5 * size), _ANSWER[reading.decision.normality], room
    )
    for text in texts:
        lines += _wrapped(text, size, _WHITE, room)
    return lines


def _note_lines(shown: bool, size: int, room: int) -> list[_Line]:
    note = "Where the model looked, not how far disease extends." if shown else "No heat map."
    return _wrapped(note, round(0.85 * size), _GREY, room)


def _height(lines: list[_Line]) -> int:
    return sum(round(_LEADING * line.size) for line in lines)


def _draw_lines(band: Image.Image, left: int, top: int, lines: list[_Line]) -> None:
    draw_on = ImageDraw.Draw(band)
    for line in lines:
        draw_on.text((left, top), line.text, fill=line.colour, font=_font(line.size))
        top += round(_LEADING * line.size)


def _draw_scale(band: Image.Image, left: int, top: int, width: int, size: int) -> None:
    """Draw the colour scale with its range and the level of the contour."""
    draw_on = ImageDraw.Draw(band)
    draw_on.text((left, top), "Relative activation", fill=_WHITE, font=_font(size))
    bar_top = top + round(1.5 * size)
    first = round(255 * _VISIBLE_FROM)
    ramp = np.broadcast_to(np.linspace(first, 255, width).astype(np.uint8), (size, width))
    band.paste(Image.fromarray(_palette()[ramp]), (left, bar_top))
    mark = left + round(width * (_CONTOUR_AT - _VISIBLE_FROM) / (1.0 - _VISIBLE_FROM))
    draw_on.line((mark, bar_top - 2, mark, bar_top + size + 2), fill=_WHITE, width=2)
    below = bar_top + round(1.3 * size)
    font = _font(round(size * 0.85))
    draw_on.text((left, below), f"{_VISIBLE_FROM:g}", fill=_GREY, font=font)
    draw_on.text((mark, below), f"contour {_CONTOUR_AT:g}", fill=_GREY, font=font, anchor="ma")
    draw_on.text((left + width, below), "1", fill=_GREY, font=font, anchor="ra")
