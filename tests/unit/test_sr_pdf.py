"""The document: what its pages say and show, in which order, and that it is reproducible."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sr.coding import Code

from sr.content import text_values
from sr.findings import Normality, Probability, Reading
from sr.pdf import build_pdf
from sr.pdfcontent import MOST_PICTURES, person_name
from sr.style import LANGUAGES, Style
from sr.text import build_text_report
from tests import validators
from tests.sr_examples import (
    READINGS,
    SOURCES,
    WHEN,
    bare,
    image_reading,
    japanese,
    picture,
    radiograph,
    reading,
    received,
    spot,
)

_NO_POPPLER = validators.missing_tools("pdfinfo", "pdftotext", "pdfimages", "pdffonts")
poppler = pytest.mark.skipif(bool(_NO_POPPLER), reason=_NO_POPPLER)


def _built(
    sources: list[Dataset],
    read: Reading,
    language: str = "en",
    predecessors: tuple[Dataset, ...] = (),
) -> Dataset:
    pictures = {str(each.SOPInstanceUID): picture(each) for each in sources}
    style = Style(language=language)
    return build_pdf(sources, pictures, read, when=WHEN, style=style, predecessors=predecessors)


def _simple(source: Dataset, language: str = "en") -> Dataset:
    return _built([source], reading(image_reading(source, heatmap=spot(2, 5))), language)


def _asked(tool: str, document: Dataset, folder: Path) -> str:
    """Return what a poppler tool says about the document."""
    path = folder / "document.pdf"
    path.write_bytes(document.EncapsulatedDocument)
    options = {"pdftotext": ["-raw", str(path), "-"], "pdfimages": ["-list", str(path)]}
    output = validators.run(tool, *options.get(tool, [str(path)]))
    assert (output.returncode, output.stderr) == (0, "")
    return output.stdout


def _text(document: Dataset, folder: Path) -> str:
    """Return the words of the document, each line's spaces made one."""
    return " ".join(_asked("pdftotext", document, folder).split())


@poppler
def test_pages_name_patient_and_study(tmp_path: Path) -> None:
    text = _text(_simple(received(radiograph())), tmp_path)
    for told in ("Ward, Test", "T-0001", "1970-01-02", "other", "2026-03-04", "Thorax", "A-4711"):
        assert told in text


@poppler
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [*READINGS])
def test_pages_say_what_the_text_report_says(name: str, language: str, tmp_path: Path) -> None:
    sources, read = READINGS[name]()
    text = "".join(_text(_built(sources, read, language), tmp_path).split())
    report = build_text_report(sources, read, when=WHEN, style=Style(language=language))
    sections = [each for each in report.ContentSequence if each.ValueType == "CONTAINER"]
    told = list(text_values(sections))
    assert len(told) >= 4
    for each in told:
        assert "".join(each.split()) in text


@poppler
@pytest.mark.parametrize("language", LANGUAGES)
def test_notice_model_and_page_number_stand_on_every_page(language: str, tmp_path: Path) -> None:
    sources = [radiograph(number) for number in range(1, 13)]
    read = reading(*(image_reading(each, heatmap=spot(2, 5)) for each in sources))
    document = _built(sources, read, language)
    pages = _asked("pdftotext", document, tmp_path).rstrip("\f").split("\f")
    assert len(pages) > 1
    of = {"en": " of ", "ja": "／", "fr": " sur "}  # noqa: RUF001
    notice = {"en": "not for diagnosis", "ja": "診断には使用しない", "fr": "pas pour le diagnostic"}
    for number, page in enumerate(pages, start=1):
        assert notice[language] in page
        assert "chest-screen 1.2.0" in page
        assert f"{number}{of[language]}{len(pages)}" in page
    assert all("T-0001" in page for page in pages)


@poppler
def test_information_names_title_language_and_time(tmp_path: Path) -> None:
    when = WHEN.astimezone(timezone(timedelta(hours=-3, minutes=-30)))
    source = bare()
    document = build_pdf([source], {}, reading(image_reading(source)), when=when)
    assert b"D:20260304200015-03'30'" in document.EncapsulatedDocument
    assert b"/Lang (en-US)" in document.EncapsulatedDocument
    assert "Preliminary AI result" in _asked("pdfinfo", document, tmp_path)


@poppler
def test_letters_are_embedded(tmp_path: Path) -> None:
    fonts = _asked("pdffonts", _simple(received(japanese()), "ja"), tmp_path).splitlines()[2:]
    assert fonts
    for font in fonts:
        assert "BIZUDPGothic" in font
        embedded, subset, unicode_map = font.split()[-5:-2]
        assert (embedded, subset, unicode_map) == ("yes", "yes", "yes")


def test_object_refers_to_what_it_is_made_of() -> None:
    sources, read = READINGS["abnormal study"]()
    document = _built(sources, read)
    referenced = [each.ReferencedSOPInstanceUID for each in document.SourceInstanceSequence]
    assert referenced == [each.SOPInstanceUID for each in sources]
    assert document.BurnedInAnnotation == "YES"
    assert len(document.EncapsulatedDocument) % 2 == 0
    unpadded = document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    assert unpadded.rstrip().endswith(b"%%EOF")


def test_predecessors_are_named_and_told_of() -> None:
    source = radiograph()
    read = reading(image_reading(source))
    earlier = build_text_report([source], read, when=WHEN)
    document = _built([source], read, predecessors=(earlier,))
    (study,) = document.PredecessorDocumentsSequence
    series = study.ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == earlier.SOPInstanceUID
    assert len(document.EncapsulatedDocument) > len(_built([source], read).EncapsulatedDocument)


_ONE_DOCUMENT = """
import hashlib
from sr.pdf import build_pdf
from tests.sr_examples import WHEN, image_reading, picture, radiograph, reading, spot
source = radiograph()
read = reading(image_reading(source, heatmap=spot(2, 5)))
pdf = build_pdf([source], {str(source.SOPInstanceUID): picture(source)}, read, when=WHEN)
print(hashlib.sha256(pdf.EncapsulatedDocument).hexdigest())
"""


def test_another_process_makes_the_same_bytes() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", _ONE_DOCUMENT],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
            timeout=50,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(printed) == 1


# -- pictures --


def _pictures_of(document: Dataset, folder: Path) -> int:
    return len(_asked("pdfimages", document, folder).splitlines()) - 2


@poppler
def test_images_worth_looking_at_are_shown(tmp_path: Path) -> None:
    sources, read = READINGS["classification"]()
    flagged = [each for each in read.images if read.is_flagged(each)]
    assert 0 < len(flagged) < len(sources)
    assert _pictures_of(_built(sources, read), tmp_path) == len(flagged)


@poppler
def test_normal_images_are_shown_where_there_are_no_others(tmp_path: Path) -> None:
    sources = [radiograph(1), radiograph(2)]
    read = reading(*(image_reading(each, Normality.NORMAL) for each in sources))
    assert _pictures_of(_built(sources, read), tmp_path) == 2


@poppler
def test_of_many_images_a_few_are_shown(tmp_path: Path) -> None:
    sources = [radiograph(number) for number in range(1, MOST_PICTURES + 4)]
    read = reading(*map(image_reading, sources))
    assert _pictures_of(_built(sources, read), tmp_path) == MOST_PICTURES


def test_document_without_pictures_is_text() -> None:
    source = radiograph()
    document = build_pdf([source], {}, reading(image_reading(source)), when=WHEN)
    assert b"DCTDecode" not in document.EncapsulatedDocument


def test_large_pictures_make_a_document_of_moderate_size() -> None:
    source = radiograph()
    source.Rows, source.Columns = 2500, 2000
    noise = np.random.default_rng(0).normal(110, 25, (2500, 2000)).clip(0, 255).astype(np.uint8)
    read = reading(image_reading(source, heatmap=spot(2, 5)))
    document = build_pdf([source], {str(source.SOPInstanceUID): noise}, read, when=WHEN)
    assert len(document.EncapsulatedDocument) < 1_500_000


# -- names --


@pytest.mark.parametrize(
    ("name", "language", "shown"),
    [
        ("Ward^Test", "en", "Ward, Test"),
        ("Ward^Test^M^Dr", "fr", "Ward, Test M Dr"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ja", "山田 太郎"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "en", "Yamada, Tarou"),
        ("Yamada^Tarou", "ja", "Yamada, Tarou"),
        ("=山田^太郎", "en", "山田 太郎"),
        ("Διονυσιος^Νικος", "en", "Διονυσιος Νικος"),
        ("Hong^Gildong=홍^길동=홍^길동", "ja", "Hong, Gildong"),
        ("홍^길동", "en", ""),
        ("", "en", ""),
        ("^^", "en", ""),
    ],
)
def test_name_is_written_in_letters_that_the_font_has(name: str, language: str, shown: str) -> None:
    assert person_name(name, language) == shown


@poppler
def test_long_values_are_not_cut_off(tmp_path: Path) -> None:
    source = radiograph()
    source.PatientName = "Featherstonehaugh-Cholmondeley^Wilhelmina Alexandrina Persephone"
    source.PatientID = "0123456789" * 6
    text = "".join(_text(_simple(source), tmp_path).split())
    assert "Featherstonehaugh-Cholmondeley,WilhelminaAlexandrinaPersephone" in text
    assert "0123456789" * 6 in text


@poppler
@pytest.mark.parametrize("language", LANGUAGES)
def test_text_longer_than_a_page_goes_on_overleaf(language: str, tmp_path: Path) -> None:
    source = radiograph()
    code = Code("X", "99TEST", "X")
    classes = tuple(
        Probability(finding=code, label=f"number{number}x", value=0.5) for number in range(400)
    )
    read = reading(replace(image_reading(source), probabilities=classes))
    document = build_pdf([source], {}, read, when=WHEN, style=Style(language=language))
    pages = _asked("pdftotext", document, tmp_path).rstrip("\f").split("\f")
    told = [re.findall(r"number\d+x", "".join(page.split())) for page in pages]
    assert [each for page in told for each in page] == [each.label for each in classes]
    assert max(map(len, told)) < 250


@poppler
def test_what_would_be_markup_is_text(tmp_path: Path) -> None:
    source = radiograph()
    source.StudyDescription = "Thorax <b>p.a.</b> & lat."
    read = reading(image_reading(source))
    title = replace(read.algorithm, title="A < B & <i>C</i>")
    text = _text(_built([source], replace(read, algorithm=title)), tmp_path)
    assert "Thorax <b>p.a.</b> & lat." in text
    assert "A < B & <i>C</i>" in text


@pytest.mark.parametrize("name", [*SOURCES])
def test_every_source_has_a_document(name: str) -> None:
    source = received(SOURCES[name]())
    for language in LANGUAGES:
        assert _simple(source, language).EncapsulatedDocument.startswith(b"%PDF-")


def test_results_without_documents_do_not_load_reportlab() -> None:
    code = "import sys, sr.bundle; sys.exit('reportlab' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=50).returncode == 0
