"""Makes the font that results are written in: BIZ UDPGothic, cut to the characters they need.

The source comes from npm: ``npm pack @expo-google-fonts/biz-udpgothic@0.4.2``, unpacked. It holds
the font as Google Fonts serves it, and its licence, the SIL Open Font License 1.1, which reserves
no font name. Needs fonttools, which comes with the ``dev`` extra (matplotlib depends on it).

    python -m tools.make_font package/400Regular/BIZUDPGothic_400Regular.ttf
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

from sr.lettering import FONT_FILE

_FIRST_BYTES = (*range(0x81, 0xA0), *range(0xE0, 0xFD))  # of two in Windows code page 932
_SECOND_BYTES = range(0x40, 0xFD)
_RANGES = (
    (0x0020, 0x017F),  # Latin, Latin-1, Latin Extended-A
    (0x0218, 0x021B),  # Romanian
    (0x0370, 0x03FF),  # Greek
    (0x0400, 0x045F),  # Cyrillic
    (0x2010, 0x2044),  # punctuation
    (0x2070, 0x209F),  # superscripts, subscripts
    (0x20AC, 0x20AC),
    (0x2116, 0x2122),
    (0x2190, 0x22A5),  # arrows, mathematical signs
    (0x2460, 0x2473),  # numbers in circles
    (0x25A0, 0x26FF),  # geometric shapes
    (0x3000, 0x30FF),  # Japanese punctuation, kana
    (0xFF01, 0xFFE6),  # full-width and half-width forms
)


def characters() -> set[int]:
    """Return the code points to keep: the ranges above, and every kanji of code page 932.

    That is JIS X 0208 with the variants that family names are written in.
    """
    kept = {each for first, last in _RANGES for each in range(first, last + 1)}
    return kept | set(_code_page_932())


def _code_page_932() -> Iterator[int]:
    for first in _FIRST_BYTES:
        for second in _SECOND_BYTES:
            try:
                yield ord(bytes((first, second)).decode("cp932"))
            except (UnicodeDecodeError, TypeError):  # not every place is taken
                continue


def make(source: Path, target: Path) -> None:
    """Write the cut font; the same source always gives the same bytes."""
    font = TTFont(source, recalcTimestamp=False)
    options = subset.Options(
        hinting=False,  # letters are drawn large and smoothed
        layout_features=[],
        name_IDs=["*"],  # copyright and licence among them: the licence asks for it
        name_languages=["*"],
        notdef_outline=True,
        drop_tables=[*subset.Options().drop_tables, "GSUB", "meta"],
        recalc_timestamp=False,
    )
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=characters())
    cutter.subset(font)
    font.save(target)


def main() -> None:
    """Make the font from the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="BIZUDPGothic_400Regular.ttf")
    make(parser.parse_args().source, FONT_FILE)
    print(f"{FONT_FILE}: {FONT_FILE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
