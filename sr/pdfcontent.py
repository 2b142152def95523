"""What stands on the pages of a result: whose study it is, what was found, the pictures."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.coding import Code

from sr import codes
from sr.content import text_values
from sr.document import Origin
from sr.findings import ImageReading, Normality, Reading
from sr.identity import SOFTWARE_VERSION
from sr.legend import Caption
from sr.lettering import printable
from sr.lines import NEW_LINE
from sr.patient import image_area, instance_number, local_time
from sr.picture import draw, shows_heatmap
from sr.text import report_sections
from sr.wording import Words

MOST_PICTURES = 4
_HEADINGS = {  # PS3.16 CID 7001; the conclusion comes first, as the page has room for pictures
    codes.IMPRESSIONS: "impression",
    codes.FINDINGS: "findings",
    codes.CURRENT_PROCEDURE_DESCRIPTIONS: "procedure",
    codes.RECOMMENDATIONS: "recommendation",
}
_SEXES = {"M": "male", "F": "female", "O": "other_sex"}
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")


@dataclass(frozen=True)
class Row:
    """A line of the identification: what it is, and what it says."""

    label: str
    value: str


@dataclass(frozen=True)
class Section:
    """Paragraphs under a heading."""

    heading: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A picture with its caption; ``pixels`` has the shape (rows, columns, 3), uint8, RGB."""

    pixels: NDArray[np.uint8]
    caption: str


@dataclass(frozen=True, kw_only=True)
class Content:
    """All that the pages say, in one language.

    Attributes
    ----------
    title
        Heading of the document.
    language
        RFC 5646.
    created
        When the images were read, in the study's time zone.
    tone
        The answer that the whole amounts to, which decides a colour; None if nothing was decided.
    patient, study
        The identification, in two columns.
    conclusion
        The first section, which stands out.
    pictures
        Possibly none.
    sections
        The others.
    banner
        Stands on every page: the notice in one line.
    maker
        Model, its version, and this software.
    page
        With the placeholders ``{page}`` and ``{pages}``.
    """

    title: str
    language: str
    created: datetime
    tone: Normality | None
    patient: tuple[Row, ...]
    study: tuple[Row, ...]
    conclusion: Section
    pictures: tuple[Picture, ...]
    sections: tuple[Section, ...]
    banner: str
    maker: str
    page: str


def page_content(
    origin: Origin,
    images: Mapping[str, Dataset],
    pictures: Mapping[str, NDArray[np.uint8]],
    reading: Reading,
    *,
    replaces: bool,
) -> Content:
    """Gather what the pages say.

    Parameters
    ----------
    origin
        What the document is made of.
    images
        The sources of the reading's images by SOP Instance UID, in the reading's order.
    pictures
        Displayed greyscale pictures by SOP Instance UID, as ``build_overlay`` takes them.
    reading
        What the model says.
    replaces
        Whether there were reports of this study before.
    """
    words = Words(origin.style.language, reading.translations)
    told = report_sections(images, reading, words, replaces=replaces)
    conclusion, *others = _sections(told, words)
    local = local_time(origin.when, origin.first)
    return Content(
        title=words.say("document_title"),
        language=words.catalogue.tag,
        created=local,
        tone=_tone(reading),
        patient=tuple(_patient(origin.first, words)),
        study=tuple(_study(origin.first, local, words)),
        conclusion=conclusion,
        pictures=tuple(_pictures(images, pictures, reading, words)),
        sections=tuple(others),
        banner=printable(words.disclaimer),
        maker=printable(words.maker("maker", reading.algorithm, SOFTWARE_VERSION)),
        page=words.catalogue.sentences["document_page"]["other"],
    )


def _sections(told: Sequence[Dataset], words: Words) -> Iterator[Section]:
    """Yield the sections of the text report, so that no two documents say different things."""
    by_name = {_code(each): each for each in told}
    for name, key in _HEADINGS.items():
        if name in by_name:
            texts = text_values(by_name[name].get("ContentSequence", ()))
            yield Section(
                words.say(f"heading_{key}"), tuple(_paragraph(each, words) for each in texts)
            )


def _paragraph(text: str, words: Words) -> str:
    """Return a text of the report without its line breaks: a page has lines of its own."""
    return printable(text.replace(NEW_LINE, words.catalogue.space))


def _code(item: Dataset) -> Code:
    name = item.ConceptNameCodeSequence[0]
    return Code(name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning)


def _tone(reading: Reading) -> Normality | None:
    """Return the gravest answer of a reading."""
    decisions = [reading.study.decision] if reading.study else []
    decisions += [each.decision for each in reading.images if each.decision is not None]
    answers = {each.normality for each in decisions}
    order = (Normality.ABNORMAL, Normality.INDETERMINATE, Normality.NORMAL)
    return next((each for each in order if each in answers), None)


# -- whose study it is --


def _patient(source: Dataset, words: Words) -> Iterator[Row]:
    sex = _said(source, "PatientSex")
    rows = {
        "patient": person_name(str(source.get("PatientName") or ""), words.language),
        "patient_id": _said(source, "PatientID"),
        "birth_date": _date(_said(source, "PatientBirthDate")),
        "sex": words.say(_SEXES[sex]) if sex in _SEXES else sex,
    }
    for key, value in rows.items():
        yield Row(words.say(key), value)


def _study(source: Dataset, local: datetime, words: Words) -> Iterator[Row]:
    rows = {
        "study_date": _date(_said(source, "StudyDate")),
        "study_description": _said(source, "StudyDescription"),
        "accession_number": _said(source, "AccessionNumber"),
        "read_at": f"{local:%Y-%m-%d %H:%M}",
    }
    for key, value in rows.items():
        yield Row(words.say(key), value)


def _said(source: Dataset, name: str) -> str:
    return _in_font(str(source.get(name) or "").strip())


def _date(value: str) -> str:
    """Return a DA value for reading; a malformed one as it came."""
    match = _DATE.fullmatch(value)
    return "-".join(match.groups()) if match else value


def person_name(value: str, language: str) -> str:
    """Return a name (PS3.5 section 6.2.1) for reading, in the font's letters.

    In Japanese that is the ideographic group, else the alphabetic one; another group stands in for
    one that the font does not have.

    Parameters
    ----------
    value
        Up to three groups of components, e.g. ``"Yamada^Tarou=山田^太郎=やまだ^たろう"``.
    language
        Of the document.
    """
    groups = [each for each in value.split("=") if each.strip("^ ")]
    if language == "ja" and len(groups) > 1:
        groups[:2] = groups[1::-1]
    whole = [each for each in groups if _in_font(each) == unicodedata.normalize("NFC", each)]
    chosen = next(iter(whole or groups), "")
    family, *others = (each.strip() for each in _in_font(chosen).split("^"))
    given = " ".join(filter(None, others))
    separator = ", " if chosen.isascii() else " "
    return separator.join(filter(None, (family, given)))


def _in_font(text: str) -> str:
    """Return the characters of a text that the font has, and no sign for the others."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(printable(each) for each in composed if each == "?" or printable(each) != "?")


# -- the pictures --


def _pictures(
    images: Mapping[str, Dataset],
    pictures: Mapping[str, NDArray[np.uint8]],
    reading: Reading,
    words: Words,
) -> Iterator[Picture]:
    """Yield the images worth looking at, or all of a study called normal; a few of many."""
    shown = [each for each in reading.images if each.sop_instance_uid in pictures]
    flagged = [each for each in shown if reading.is_flagged(each)]
    for image in (flagged or shown)[:MOST_PICTURES]:
        uid = image.sop_instance_uid
        place = _place(images, reading, image, words)
        yield _picture(pictures[uid], images[uid], reading, image, place, words)


def _place(
    images: Mapping[str, Dataset], reading: Reading, image: ImageReading, words: Words
) -> str:
    source = images[image.sop_instance_uid]
    if reading.study is not None:
        return words.slice_place(len(images), instance_number(source))
    index = list(images).index(image.sop_instance_uid) + 1
    return words.place(index, len(images), str(source.get("ViewPosition") or ""))


def _picture(
    picture: NDArray[np.uint8],
    source: Dataset,
    reading: Reading,
    image: ImageReading,
    place: str,
    words: Words,
) -> Picture:
    """Return the overlay without its bands: what they say stands on the page, and can be copied."""
    area = image_area(source)
    drawing = draw(picture, Caption(words=words, reading=reading, image=image, image_area=area))
    rows, columns = picture.shape
    bottom = drawing.top + round(rows * drawing.row_scale)
    right = drawing.left + round(columns * drawing.column_scale)
    told = [place if image.decision is None else words.about(place, words.headline(image.decision))]
    if shows_heatmap(reading, image):
        told.append(words.say("activation_note"))
    if image.regions or image.segments:
        told.append(words.say("marks_note"))
    return Picture(
        drawing.pixels[drawing.top : bottom, drawing.left : right],
        printable(words.sentences(told)),
    )
