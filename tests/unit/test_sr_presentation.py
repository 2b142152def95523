"""Presentation states: which images they show, what they draw, and that images look as before."""

import struct
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from inference.pixels import displayed
from sr.document import to_bytes
from sr.findings import ImageReading, Normality, Segment
from sr.presentation import build_presentations
from sr.style import Style
from tests import validators
from tests.sr_examples import (
    LESION,
    READINGS,
    SEVERITY,
    WHEN,
    as_file,
    box,
    computed_radiograph,
    ct_slice,
    discs,
    image_reading,
    measured,
    radiograph,
    reading,
    received,
    spot,
)

_NO_DCMTK = validators.missing_tools("dcmp2pgm")


def _only(sources: list[Dataset], *images: ImageReading) -> Dataset:
    (state,) = build_presentations(sources, reading(*images), when=WHEN)
    return state


def _annotations(state: Dataset, layer: str) -> list[Dataset]:
    return [each for each in state.GraphicAnnotationSequence if each.GraphicLayer == layer]


def _told(annotations: list[Dataset]) -> list[str]:
    return [text.UnformattedTextValue for each in annotations for text in each.TextObjectSequence]


def test_boxes_are_drawn_where_they_are_with_their_labels() -> None:
    source = radiograph()
    found = replace(
        image_reading(source), regions=(box(20, 30, 90.5, 120), box(60, 100, 150, 180, value=0.62))
    )
    (marks,) = _annotations(_only([source], found), "AI_MARKS")
    first = np.reshape(marks.GraphicObjectSequence[0].GraphicData, (-1, 2))
    assert (first.min(axis=0).tolist(), first.max(axis=0).tolist()) == ([20, 30], [90.5, 120])
    assert marks.GraphicObjectSequence[0].GraphicAnnotationUnits == "PIXEL"
    assert _told([marks]) == ["(1) mass 91.0 %", "(2) mass 62.0 %"]


def test_outlines_and_activation_lie_in_layers_of_their_own() -> None:
    source = computed_radiograph()
    lesion = Segment(finding=LESION, label="Lesion", mask=discs((40, 20, 9), (50, 50, 5)))
    found = replace(image_reading(source, heatmap=spot(2, 5)), segments=(lesion,))
    state = _only([source], found)
    assert [each.GraphicLayer for each in state.GraphicLayerSequence] == [
        "AI_ANSWER",
        "AI_MARKS",
        "AI_ACTIVATION",
    ]
    (marks,) = _annotations(state, "AI_MARKS")
    assert len(marks.GraphicObjectSequence) == 2
    assert len(marks.TextObjectSequence) == 1
    (activation,) = _annotations(state, "AI_ACTIVATION")
    outline = np.reshape(activation.GraphicObjectSequence[0].GraphicData, (-1, 2))
    centre = (outline.min(axis=0) + outline.max(axis=0)) / 2
    assert centre == pytest.approx([5.5 / 8 * 240, 2.5 / 8 * 300], abs=2)
    assert _told([activation]) == ["Where the model looked, not how far disease extends."]


def test_answer_and_notice_stand_on_the_upper_edge() -> None:
    source = radiograph()
    (answer,) = _annotations(_only([source], image_reading(source)), "AI_ANSWER")
    assert _told([answer]) == [
        "ABNORMAL, most likely pneumonia (69.7 %)",
        "AI screening - not for diagnosis - the physician decides",
    ]
    boxes = [each.BoundingBoxTopLeftHandCorner[1] for each in answer.TextObjectSequence]
    assert boxes == sorted(set(boxes))
    assert {each.BoundingBoxAnnotationUnits for each in answer.TextObjectSequence} == {"DISPLAY"}


def test_answer_on_a_slice_is_that_on_its_study() -> None:
    sources, read = READINGS["abnormal study"]()
    (state,) = build_presentations(sources, read, when=WHEN)
    answers = _annotations(state, "AI_ANSWER")
    assert len(answers) == len(read.images)
    assert _told(answers)[0] == "Study: ABNORMAL, most likely intracranial haemorrhage (87.1 %)"


def test_normal_images_are_not_in_it() -> None:
    sources, read = READINGS["classification"]()
    (state,) = build_presentations(sources, read, when=WHEN)
    flagged = [
        each
        for each in read.images
        if each.decision and each.decision.normality is not Normality.NORMAL
    ]
    shown = [
        each.ReferencedSOPInstanceUID
        for each in state.ReferencedSeriesSequence[0].ReferencedImageSequence
    ]
    assert shown == [each.sop_instance_uid for each in flagged]


@pytest.mark.parametrize("name", ["normal study", "scores only"])
def test_nothing_to_point_at_makes_no_state(name: str) -> None:
    sources, read = READINGS[name]()
    assert build_presentations(sources, read, when=WHEN) == []


def test_mask_of_nothing_makes_no_state() -> None:
    source = radiograph()
    nothing = Segment(finding=LESION, label="Lesion", mask=np.zeros((4, 4), np.bool_))
    empty = reading(measured(source, segments=(nothing,), scores=SEVERITY))
    assert build_presentations([source], empty, when=WHEN) == []


def test_colour_images_have_no_greyscale_state() -> None:
    source = radiograph()
    source.PhotometricInterpretation = "RGB"
    assert build_presentations([source], reading(image_reading(source)), when=WHEN) == []


def test_images_of_different_windows_and_sizes_name_what_is_theirs() -> None:
    first, second, third = radiograph(1), radiograph(2), radiograph(3)
    second.WindowCenter, third.SeriesInstanceUID = "1000", f"{third.SeriesInstanceUID}.9"
    third.Rows = 400
    state = _only([first, second, third], *map(image_reading, (first, second, third)))
    windows = state.SoftcopyVOILUTSequence
    assert [(each.WindowCenter, len(each.ReferencedImageSequence)) for each in windows] == [
        (2047.5, 2),
        (1000, 1),
    ]
    areas = state.DisplayedAreaSelectionSequence
    assert [list(each.DisplayedAreaBottomRightHandCorner) for each in areas] == [
        [240, 300],
        [240, 400],
    ]
    series = state.ReferencedSeriesSequence
    assert [len(each.ReferencedImageSequence) for each in series] == [2, 1]


def test_images_of_both_polarities_need_two_states() -> None:
    first, second = radiograph(1), radiograph(2)
    second.PhotometricInterpretation = "MONOCHROME1"
    read = reading(image_reading(first), image_reading(second))
    states = build_presentations([first, second], read, when=WHEN)
    assert [each.PresentationLUTShape for each in states] == ["IDENTITY", "INVERSE"]
    assert [each.InstanceNumber for each in states] == [1, 2]
    assert len({each.SOPInstanceUID for each in states}) == 2
    assert len({each.SeriesInstanceUID for each in states}) == 1


def test_first_of_several_windows_is_taken() -> None:
    source = received(computed_radiograph())
    (window,) = _only([source], image_reading(source)).SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (1800, 2600)
    assert "ReferencedImageSequence" not in window


@pytest.mark.parametrize(
    ("width", "function", "kept"),
    [("0", None, False), ("0.5", None, False), ("0.5", "SIGMOID", True), ("wide", None, False)],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
def test_window_that_cannot_be_applied_is_left_out(
    width: str, function: str | None, kept: bool
) -> None:
    data = radiograph()
    data.WindowWidth = "7777"
    data.VOILUTFunction = function
    source = _parsed(as_file(data).replace(b"7777", width.encode().ljust(4)))
    state = _only([source], image_reading(source))
    assert ("SoftcopyVOILUTSequence" in state) is kept
    if kept:
        assert state.SoftcopyVOILUTSequence[0].VOILUTFunction == function


@pytest.mark.parametrize("implicit", [True, False])
def test_luts_are_copied_with_their_own_representation(implicit: bool) -> None:
    source = radiograph()
    source.VOILUTSequence = [_lut([0, 20, 40, 255])]
    source.ModalityLUTSequence = [_lut([0, 1, 2, 3])]
    source.ModalityLUTSequence[0].ModalityLUTType = "US"
    state = _only([received(source, implicit=implicit)], image_reading(source))
    copied = _parsed(to_bytes(state))
    assert list(copied.SoftcopyVOILUTSequence[0].VOILUTSequence[0].LUTDescriptor) == [4, 0, 8]
    (values,) = [each.LUTData for each in copied.ModalityLUTSequence]
    as_words = struct.unpack("<4H", values) if isinstance(values, bytes) else tuple(values)
    assert as_words == (0, 1, 2, 3)
    assert copied.ModalityLUTSequence[0].ModalityLUTType == "US"
    assert "RescaleSlope" not in copied


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PixelSpacing", ["0.5", "0.45"], [10, 9]),
        ("ImagerPixelSpacing", ["0.2", "0.1"], [2, 1]),
        ("PixelAspectRatio", ["4", "3"], [4, 3]),
        (None, None, [1, 1]),
    ],
)
def test_pixels_keep_their_shape(name: str | None, value: object, expected: list[int]) -> None:
    source = radiograph()
    del source.ImagerPixelSpacing
    if name:
        setattr(source, name, value)
    (area,) = _only([source], image_reading(source)).DisplayedAreaSelectionSequence
    assert list(area.PresentationPixelAspectRatio) == expected


def test_labels_stay_apart() -> None:
    source = radiograph()
    boxes = tuple(box(40, 100, 120, 200 + 3 * each) for each in range(4))
    (marks,) = _annotations(
        _only([source], replace(image_reading(source), regions=boxes)), "AI_MARKS"
    )
    corners = {tuple(each.BoundingBoxTopLeftHandCorner) for each in marks.TextObjectSequence}
    assert len(corners) == len(boxes)


def test_style_has_objects_of_its_own() -> None:
    source = radiograph()
    read = reading(image_reading(source))
    states = [
        build_presentations([source], read, when=WHEN, style=Style(language=each))[0]
        for each in ("en", "ja")
    ]
    assert len({each.SOPInstanceUID for each in states}) == 2


@pytest.mark.skipif(bool(_NO_DCMTK), reason=_NO_DCMTK)
@pytest.mark.parametrize("make", [computed_radiograph, ct_slice, radiograph])
def test_images_look_as_they_do_without_the_state(
    make: Callable[[], Dataset], tmp_path: Path
) -> None:
    source = _with_pixels(make())
    (tmp_path / "source.dcm").write_bytes(as_file(source))
    state = _only([source], image_reading(source, heatmap=spot(2, 5)))
    (tmp_path / "state.dcm").write_bytes(to_bytes(state))
    names = [str(tmp_path / each) for each in ("state.dcm", "source.dcm", "shown.pgm")]
    assert validators.run("dcmp2pgm", "-p", *names).returncode == 0
    shown = np.asarray(Image.open(names[2]), np.int16)
    assert np.abs(shown - displayed(dcmread(names[1]))).max() <= 1


def _with_pixels(source: Dataset) -> Dataset:
    rows, columns = np.mgrid[: source.Rows, : source.Columns]
    waves = 2048 + 2047 * np.sin(columns / 40) * np.cos(rows / 50)
    source.HighBit, source.SamplesPerPixel = source.BitsStored - 1, 1
    source.PixelData = waves.astype(np.uint16).tobytes()
    source["PixelData"].VR = "OW"
    return source


def _lut(values: list[int]) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(values), 0, 8]
    item.LUTData = values
    item["LUTData"].VR = "US"
    return item


def _parsed(data: bytes) -> Dataset:
    return dcmread(BytesIO(data))
