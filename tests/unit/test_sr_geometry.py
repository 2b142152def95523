"""The plane of a slice: source and overlay agree on where things are in the patient."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from sr.legend import Caption
from sr.overlay import build_overlay
from sr.picture import draw
from sr.wording import Words
from tests.sr_examples import (
    READINGS,
    WHEN,
    ct_slice,
    picture,
    received,
    series_reading,
)


def _made(name: str, index: int = 0) -> Dataset:
    sources, read = READINGS[name]()
    source = next(s for s in sources if s.SOPInstanceUID == read.images[index].sop_instance_uid)
    return build_overlay(sources, picture(source), read, index, when=WHEN)


def _in_patient(image: Dataset, row: float, column: float) -> NDArray[np.float64]:
    """Return where a point lies, mm; row and column in pixels from the first one's centre."""
    directions = np.array(image.ImageOrientationPatient, float)
    down, across = (float(each) for each in image.PixelSpacing)
    origin = np.array(image.ImagePositionPatient, float)
    return np.asarray(
        origin + directions[:3] * column * across + directions[3:] * row * down, np.float64
    )


@pytest.mark.parametrize(("rows", "columns"), [(256, 256), (256, 100), (700, 512)])
def test_slice_and_overlay_agree_on_where_things_are(rows: int, columns: int) -> None:
    source = received(ct_slice(2))
    source.Rows, source.Columns = rows, columns
    read = series_reading([source])
    overlay = build_overlay([source], picture(source), read, when=WHEN)
    drawing = draw(picture(source), Caption(words=Words(), reading=read, image=read.images[0]))
    assert overlay.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert overlay.ImageOrientationPatient == source.ImageOrientationPatient
    for row, column in ((0.0, 0.0), (rows, columns), (rows / 3, columns / 2)):  # from the corner
        shown = _in_patient(
            overlay,
            drawing.top + row * drawing.row_scale - 0.5,
            drawing.left + column * drawing.column_scale - 0.5,
        )
        assert shown == pytest.approx(_in_patient(source, row - 0.5, column - 0.5), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ImagePositionPatient", None),
        ("ImagePositionPatient", ["1", "2"]),
        ("ImageOrientationPatient", ["1", "0", "0", "0", "0", "0"]),
        ("ImageOrientationPatient", ["1", "0", "0", "0.8", "0.6", "0"]),
        ("PixelSpacing", None),
        ("FrameOfReferenceUID", None),
        ("Modality", "DX"),
    ],
)
def test_plane_that_is_not_known_is_not_written(name: str, value: object) -> None:
    source = ct_slice()
    setattr(source, name, value)
    overlay = build_overlay([source], picture(source), series_reading([source]), when=WHEN)
    for each in ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient"):
        assert each not in overlay


def test_overlays_of_slices_keep_the_order_of_the_reading() -> None:
    overlays = [_made("abnormal study", index) for index in range(3)]
    assert [each.InstanceNumber for each in overlays] == [1, 2, 3]
    heights = [float(each.ImagePositionPatient[2]) for each in overlays]
    assert heights == sorted(heights)
    assert {each.BodyPartExamined for each in overlays} == {"HEAD"}
