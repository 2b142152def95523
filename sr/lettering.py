"""Letters and colours of the overlay: the font, what it has, and where a line may break."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

FONT_FILE = Path(__file__).parent / "fonts" / "BIZUDPGothic-Regular.ttf"

Colour = tuple[int, int, int]
BAND: Colour = (16, 16, 18)
WHITE: Colour = (238, 238, 238)
GREY: Colour = (160, 160, 165)
AMBER: Colour = (255, 190, 60)
VERMILION: Colour = (213, 94, 0)
TRACK: Colour = (62, 62, 68)  # of bars, where nothing is filled

_NO_CHARACTER = "\uffff"  # which no font has (The Unicode Standard, section 23.7)

# Japanese breaks anywhere but before and after these (JIS X 4051, the common part of it).
_NOT_AT_START = "、。，．・：；？！ー）」』】〕％々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ"  # noqa: RUF001
_NOT_AT_END = "（「『【〔"  # noqa: RUF001
_WIDE = r"\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff"  # kana and kanji
_UNIT = re.compile(
    rf"[{_NOT_AT_END}]*(?:[{_WIDE}]|[^{_WIDE}{_NOT_AT_START}{_NOT_AT_END}]+)?[{_NOT_AT_START}]*"
)
_GAP = re.compile(r"\s+(?![%:;?!])")  # French sets a space before these, and English before %


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


@lru_cache(maxsize=256)
def broken(text: str, size: int, room: int) -> tuple[str, ...]:
    """Break ``text`` into lines.

    Parameters
    ----------
    text
        Of any script; a line breaks between words, and between kana and kanji.
    size
        Height of the letters, pixels.
    room
        Width of a line, pixels. What has no place to break is cut.
    """
    letters = font(size)
    lines = [""]
    for unit in units(printable(text)):
        if letters.getlength(lines[-1] + unit) <= room:
            lines[-1] += unit
            continue
        lines.append("")
        for character in unit.lstrip():
            if lines[-1] and letters.getlength(lines[-1] + character) > room:
                lines.append("")
            lines[-1] += character
    return tuple(each for each in lines if each) or ("",)


def units(text: str) -> Iterator[str]:
    """Yield what no line break may divide; after a gap with its space in front."""
    for place, word in enumerate(_GAP.split(text.strip())):
        for within, match in enumerate(_UNIT.finditer(word)):
            if match[0]:
                yield f" {match[0]}" if place and not within else match[0]


def fitting(text: str, largest: int, smallest: int, room: int) -> int:
    """Return the height of letters at which ``text`` fits into one line, or the smallest."""
    shown = printable(text)
    sizes = range(largest, smallest, -1)
    return next((each for each in sizes if font(each).getlength(shown) <= room), smallest)
