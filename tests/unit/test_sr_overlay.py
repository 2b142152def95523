"""The overlay: colour where activation is, anatomy untouched elsewhere, honest geometry."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset

from sr.findings import Algorithm, ImageReading, Normality, Segment
from sr.legend import Caption, answer_rows
from sr.lettering import VERMILION, WHITE, Gauge, Line, wrapped
from sr.marks import free_place, mark_colours
from sr.overlay import build_overlay
from sr.patient import SourceError
from sr.picture import LARGEST_LONG_SIDE, SMALLEST_LONG_SIDE, Drawing, draw, shows_heatmap
from sr.wording import slice_place
from tests.sr_examples import (
    ALGORITHM,
    LESION,
    MASS,
    READINGS,
    WHEN,
    box,
    computed_radiograph,
    ct_slice,
    discs,
    image_reading,
    measured,
    picture,
    radiograph,
    received,
    series_reading,
    spot,
)
from tests.sr_examples import reading as study_of


def _pixels(overlay: Dataset) -> NDArray[np.uint8]:
    size = overlay.Rows * overlay.Columns * 3
    data = np.frombuffer(overlay.PixelData[:size], np.uint8)
    return data.reshape(overlay.Rows, overlay.Columns, 3)


def _drawn(source: Dataset, image: ImageReading, algorithm: Algorithm = ALGORITHM) -> Drawing:
    read = study_of(image, algorithm=algorithm)
    return draw(picture(source), Caption(reading=read, image=image))


def _overlay(source: Dataset) -> Dataset:
    return build_overlay([source], picture(source), study_of(image_reading(source)), when=WHEN)


def _made(name: str, index: int = 0) -> Dataset:
    sources, read = READINGS[name]()
    source = next(s for s in sources if s.SOPInstanceUID == read.images[index].sop_instance_uid)
    return build_overlay(sources, picture(source), read, index, when=WHEN)


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


# -- boxes and outlines --


def test_box_is_drawn_where_it_lies() -> None:
    source = radiograph()  # 300 rows, 240 columns
    drawing = _drawn(source, measured(source, regions=(box(60, 120, 180, 240),)))
    rows, columns = np.nonzero(_coloured(drawing.pixels[drawing.top : drawing.top + 1024]))
    scale = 1024 / 300
    assert rows.max() == pytest.approx(240 * scale, abs=4)
    assert rows.min() < 120 * scale  # the label stands above the box
    assert (columns.min(), columns.max()) == pytest.approx((60 * scale, 180 * scale), abs=4)
    inside = drawing.pixels[drawing.top + 450 : drawing.top + 800, 250:580]
    assert (inside == 90).all()


def test_labels_stay_in_the_picture_and_apart() -> None:
    taken: list[tuple[int, int, int, int]] = []
    for box_ in [(0, 0, 50, 30), (0, 0, 50, 30), (580, 380, 600, 400), (300, 200, 340, 230)]:
        place = free_place(box_, (120, 20), (600, 400), taken)
        assert place is not None
        left, top, right, bottom = place
        assert left >= 0
        assert top >= 0
        assert right <= 600
        assert bottom < 400
        assert not any(left < x[2] and x[0] < right and top < x[3] and x[1] < bottom for x in taken)
        taken.append(place)


def test_label_without_room_is_left_out() -> None:
    assert free_place((0, 0, 50, 30), (120, 20), (100, 400), []) is None
    everywhere = [(0, 0, 600, 400)]
    assert free_place((300, 200, 340, 230), (120, 20), (600, 400), everywhere) is None


def test_segment_is_tinted_and_outlined_where_its_mask_is() -> None:
    source = radiograph()
    lesion = Segment(finding=LESION, label="Lesion", mask=discs((16, 48, 8)))
    drawing = _drawn(source, measured(source, segments=(lesion,)))
    coloured = _coloured(drawing.pixels[drawing.top : drawing.top + 1024])
    rows, columns = np.nonzero(coloured)
    assert rows.mean() / 1024 == pytest.approx(16.5 / 64, abs=0.01)
    assert columns.mean() / coloured.shape[1] == pytest.approx(48.5 / 64, abs=0.01)
    assert coloured.mean() == pytest.approx(lesion.share, rel=0.1)
    # The anatomy shows through: a darker picture stays darker.
    dark = draw(picture(source, 30), Caption(reading=study_of(_one(lesion)), image=_one(lesion)))
    middle = (drawing.top + round(16.5 / 64 * 1024), round(48.5 / 64 * coloured.shape[1]))
    assert dark.pixels[middle].astype(int).sum() < drawing.pixels[middle].astype(int).sum() - 90


def _one(segment: Segment) -> ImageReading:
    return measured(radiograph(), segments=(segment,))


def test_every_finding_has_a_colour_of_its_own() -> None:
    source = radiograph()
    lesion = Segment(finding=LESION, label="Lesion", mask=discs((16, 48, 8)))
    image = measured(source, regions=(box(1, 1, 9, 9), box(2, 2, 9, 9)), segments=(lesion,))
    colours = mark_colours(image)
    assert list(colours) == [MASS.value, LESION.value]
    assert len(set(colours.values())) == 2


# -- the legend --


def _words(name: str, index: int = 0) -> list[str]:
    """Return what the legend's left side says, line by line."""
    sources, read = READINGS[name]()
    place = slice_place(index + 1, len(read.images), 11) if read.study else ""
    caption = Caption(reading=read, image=read.images[index], place=place)
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


# -- the plane of a slice --


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
    drawing = draw(picture(source), Caption(reading=read, image=read.images[0]))
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
