"""The legend: the answer, what it must not be taken for, and gauges that are true."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset

from sr.legend import Caption, answer_rows, banner
from sr.lettering import AMBER, VERMILION, WHITE
from sr.overlay import build_overlay
from sr.rows import Line, Meter, wrapped
from sr.style import LANGUAGES, Style
from sr.wording import Words
from tests.sr_examples import (
    READINGS,
    WHEN,
    picture,
)


def _made(name: str, style: Style | None = None) -> Dataset:
    sources, read = READINGS[name]()
    source = next(s for s in sources if s.SOPInstanceUID == read.images[0].sop_instance_uid)
    return build_overlay(sources, picture(source), read, when=WHEN, style=style or Style())


def _pixels(overlay: Dataset) -> NDArray[np.uint8]:
    size = overlay.Rows * overlay.Columns * 3
    data = np.frombuffer(overlay.PixelData[:size], np.uint8)
    return data.reshape(overlay.Rows, overlay.Columns, 3)


def _words(name: str) -> list[str]:
    """Return what the legend's left side says, line by line."""
    _, read = READINGS[name]()
    place = Words().slice_place(len(read.images), 11) if read.study else ""
    caption = Caption(words=Words(), reading=read, image=read.images[0], place=place)
    lines: list[str] = []
    for row in answer_rows(caption, 20, 4000):
        if isinstance(row, Meter):
            lines.append(" | ".join(filter(None, (row.name, row.value, row.marked))))
        lines += [each.text for each in getattr(row, "lines", ())]
        lines += [line.text for line in (getattr(row, "line", row),) if isinstance(line, Line)]
    return lines


def test_legend_of_a_slice_tells_of_the_study_first() -> None:
    assert _words("abnormal study") == [
        "URGENT STUDY",
        "ACR category 2, within hours: Red triage tag.",
        "Study: ABNORMAL, most likely intracranial haemorrhage (87.1 %)",
        "Intracranial haemorrhage | 87.1 % | operating point 42.0 %",
        "Slice with instance number 11, one of 3 shown (4 slices read)",
        "Intracranial haemorrhage | 31.0 %",
    ]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("normal study", ["Study: Can wait.", "Study: NORMAL", "This does not exclude disease."]),
        (
            "indeterminate study",
            [
                "Study: Triage without AI result.",
                "Study: INDETERMINATE",
                "Please read without an AI result.",
            ],
        ),
        (
            "scores only",
            [
                "MEASURED ONLY",
                "The model only measures; it calls nothing, and does not exclude disease.",
                "Geographic extent score | 3.2 (0 to 8)",
            ],
        ),
    ],
)
def test_legend_says_what_an_answer_must_not_be_taken_for(name: str, lines: list[str]) -> None:
    assert _words(name)[: len(lines)] == lines


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("grade", "Diabetic retinopathy grade | Moderate 71.0 %"),
        ("grade", "None 4.0 %, Mild 10.0 %, Moderate 71.0 %, Severe 15.0 %"),
        ("detection", "2 findings marked: (1) mass 91.0 %, (2) mass 62.0 %"),
        ("segmentation", "Lesion covers 8.1 % of the image"),
    ],
)
def test_legend_tells_what_was_measured(name: str, line: str) -> None:
    assert line in _words(name)


@pytest.mark.parametrize(("name", "shown"), [("abnormal study", True), ("normal study", False)])
def test_only_an_urgent_study_is_marked_in_vermilion(name: str, shown: bool) -> None:
    overlay = _made(name)
    assert bool((_pixels(overlay) == VERMILION).all(axis=2).any()) is shown


def _meter(**parts: Any) -> NDArray[np.uint8]:
    """Draw a meter of which only the bar is seen: columns 116 to 158 of 240."""
    band = Image.new("RGB", (240, 60))
    blank: dict[str, Any] = {"name": "", "value": "", "room": 200, "size": 20}
    Meter(**blank, **parts, colour=(0, 0, 255)).draw(ImageDraw.Draw(band), 20, 10)
    return np.asarray(band)


@pytest.mark.parametrize("mark", [0.0, 0.25, 1.0])
def test_meter_marks_the_operating_point_on_its_scale(mark: float) -> None:
    columns = np.nonzero((_meter(share=0.5, mark=mark) == WHITE).all(axis=2))[1]
    assert columns.mean() == pytest.approx(116 + 42 * mark, abs=1)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_meter_is_filled_up_to_its_value(share: float) -> None:
    columns = np.nonzero((_meter(share=share) == (0, 0, 255)).all(axis=2))[1]
    assert np.ptp(columns) == pytest.approx(42 * share, abs=1) if share else not columns.size


def test_meter_of_levels_fills_the_stated_one() -> None:
    columns = np.nonzero((_meter(share=2.5 / 4, steps=4) == (0, 0, 255)).all(axis=2))[1]
    assert columns.min() >= 116 + 42 * 2 // 4
    assert columns.max() <= 116 + 42 * 3 // 4


def test_percent_sign_stays_with_its_number() -> None:
    lines = [line.text for line in wrapped("Normal 12.9 %, pneumonia (69.7 %)", 20, WHITE, 130)]
    assert lines == ["Normal", "12.9 %,", "pneumonia", "(69.7 %)"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [640, 1024, 1536])
def test_notice_fits_into_one_line(language: str, width: int) -> None:
    band = banner(width, Words(language).disclaimer)
    assert band.height < 0.07 * width
    columns = np.nonzero((np.asarray(band)[:-2] == AMBER).all(axis=2))[1]
    assert columns.min() > 4
    assert columns.max() < width - 5


def test_long_banner_takes_more_lines() -> None:
    assert banner(640, "a long name " * 20).height > 1.5 * banner(640, "a name").height


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", READINGS)
def test_notice_stands_below_where_a_site_has_its_own_banner(language: str, name: str) -> None:
    own = _pixels(_made(name, Style(language=language, banner="Hospital")))
    plain = _pixels(_made(name, Style(language=language)))
    amber = [(each[-200:] == AMBER).all(axis=2).any() for each in (own, plain)]
    assert amber == [True, False]
