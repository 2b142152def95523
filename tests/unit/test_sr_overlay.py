"""The overlay: colour where activation is, anatomy untouched elsewhere, honest geometry."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from sr.findings import Algorithm, ImageReading, Normality
from sr.legend import Caption
from sr.overlay import build_overlay
from sr.patient import SourceError
from sr.picture import LARGEST_LONG_SIDE, SMALLEST_LONG_SIDE, Drawing, draw, shows_heatmap
from sr.wording import Words
from tests.sr_examples import (
    ALGORITHM,
    READINGS,
    WHEN,
    box,
    computed_radiograph,
    ct_slice,
    image_reading,
    measured,
    picture,
    radiograph,
    received,
    spot,
)
from tests.sr_examples import reading as study_of


def _pixels(overlay: Dataset) -> NDArray[np.uint8]:
    size = overlay.Rows * overlay.Columns * 3
    data = np.frombuffer(overlay.PixelData[:size], np.uint8)
    return data.reshape(overlay.Rows, overlay.Columns, 3)


def _drawn(source: Dataset, image: ImageReading, algorithm: Algorithm = ALGORITHM) -> Drawing:
    read = study_of(image, algorithm=algorithm)
    return draw(picture(source), Caption(words=Words(), reading=read, image=image))


def _overlay(source: Dataset) -> Dataset:
    return build_overlay([source], picture(source), study_of(image_reading(source)), when=WHEN)


def _coloured(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(np.ptp(pixels.astype(np.int16), axis=2) > 20)


def _body(pixels: NDArray[np.uint8], grey: int) -> NDArray[np.bool_]:
    """Rows of the anatomy: their left edge has the picture's grey."""
    return np.asarray((pixels[:, 0] == grey).all(axis=1))


@pytest.mark.parametrize("normality", [Normality.ABNORMAL, Normality.INDETERMINATE])
def test_colour_lies_where_activation_is(normality: Normality) -> None:
    source = radiograph()
    reading = image_reading(source, normality, heatmap=spot(2, 5))
    pixels = _drawn(source, reading).pixels
    body = _body(pixels, 90)
    rows, columns = np.nonzero(_coloured(pixels[body]))
    height, width = pixels[body].shape[:2]
    assert rows.mean() / height == pytest.approx(2.5 / 8, abs=0.02)
    assert columns.mean() / width == pytest.approx(5.5 / 8, abs=0.02)
    assert np.ptp(rows) < height / 4


@pytest.mark.parametrize(
    ("normality", "heatmap"),
    [
        (Normality.NORMAL, spot(2, 5)),
        (Normality.ABNORMAL, None),
        (Normality.ABNORMAL, np.full((8, 8), 0.2, np.float32)),
    ],
)
def test_nothing_is_coloured_without_cause(
    normality: Normality, heatmap: NDArray[np.float32] | None
) -> None:
    source = radiograph()
    reading = image_reading(source, normality, heatmap=heatmap)
    pixels = _drawn(source, reading).pixels
    assert not shows_heatmap(study_of(reading), reading)
    assert (pixels[_body(pixels, 90)] == 90).all()


def test_activation_at_the_corner_and_values_out_of_range_are_drawn() -> None:
    source = radiograph()
    heatmap = spot(0, 0) * 7
    heatmap[3, 3] = np.nan
    pixels = _drawn(source, image_reading(source, heatmap=heatmap)).pixels
    rows, columns = np.nonzero(_coloured(pixels[80:]))
    assert rows.min() == 0
    assert columns.min() == 0


@pytest.mark.parametrize(
    ("rows", "columns"), [(32, 32), (256, 256), (257, 999), (1024, 128), (2500, 2000), (700, 4000)]
)
def test_size_is_legible_and_bounded(rows: int, columns: int) -> None:
    source = radiograph()
    source.Rows, source.Columns = rows, columns
    reading = image_reading(source, heatmap=spot(4, 4))
    drawing = _drawn(source, reading)
    height, width = drawing.pixels.shape[:2]
    assert 640 <= width <= LARGEST_LONG_SIDE
    long_side = max(rows * drawing.row_scale, columns * drawing.column_scale)
    assert SMALLEST_LONG_SIDE <= round(long_side) <= LARGEST_LONG_SIDE
    assert height > rows * drawing.row_scale


def test_long_texts_do_not_leave_the_picture() -> None:
    source = radiograph()
    algorithm = Algorithm(name="n" * 64, version="v" * 64, manufacturer="m" * 64, title="t " * 32)
    pixels = _drawn(source, image_reading(source), algorithm).pixels
    assert (pixels[-4:] == pixels[-1, 0]).all()
    assert (pixels[:, -1][~_body(pixels, 90)].max(axis=1) < 40)[:-1].sum() > 100


def test_spacing_is_scaled_with_the_picture() -> None:
    source = computed_radiograph()  # 300 x 240 pixels of 0.2 mm
    overlay = _overlay(source)
    rows, columns = (float(each) for each in overlay.PixelSpacing)
    assert rows == pytest.approx(0.2 * 300 / 1024, rel=1e-6)
    assert columns == pytest.approx(0.2 * 240 / 819, rel=1e-6)
    assert all(len(str(each)) <= 16 for each in overlay.PixelSpacing)


def test_spacing_at_the_detector_is_not_taken_for_a_calibration() -> None:
    source = radiograph()
    overlay = _overlay(source)
    assert "PixelSpacing" not in overlay
    assert "ImagerPixelSpacing" not in overlay


@pytest.mark.parametrize(("stated", "expected"), [("YES", "YES"), ("NO", "NO"), (None, "NO")])
def test_identity_burned_into_the_source_is_still_declared(
    stated: str | None, expected: str
) -> None:
    source = radiograph()
    if stated is not None:
        source.BurnedInAnnotation = stated
    overlay = _overlay(source)
    assert overlay.BurnedInAnnotation == expected


def test_overlays_of_a_study_share_a_series() -> None:
    sources = [received(radiograph(1)), received(radiograph(2))]
    read = study_of(*map(image_reading, sources))
    overlays = [
        build_overlay(sources, picture(each), read, index, when=WHEN)
        for index, each in enumerate(sources)
    ]
    assert overlays[0].SeriesInstanceUID == overlays[1].SeriesInstanceUID
    assert overlays[0].SOPInstanceUID != overlays[1].SOPInstanceUID
    assert [each.InstanceNumber for each in overlays] == [1, 2]
    # That of an image alone stays the same when another image comes late.
    alone = build_overlay(sources[:1], picture(sources[0]), study_of(read.images[0]), when=WHEN)
    assert alone.SOPInstanceUID == overlays[0].SOPInstanceUID


@pytest.mark.parametrize("name", ["abnormal study", "classification"])
def test_overlay_that_tells_of_the_study_depends_on_all_its_images(name: str) -> None:
    sources, read = READINGS[name]()
    late = ct_slice(9) if read.study else radiograph(9)
    first = picture(sources[0])
    before = build_overlay(sources, first, read, when=WHEN)
    after = build_overlay([*sources, late], first, read, when=WHEN)
    assert before.SOPInstanceUID != after.SOPInstanceUID
    assert before.SeriesInstanceUID != after.SeriesInstanceUID
    assert before.SOPInstanceUID == before.file_meta.MediaStorageSOPInstanceUID


def test_odd_number_of_bytes_is_padded() -> None:
    source = radiograph()
    source.Rows, source.Columns = 1025, 1025
    overlay = _overlay(source)
    assert len(overlay.PixelData) % 2 == 0
    assert _pixels(overlay).shape[2] == 3


def test_picture_must_be_greyscale() -> None:
    source = radiograph()
    colour = np.zeros((300, 240, 3), np.uint8)
    with pytest.raises(SourceError, match="must be \\(rows, columns\\)"):
        build_overlay([source], colour, study_of(image_reading(source)), when=WHEN)


def test_reading_of_another_image_is_refused() -> None:
    source, other = radiograph(1), radiograph(2)
    with pytest.raises(SourceError, match="not among the sources"):
        build_overlay([source], picture(source), study_of(image_reading(other)), when=WHEN)


def test_box_beyond_its_image_is_refused() -> None:
    source = radiograph()
    read = study_of(measured(source, regions=(box(0, 0, 241, 5),)))
    with pytest.raises(SourceError, match="reaches beyond"):
        build_overlay([source], picture(source), read, when=WHEN)
