"""Rows of the overlay's legend: text, a filled badge, a gauge; and the colours they share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from PIL import ImageDraw, ImageFont

FONT_FILE = Path(__file__).parent / "fonts" / "BIZUDPGothic-Regular.ttf"

Colour = tuple[int, int, int]
BAND: Colour = (16, 16, 18)
WHITE: Colour = (238, 238, 238)
GREY: Colour = (160, 160, 165)
AMBER: Colour = (255, 190, 60)
VERMILION: Colour = (213, 94, 0)
_TRACK: Colour = (70, 70, 76)

_NO_CHARACTER = "\uffff"  # which no font has (The Unicode Standard, section 23.7)
_LEADING = 1.4  # distance of lines of text in letter heights


class Row(Protocol):
    """Something that stands in the legend, one below the other."""

    @property
    def height(self) -> int:
        """Height with the space below it, pixels."""

    def draw(self, draw_on: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Draw it with its top left corner there."""


@dataclass(frozen=True)
class Line:
    """A line of text; ``size`` is the height of its letters in pixels."""

    text: str
    size: int
    colour: Colour

    @property
    def height(self) -> int:
        """Height with the space below it, pixels."""
        return round(_LEADING * self.size)

    def draw(self, draw_on: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Draw the text."""
        draw_on.text((left, top), self.text, fill=self.colour, font=font(self.size))


@dataclass(frozen=True)
class Badge:
    """Lines of text on a filled ground, for what must not be overlooked."""

    lines: tuple[Line, ...]
    width: int
    fill: Colour

    @property
    def height(self) -> int:
        """Height with the space below it, pixels."""
        return stack_height(self.lines) + 3 * self._padding

    def draw(self, draw_on: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Draw ground and text."""
        bottom = top + stack_height(self.lines) + 2 * self._padding
        corners = (left, top, left + self.width, bottom)
        draw_on.rounded_rectangle(corners, self._padding, fill=self.fill)
        draw_stack(draw_on, left + 2 * self._padding, top + self._padding, self.lines)

    @property
    def _padding(self) -> int:
        return self.lines[0].size // 4


@dataclass(frozen=True)
class Gauge:
    """A scale from its lowest to its highest value, with a mark.

    Attributes
    ----------
    share
        Where the mark stands, 0..1.
    steps
        Into how many equal levels the scale is divided; 0 for a continuous one.
    width, size
        Length of the bar, and height of the letters beside it, pixels.
    colour
        Of the mark.
    """

    share: float
    steps: int
    width: int
    size: int
    colour: Colour

    @property
    def height(self) -> int:
        """Height with the space below it, pixels."""
        return round(1.1 * self.size)

    def draw(self, draw_on: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Draw the bar and the mark."""
        bar = max(4, self.size // 3)
        top += bar // 2
        bottom = top + bar
        draw_on.rectangle((left, top, left + self.width, bottom), fill=_TRACK)
        if self.steps:
            level = min(self.steps - 1, int(self.share * self.steps))
            first, last = (left + self.width * each // self.steps for each in (level, level + 1))
            draw_on.rectangle((first, top, last, bottom), fill=self.colour)
            for step in range(1, self.steps):
                across = left + self.width * step // self.steps
                draw_on.line((across, top, across, bottom), fill=BAND, width=2)
            return
        mark = left + round(self.share * self.width)
        draw_on.rectangle((left, top, mark, bottom), fill=self.colour)
        draw_on.line((mark, top - bar // 2, mark, bottom + bar // 2), fill=WHITE, width=3)


@dataclass(frozen=True)
class Swatch:
    """A line of text behind a square of the colour that it explains."""

    line: Line
    colour: Colour

    @property
    def height(self) -> int:
        """Height with the space below it, pixels."""
        return self.line.height

    def draw(self, draw_on: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Draw the square and the text."""
        size = self.line.size
        square = (left, top + size // 5, left + size * 4 // 5, top + size)
        draw_on.rectangle(square, fill=self.colour)
        self.line.draw(draw_on, left + self.indent(size), top)

    @staticmethod
    def indent(size: int) -> int:
        """Return how far the square moves text of this size to the right, pixels."""
        return round(1.3 * size)


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of results with letters of this height, pixels."""
    # Raqm would lay out scripts that the font does not have, at ten times the cost.
    return ImageFont.truetype(FONT_FILE, size, layout_engine=ImageFont.Layout.BASIC)


def printable(text: str) -> str:
    """Return ``text`` in the characters that the font has, ``?`` for any other."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(_in_font(each) for each in composed)


@lru_cache(maxsize=4096)
def _in_font(character: str) -> str:
    """Return a character, a plainer form of it, or ``?``."""
    for form in (character, unicodedata.normalize("NFKC", character)):
        if form.isprintable() and all(_glyph(each) != _glyph(_NO_CHARACTER) for each in form):
            return form
    return " " if character.isspace() else "?"


@lru_cache(maxsize=4096)
def _glyph(character: str) -> bytes:
    # Pillow tells no other way whether a font has a character.
    return bytes(font(16).getmask(character))


def wrapped(text: str, size: int, colour: Colour, room: int) -> list[Line]:
    """Break ``text`` into lines of at most ``room`` pixels, between words but before no ``%``."""
    letters = font(size)
    lines: list[str] = []
    for word in re.split(r"\s+(?!%)", printable(text).strip()):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and letters.getlength(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return [Line(each, size, colour) for each in lines]


def stack_height(rows: Sequence[Row]) -> int:
    """Return the height of rows one below the other, pixels."""
    return sum(row.height for row in rows)


def draw_stack(draw_on: ImageDraw.ImageDraw, left: int, top: int, rows: Sequence[Row]) -> None:
    """Draw rows one below the other."""
    for row in rows:
        row.draw(draw_on, left, top)
        top += row.height
