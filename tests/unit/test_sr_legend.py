"""The legend: the answer, what it must not be taken for, and gauges that are true."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset

from sr.legend import Caption, answer_rows
from sr.lettering import VERMILION, WHITE, Gauge, Line, wrapped
from sr.overlay import build_overlay
from sr.wording import Words
from tests.sr_examples import (
    READINGS,
    WHEN,
    picture,
)


def _made(name: str, index: int = 0) -> Dataset:
    sources, read = READINGS[name]()
    source = next(s for s in sources if s.SOPInstanceUID == read.images[index].sop_instance_uid)
    return build_overlay(sources, picture(source), read, index, when=WHEN)


def _pixels(overlay: Dataset) -> NDArray[np.uint8]:
    size = overlay.Rows * overlay.Columns * 3
    data = np.frombuffer(overlay.PixelData[:size], np.uint8)
    return data.reshape(overlay.Rows, overlay.Columns, 3)


def _words(name: str, index: int = 0) -> list[str]:
    """Return what the legend's left side says, line by line."""
    _, read = READINGS[name]()
    place = Words().slice_place(index + 1, len(read.images), 11) if read.study else ""
    caption = Caption(words=Words(), reading=read, image=read.images[index], place=place)
    lines: list[str] = []
    for row in answer_rows(caption, 20, 4000):
        lines += [each.text for each in getattr(row, "lines", ())]
        lines += [line.text for line in (getattr(row, "line", row),) if isinstance(line, Line)]
    return lines


def test_legend_of_a_slice_tells_of_the_study_first() -> None:
    assert _words("abnormal study") == [
        "URGENT STUDY",
        "ACR category 2, within hours: Red triage tag.",
        "Study: ABNORMAL, most likely intracranial haemorrhage (87.1 %)",
        "Probability of abnormality 87.1 % (operating point 42.0 %)",
        "Normal 12.9 %, Intracranial haemorrhage 87.1 %",
        "Slice 1 of 3 shown, instance 11 (4 slices read)",
        "On this slice: Intracranial haemorrhage 31.0 %",
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
                "Geographic extent score 3.2 (scale 0 to 8)",
            ],
        ),
    ],
)
def test_legend_says_what_an_answer_must_not_be_taken_for(name: str, lines: list[str]) -> None:
    assert _words(name)[: len(lines)] == lines


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("grade", "Diabetic retinopathy grade: moderate (71.0 %)"),
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


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_gauge_marks_the_value_on_its_scale(share: float) -> None:
    band = Image.new("RGB", (240, 40))
    Gauge(share, 0, 200, 20, (0, 0, 255)).draw(ImageDraw.Draw(band), 20, 10)
    columns = np.nonzero((np.asarray(band) == WHITE).all(axis=2))[1]
    assert columns.mean() == pytest.approx(20 + 200 * share, abs=1)


def test_gauge_of_levels_fills_the_stated_one() -> None:
    band = Image.new("RGB", (240, 40))
    Gauge(2.5 / 4, 4, 200, 20, (0, 0, 255)).draw(ImageDraw.Draw(band), 20, 10)
    columns = np.nonzero((np.asarray(band) == (0, 0, 255)).all(axis=2))[1]
    assert columns.min() >= 20 + 100
    assert columns.max() <= 20 + 150


def test_percent_sign_stays_with_its_number() -> None:
    lines = [line.text for line in wrapped("Normal 12.9 %, pneumonia (69.7 %)", 20, WHITE, 1)]
    assert lines == ["Normal", "12.9 %,", "pneumonia", "(69.7 %)"]
