"""Sets the pages of a result: A4, with what must be seen first on the first page.

Blocks are first placed on pages and then drawn, because every page says how many there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from typing import Protocol, cast
from xml.sax.saxutils import escape

from PIL import Image
from reportlab import rl_config
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from sr.findings import Normality
from sr.identity import MODEL_NAME, SOFTWARE_VERSION
from sr.lettering import FONT_FILE
from sr.pdfcontent import Content, Picture, Row, Section

_FONT = "wetread"
_WIDTH, _HEIGHT = A4
_MARGIN = 18 * mm
_ROOM = _WIDTH - 2 * _MARGIN
_TOP = _HEIGHT - 31 * mm  # below the heading and the notice
_BOTTOM = 21 * mm  # above the foot
_PAGE = _TOP - _BOTTOM
_GAP = 4 * mm
_HEADING = 5.5 * mm  # of a section

_TALLEST = 150 * mm  # of a picture
_LOWEST = 62 * mm  # rather on the next page, and as tall as this many:
_USUAL = 110 * mm
_BELOW = 1.5 * mm  # between a picture and its caption
_COLUMNS = {1: 1, 2: 2, 3: 3}  # by number of pictures; of more there are two beside each other
_CONCLUSION = 60 * mm  # what is longer goes on in smaller letters
_LONGEST = 1100  # pixels of a picture's long side: 190 per inch of a tall one
_QUALITY = 88  # of JPEG

_BEFORE_SIGN = re.compile(" (?=[%:;!?])")  # where English and French break no line
_INK = HexColor("#1b1d22")
_GREY = HexColor("#6a6f78")
_RULE = HexColor("#d3d7dc")
_NOTICE = HexColor("#fff2d6")
_NOTICE_INK = HexColor("#7a4a00")
_TONES = {  # told apart in every common colour blindness; the words say it too
    Normality.NORMAL: HexColor("#2f6fb0"),
    Normality.ABNORMAL: HexColor("#d55e00"),
    Normality.INDETERMINATE: HexColor("#b08a00"),
    None: HexColor("#6a6f78"),
}


class _Block(Protocol):
    """Something that stands on a page, between its margins; all sizes are in points."""

    height: float

    def draw(self, canvas: Canvas, top: float) -> None:
        """Draw it with its upper edge there, counted from the lower edge of the page."""


@dataclass
class _Page:
    blocks: list[tuple[_Block, float]] = field(default_factory=list)
    top: float = _TOP


def pdf_bytes(content: Content) -> bytes:
    """Return the pages as a PDF file; the same content always gives the same bytes."""
    _prepare()
    pages = _placed(_blocks(content))
    buffer = BytesIO()
    # Invariant: no time of its own, and a file identifier that hangs on the content.
    canvas = Canvas(
        buffer,
        pagesize=A4,
        invariant=1,
        pageCompression=1,
        lang=content.language,
        initialFontName=_FONT,  # type: ignore[arg-type]  # the stubs say float
    )
    _put_information(canvas, content)
    for number, page in enumerate(pages, start=1):
        _draw_frame(canvas, content, number, len(pages))
        for block, top in page.blocks:
            block.draw(canvas, top)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _prepare() -> None:
    rl_config.useA85 = 0  # binary streams: a fifth smaller, and a PDF in DICOM needs no ASCII
    pdfmetrics.registerFont(TTFont(_FONT, str(FONT_FILE)))


def _put_information(canvas: Canvas, content: Content) -> None:
    canvas.setTitle(content.title)
    canvas.setAuthor(f"{MODEL_NAME} {SOFTWARE_VERSION}")
    canvas.setSubject(content.banner)
    canvas.setCreator(content.maker)
    canvas.setKeywords("")
    canvas.setViewerPreference("DisplayDocTitle", "true")
    canvas.setDateFormatter(lambda *_: _pdf_date(content.created))


def _pdf_date(when: datetime) -> str:
    """Return a date as PDF writes it (ISO 32000-1 section 7.9.4)."""
    offset = f"{when:%z}"
    return f"D:{when:%Y%m%d%H%M%S}{offset[:3]}'{offset[3:5]}'"


def _style(size: float, colour: Color = _INK, *, japanese: bool = False) -> ParagraphStyle:
    return ParagraphStyle(
        "text",
        fontName=_FONT,
        fontSize=size,
        leading=1.5 * size,
        textColor=colour,
        # Japanese has no spaces to break at.
        wordWrap="CJK" if japanese else None,
    )


# -- placing --


def _blocks(content: Content) -> list[_Block]:
    """Return what stands on the pages, the pictures as tall as one page has room for."""
    japanese = content.language.startswith("ja")
    conclusion = _Conclusion(content.conclusion, _TONES[content.tone], japanese=japanese)
    above: list[_Block] = [
        _Identification(content.patient, content.study, japanese=japanese),
        conclusion,
        *_texts("", conclusion.left_over, japanese=japanese),
    ]
    below: list[_Block] = [
        block
        for section in content.sections
        for block in _texts(section.heading, section.paragraphs, japanese=japanese)
    ]
    room = _PAGE - sum(each.height + _GAP for each in (*above, *below))
    return [*above, *_picture_rows(content.pictures, room, japanese=japanese), *below]


def _texts(heading: str, texts: Sequence[str], *, japanese: bool) -> Iterator[_Text]:
    """Yield paragraphs, the heading with the first; one that is longer than a page in pieces."""
    style = _style(9.5, japanese=japanese)
    for text in texts:
        paragraph = _paragraph(text, style, _ROOM)
        while paragraph.height > _PAGE - _HEADING:
            pieces = cast(list[Paragraph], paragraph.split(_ROOM, _PAGE - _HEADING))
            for each in pieces:
                each.wrap(_ROOM, _HEIGHT)
            piece, paragraph = pieces
            yield _Text(heading, piece)
            heading = ""
        yield _Text(heading, paragraph)
        heading = ""


def _picture_rows(pictures: Sequence[Picture], room: float, *, japanese: bool) -> list[_Pictures]:
    """Return rows of pictures that together fill ``room``, or are large if it is too small."""
    columns = _COLUMNS.get(len(pictures), 2)
    rows = [
        _Pictures(pictures[first : first + columns], columns, japanese=japanese)
        for first in range(0, len(pictures), columns)
    ]
    left = room - sum(each.height + _GAP for each in rows)
    for row in rows:
        height = left / len(rows)
        row.fit(_USUAL if height < _LOWEST else min(height, _TALLEST))
    return rows


def _placed(blocks: Sequence[_Block]) -> list[_Page]:
    """Place blocks one below the other, on a new page where there is no room."""
    pages = [_Page()]
    for block in blocks:
        if pages[-1].top - block.height < _BOTTOM and pages[-1].blocks:
            pages.append(_Page())
        page = pages[-1]
        page.blocks.append((block, page.top))
        page.top -= block.height + _GAP
    return pages


# -- blocks --


class _Identification:
    """Two columns of label and value between two lines; nothing of a long value is cut off."""

    _ROW = 5.4 * mm

    def __init__(self, *columns: Sequence[Row], japanese: bool) -> None:
        self._width = _ROOM / len(columns)
        self._columns = [self._set(rows, japanese=japanese) for rows in columns]
        heights = [sum(self._height(each) for _, each in rows) for rows, _ in self._columns]
        self.height = max(heights) + 3 * mm

    def _set(
        self, rows: Sequence[Row], *, japanese: bool
    ) -> tuple[list[tuple[str, Paragraph]], float]:
        """Return the labels with their values, and how wide the labels are."""
        labels = max(_text_width(each.label, 8.5) for each in rows) + 4 * mm
        style, room = _style(10, japanese=japanese), self._width - labels - 4 * mm
        return [(each.label, _paragraph(each.value, style, room)) for each in rows], labels

    def _height(self, value: Paragraph) -> float:
        return max(self._ROW, value.height + 0.4 * mm)

    def draw(self, canvas: Canvas, top: float) -> None:
        canvas.setStrokeColor(_RULE)
        for edge in (top, top - self.height):
            canvas.line(_MARGIN, edge, _MARGIN + _ROOM, edge)
        for place, (rows, labels) in enumerate(self._columns):
            left, down = _MARGIN + place * self._width, top - 1.3 * mm
            for label, value in rows:
                _draw_text(canvas, left, down - 3.7 * mm, label, 8.5, _GREY)
                value.drawOn(canvas, left + labels, down - value.height)
                down -= self._height(value)


class _Conclusion:
    """The first section, large, beside a bar in the colour of the answer.

    Attributes
    ----------
    left_over
        Paragraphs for which there was no room.
    """

    def __init__(self, section: Section, tone: Color, *, japanese: bool) -> None:
        self._heading, self._tone = section.heading, tone
        room = _ROOM - 6 * mm
        self.height = 7 * mm
        self._texts: list[Paragraph] = []
        for text in section.paragraphs:
            style = _style(10 if self._texts else 12, japanese=japanese)
            paragraph = _paragraph(text, style, room)
            if self._texts and self.height + paragraph.height > _CONCLUSION:
                break
            self._texts.append(paragraph)
            self.height += paragraph.height + 1.2 * mm
        self.left_over = section.paragraphs[len(self._texts) :]

    def draw(self, canvas: Canvas, top: float) -> None:
        canvas.setFillColor(self._tone)
        canvas.rect(_MARGIN, top - self.height, 1.6 * mm, self.height, stroke=0, fill=1)
        left = _MARGIN + 6 * mm
        _draw_text(canvas, left, top - 4 * mm, self._heading, 9.5, _GREY)
        top -= 6.5 * mm
        for text in self._texts:
            text.drawOn(canvas, left, top - text.height)
            top -= text.height + 1.2 * mm


class _Text:
    """A paragraph, with a heading if it is the first of its section."""

    def __init__(self, heading: str, text: Paragraph) -> None:
        self._heading, self._text = heading, text
        self.height = text.height + (_HEADING if heading else 0)

    def draw(self, canvas: Canvas, top: float) -> None:
        if self._heading:
            _draw_text(canvas, _MARGIN, top - 3.2 * mm, self._heading, 9.5, _GREY)
        self._text.drawOn(canvas, _MARGIN, top - self.height)


class _Pictures:
    """Pictures side by side, each above its caption; as high as its captions until it is fitted."""

    def __init__(self, pictures: Sequence[Picture], columns: int, *, japanese: bool) -> None:
        self._pictures = pictures
        self._width = (_ROOM - (columns - 1) * _GAP) / columns
        style = _style(8.5, _GREY, japanese=japanese)
        self._captions = [_paragraph(each.caption, style, self._width) for each in pictures]
        self.height = _BELOW + max(each.height for each in self._captions)

    def fit(self, height: float) -> None:
        """Make the pictures as large as there is room in their columns, and this height."""
        self._images = [_fitted(each, self._width, height) for each in self._pictures]
        self._image_height = max(each.height for each in self._images)
        self.height += self._image_height

    def draw(self, canvas: Canvas, top: float) -> None:
        below = top - self._image_height - _BELOW
        for place, (image, caption) in enumerate(zip(self._images, self._captions, strict=True)):
            left = _MARGIN + place * (self._width + _GAP)
            across = left + (self._width - image.width) / 2
            canvas.drawImage(image.reader, across, top - image.height, image.width, image.height)
            caption.drawOn(canvas, left, below - caption.height)


@dataclass
class _Image:
    reader: ImageReader
    width: float
    height: float


def _fitted(picture: Picture, width: float, height: float) -> _Image:
    """Return a picture as JPEG, no larger than it can be seen, and its size on the page."""
    image = Image.fromarray(picture.pixels)
    shrink = min(1.0, _LONGEST / max(image.size))
    if shrink < 1.0:
        size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)  # lines of one pixel keep colour
    scale = min(width / image.width, height / image.height)
    return _Image(ImageReader(buffer), image.width * scale, image.height * scale)


# -- text --


def _paragraph(text: str, style: ParagraphStyle, room: float) -> Paragraph:
    kept = _BEFORE_SIGN.sub("\N{NO-BREAK SPACE}", text)
    paragraph = Paragraph(escape(kept), style)
    paragraph.wrap(room, _HEIGHT)
    return paragraph


def _draw_text(
    canvas: Canvas, left: float, base: float, text: str, size: float, colour: Color
) -> None:
    canvas.setFillColor(colour)
    canvas.setFont(_FONT, size)
    canvas.drawString(left, base, text)


def _text_width(text: str, size: float) -> float:
    return pdfmetrics.stringWidth(text, _FONT, size)


def _shortened(text: str, size: float, room: float) -> str:
    """Return as much of a text as there is room for, with dots if that is not all."""
    if _text_width(text, size) <= room:
        return text
    while text and _text_width(f"{text}...", size) > room:
        text = text[:-1]
    return f"{text}..."


def _draw_frame(canvas: Canvas, content: Content, number: int, pages: int) -> None:
    """Draw what every page has: heading, notice, model, page number."""
    top = _HEIGHT - 15 * mm
    _draw_text(canvas, _MARGIN, top, content.title, 16, _INK)
    patient = " - ".join(each.value for each in content.patient[:2] if each.value)
    canvas.setFillColor(_GREY)
    canvas.setFont(_FONT, 8.5)
    if number > 1:
        canvas.drawRightString(_MARGIN + _ROOM, top, patient)
    canvas.setFillColor(_NOTICE)
    canvas.rect(_MARGIN, top - 9.5 * mm, _ROOM, 6.5 * mm, stroke=0, fill=1)
    canvas.setFillColor(_NOTICE_INK)
    canvas.setFont(_FONT, 9.5)
    canvas.drawCentredString(_WIDTH / 2, top - 7.4 * mm, content.banner)
    foot = 11 * mm
    canvas.setStrokeColor(_RULE)
    canvas.line(_MARGIN, foot + 5 * mm, _MARGIN + _ROOM, foot + 5 * mm)
    told = content.page.format(page=number, pages=pages)
    room = _ROOM - _text_width(told, 8) - 6 * mm
    _draw_text(canvas, _MARGIN, foot, _shortened(content.maker, 8, room), 8, _GREY)
    canvas.drawRightString(_MARGIN + _ROOM, foot, told)
