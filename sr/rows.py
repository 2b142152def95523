"""Rows of the overlay's legend: text, a headline, a filled badge, a meter, a swatch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import ImageDraw

from sr.lettering import BAND, GREY, TRACK, WHITE, Colour, broken, font

_LEADING = 1.4  # distance of lines of text in letter heights
_METER_LEADING = 1.6  # of meters


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
class Space:
    """Nothing, between groups of rows."""

    height: int

    def draw(self, draw_on: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Draw nothing."""


@dataclass(frozen=True)
class Headline:
    """Lines of text behind a stripe of their first line's colour."""

    lines: tuple[Line, ...]

    @property
    def height(self) -> int:
        """Height with the space below it, pixels."""
        return stack_height(self.lines) + self.lines[0].size // 4

    def draw(self, draw_on: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Draw stripe and text."""
        size = self.lines[0].size
        bottom = top + stack_height(self.lines) - size // 5
        draw_on.rectangle((left, top, left + size // 5, bottom), fill=self.lines[0].colour)
        draw_stack(draw_on, left + self.indent(size), top, self.lines)

    @staticmethod
    def indent(size: int) -> int:
        """Return how far the stripe moves text of this size to the right, pixels."""
        return round(0.6 * size)


@dataclass(frozen=True)
class Badge:
    """Lines of text on a filled ground, for what must not be overlooked."""

    lines: tuple[Line, ...]
    width: int
    fill: Colour

    @property
    def height(self) -> int:
        """Height with the space below it, pixels."""
        return stack_height(self.lines) + 4 * self._padding

    def draw(self, draw_on: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Draw ground and text."""
        bottom = top + stack_height(self.lines) + 2 * self._padding
        corners = (left, top, left + self.width, bottom)
        draw_on.rounded_rectangle(corners, self._padding, fill=self.fill)
        draw_stack(draw_on, left + 2 * self._padding, top + self._padding, self.lines)

    @property
    def _padding(self) -> int:
        return self.lines[0].size // 4


@dataclass(frozen=True, kw_only=True)
class Meter:
    """A name, a bar from the lowest to the highest value, and the value.

    Attributes
    ----------
    name, value
        The texts on either side.
    share
        How far the bar is filled, 0..1.
    steps
        Into how many equal levels the bar is divided, of which the one at ``share`` is filled; 0
        for a continuous one.
    mark, marked
        Where a line crosses the bar, 0..1, and what is written below it; None for no line.
    room, size
        Width of everything, and height of the letters, pixels.
    colour
        Of what is filled.
    """

    name: str
    value: str
    share: float
    steps: int = 0
    mark: float | None = None
    marked: str = ""
    room: int
    size: int
    colour: Colour

    @property
    def height(self) -> int:
        """Height with the space below it, pixels."""
        below = 0 if self.mark is None else self._small
        lines = max(len(self._names()), len(self._values()))
        text = round(_LEADING * self.size) * (lines - 1) + round(_METER_LEADING * self.size)
        return text + max(0, below - self.size * (lines - 1))

    def draw(self, draw_on: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Draw texts and bar."""
        letters, line = font(self.size), round(_LEADING * self.size)
        for place, text in enumerate(self._names()):
            draw_on.text((left, top + place * line), text, fill=WHITE, font=letters)
        beside = left + self.room - self._value_room
        for place, text in enumerate(self._values()):
            draw_on.text((beside, top + place * line), text, fill=WHITE, font=letters)
        start, end = left + self._name_room, beside - self.size
        thick = max(5, round(0.45 * self.size))
        self._draw_bar(draw_on, (start, top + round(0.35 * self.size), end, thick))

    def _draw_bar(self, draw_on: ImageDraw.ImageDraw, place: tuple[int, int, int, int]) -> None:
        start, top, end, thick = place
        bottom = top + thick
        draw_on.rounded_rectangle((start, top, end, bottom), thick // 2, fill=TRACK)
        if self.steps:
            self._draw_levels(draw_on, place)
        elif round(self.share * (end - start)) > 0:
            filled = (start, top, start + round(self.share * (end - start)), bottom)
            draw_on.rounded_rectangle(filled, thick // 2, fill=self.colour)
        if self.mark is not None:
            across = start + round(self.mark * (end - start))
            reach = thick // 2
            draw_on.line((across, top - reach, across, bottom + reach), fill=WHITE, width=2)
            below = (self._inside(across, start, end), bottom + reach + 2)
            draw_on.text(below, self.marked, fill=GREY, font=font(self._small), anchor="ma")

    def _draw_levels(self, draw_on: ImageDraw.ImageDraw, place: tuple[int, int, int, int]) -> None:
        start, top, end, thick = place
        edges = [start + (end - start) * each // self.steps for each in range(self.steps + 1)]
        level = min(self.steps - 1, int(self.share * self.steps))
        filled = (edges[level], top, edges[level + 1], top + thick)
        draw_on.rectangle(filled, fill=self.colour)
        for edge in edges[1:-1]:
            draw_on.line((edge, top, edge, top + thick), fill=BAND, width=2)

    def _inside(self, across: int, start: int, end: int) -> float:
        """Return where the middle of the text below the line stands, beside it at the ends."""
        half = font(self._small).getlength(self.marked) / 2
        return max(start + half, min(end - half, across))

    def _names(self) -> tuple[str, ...]:
        return broken(self.name, self.size, self._name_room - self.size)

    def _values(self) -> tuple[str, ...]:
        return broken(self.value, self.size, self._value_room)

    @property
    def _small(self) -> int:
        return round(0.8 * self.size)

    @property
    def _name_room(self) -> int:
        return round(0.48 * self.room)

    @property
    def _value_room(self) -> int:
        return round(0.21 * self.room)


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
        square = (left, top + size // 8, left + size * 4 // 5, top + size // 8 + size * 4 // 5)
        draw_on.rectangle(square, fill=self.colour)
        self.line.draw(draw_on, left + self.indent(size), top)

    @staticmethod
    def indent(size: int) -> int:
        """Return how far the square moves text of this size to the right, pixels."""
        return round(1.3 * size)


def wrapped(text: str, size: int, colour: Colour, room: int) -> list[Line]:
    """Break ``text`` into lines of at most ``room`` pixels."""
    return [Line(each, size, colour) for each in broken(text, size, room)]


def stack_height(rows: Sequence[Row]) -> int:
    """Return the height of rows one below the other, pixels."""
    return sum(row.height for row in rows)


def draw_stack(draw_on: ImageDraw.ImageDraw, left: int, top: int, rows: Sequence[Row]) -> None:
    """Draw rows one below the other."""
    for row in rows:
        row.draw(draw_on, left, top)
        top += row.height
