"""Key object selections: which images they hold, their titles, and what they say of them."""

from dataclasses import replace

import pytest
from pydicom import Dataset

from sr.findings import Normality
from sr.keyimages import build_key_images
from sr.style import KeyImagesFor, Style
from tests.sr_examples import (
    READINGS,
    WHEN,
    box,
    image_reading,
    measured,
    radiograph,
    reading,
    received,
)
from tests.validators import concept


def _items(selection: Dataset, value_type: str) -> list[Dataset]:
    return [each for each in selection.ContentSequence if each.ValueType == value_type]


def _selected(selection: Dataset) -> list[str]:
    images = _items(selection, "IMAGE")
    return [each.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for each in images]


def _description(selection: Dataset) -> str:
    texts = _items(selection, "TEXT")
    return next(str(each.TextValue) for each in texts if concept(each) == "113012")


def test_images_not_called_normal_are_selected() -> None:
    sources = [radiograph(number) for number in (1, 2, 3)]
    answers = (Normality.NORMAL, Normality.ABNORMAL, Normality.INDETERMINATE)
    read = reading(*map(image_reading, sources, answers))
    selection = build_key_images([received(each) for each in sources], read, when=WHEN)
    assert selection is not None
    assert _selected(selection) == [each.SOPInstanceUID for each in sources[1:]]
    assert _description(selection).splitlines()[:3] == [
        "Chest radiograph screening.",
        "ABNORMAL, most likely pneumonia (69.7 %).",
        "INDETERMINATE.",
    ]


def test_marked_image_is_selected_though_nothing_was_decided() -> None:
    source = radiograph()
    read = reading(measured(source, regions=(box(1, 1, 9, 9),)))
    selection = build_key_images([source], read, when=WHEN)
    assert selection is not None
    assert _selected(selection) == [source.SOPInstanceUID]
    assert "1 finding marked: (1) mass 91.0 %." in _description(selection)


def test_suspicious_slices_are_selected() -> None:
    sources, read = READINGS["abnormal study"]()
    assert read.study is not None
    read = replace(read, study=replace(read.study, suspicious=read.study.suspicious[:2]))
    selection = build_key_images(sources, read, when=WHEN)
    assert selection is not None
    assert read.study is not None
    assert sorted(_selected(selection)) == sorted(read.study.suspicious)


@pytest.mark.parametrize("name", ["normal study", "scores only"])
def test_nothing_flagged_makes_no_selection(name: str) -> None:
    sources, read = READINGS[name]()
    assert build_key_images(sources, read, when=WHEN) is None


@pytest.mark.parametrize(
    ("purpose", "title"), [(KeyImagesFor.INTEREST, "113000"), (KeyImagesFor.RESEARCH, "113009")]
)
def test_title_says_what_the_selection_is_for(purpose: KeyImagesFor, title: str) -> None:
    source = radiograph()
    style = Style(key_images_for=purpose)
    selection = build_key_images([source], reading(image_reading(source)), when=WHEN, style=style)
    assert selection is not None
    assert concept(selection) == title


def test_observer_is_the_device() -> None:
    source = radiograph()
    selection = build_key_images([source], reading(image_reading(source)), when=WHEN)
    assert selection is not None
    (observer,) = [each for each in _items(selection, "CODE") if concept(each) == "121005"]
    assert observer.ConceptCodeSequence[0].CodeValue == "121007"


def test_request_is_named_where_there_is_one() -> None:
    ordered, unordered = radiograph(), radiograph()
    unordered.AccessionNumber = ""
    for source, expected in ((ordered, True), (unordered, False)):
        selection = build_key_images([source], reading(image_reading(source)), when=WHEN)
        assert selection is not None
        assert ("ReferencedRequestSequence" in selection) is expected
