"""Lines of a plain text: viewers that keep line breaks often break no line themselves."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from sr.lettering import units

COLUMNS = 90
NEW_LINE = "\r\n"  # PS3.5 section 6.1.3


def in_lines(statements: Iterable[str], columns: int = COLUMNS) -> str:
    """Return statements, each on lines of its own, with at most ``columns`` columns.

    A kanji or kana takes two columns.
    """
    return NEW_LINE.join(line for each in statements for line in _lines(each, columns))


def _lines(statement: str, columns: int) -> list[str]:
    lines = [""]
    for unit in units(statement):
        if lines[-1] and _width(lines[-1] + unit) > columns:
            lines.append(unit.lstrip())
        else:
            lines[-1] += unit
    return lines


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)
