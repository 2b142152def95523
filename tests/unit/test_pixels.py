"""The displayed picture against pydicom's own LUTs, and the tensor made of it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import MPEG2MPML

from inference.errors import PixelError, ReadingError
from inference.pixels import (
    Preparation,
    displayed,
    hounsfield_problem,
    mean_displayed,
    placement,
    prepare,
)
from tests.dicomfiles import PATIENT, as_file, colour, image, lut, rle

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
SIGNED = (np.arange(4096, dtype=np.int16) - 2048).reshape(64, 64)
BYTES = np.arange(256, dtype=np.uint8).reshape(16, 16)
SQUARE = Preparation(rows=32, columns=32)


def window(centre: Any, width: Any, function: str | None = None) -> dict[str, Any]:
    found = {"WindowCenter": centre, "WindowWidth": width}
    return found | ({"VOILUTFunction": function} if function else {})


CURVE = [int(65535 * (index / 999) ** 2) for index in range(1000)]
CASES: dict[str, Dataset] = {
    "8 bit": image(BYTES, **window(100, 80)),
    "12 bit": image(RAMP, **window(2000, 1500)),
    "16 bit": image(RAMP * 16, bits_stored=16, **window(30000, 22222)),
    "signed": image(SIGNED, **window(-300, 1000)),
    "window function LINEAR": image(RAMP, **window(2000, 1500, "LINEAR")),
    "window function LINEAR_EXACT": image(RAMP, **window(2000, 1500, "LINEAR_EXACT")),
    "window function SIGMOID": image(RAMP, **window(2000, 1500, "SIGMOID")),
    "steep sigmoid": image(RAMP, **window(2000, 1, "SIGMOID")),
    "narrowest window": image(RAMP, **window(2000, 1)),
    "narrowest window between values": image(RAMP, **window(2000.5, 1)),
    "narrow window": image(RAMP, **window(2000, 1.5)),
    "LINEAR_EXACT below one": image(RAMP, **window(2000, 0.5, "LINEAR_EXACT")),
    "several windows": image(RAMP, **window([1000, 3000], [500, 4000])),
    "rescale": image(RAMP, RescaleSlope=2, RescaleIntercept=-1024, **window(1000, 3000)),
    "falling rescale": image(RAMP, RescaleSlope=-1, RescaleIntercept=4095, **window(1000, 900)),
    "modality LUT": image(RAMP, ModalityLUTSequence=lut(500, CURVE, 16), **window(20000, 30000)),
    "8-bit modality LUT": image(
        RAMP, ModalityLUTSequence=lut(0, list(range(256)), 8), **window(100, 90)
    ),
    "signed modality LUT": image(
        SIGNED, ModalityLUTSequence=lut(-700, CURVE, 16), **window(20000, 30000)
    ),
    "VOI LUT": image(RAMP, VOILUTSequence=lut(500, CURVE, 16)),
    "10-bit VOI LUT": image(RAMP, VOILUTSequence=lut(0, list(range(1024)), 10)),
    "signed VOI LUT": image(SIGNED, VOILUTSequence=lut(-700, CURVE, 16)),
    "VOI LUT before window": image(RAMP, VOILUTSequence=lut(5, CURVE, 16), **window(100, 90)),
    "modality LUT, then VOI LUT": image(
        RAMP,
        ModalityLUTSequence=lut(0, list(range(0, 4096, 2)), 16),
        VOILUTSequence=lut(100, CURVE, 16),
    ),
    "run length encoded": rle(RAMP, **window(2000, 1500)),
}


def reference(dataset: Dataset) -> NDArray[np.float64]:
    """The displayed grey 0..255 as pydicom computes it, over the whole array, in floats."""
    modality = apply_modality_lut(dataset.pixel_array, dataset)
    voi = np.asarray(apply_voi_lut(modality, dataset), dtype=np.float64)
    if "VOILUTSequence" in dataset:
        low, high = 0.0, 2.0 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif "ModalityLUTSequence" in dataset:
        low, high = 0.0, 2.0 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    else:
        half = 2.0 ** (dataset.BitsStored - 1)
        low, high = (-half, half - 1) if dataset.PixelRepresentation else (0.0, 2 * half - 1)
        slope = float(dataset.get("RescaleSlope", 1))
        intercept = float(dataset.get("RescaleIntercept", 0))
        low, high = low * slope + intercept, high * slope + intercept
    grey = (voi - low) / (high - low) * 255
    return np.asarray(255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # in pydicom's sigmoid
def test_displayed_is_what_pydicom_computes(case: str, photometric: str) -> None:
    dataset = dcmread(BytesIO(as_file(CASES[case])))
    dataset.PhotometricInterpretation = photometric
    picture = displayed(dataset)
    assert picture.dtype == np.uint8
    assert picture.shape == (dataset.Rows, dataset.Columns)
    assert len(np.unique(picture)) > 1
    assert np.abs(picture - reference(dataset)).max() <= 0.5 + 1e-6


def test_a_falling_rescale_inverts() -> None:
    picture = displayed(CASES["falling rescale"])
    assert picture[0, 0] == 255
    assert picture[-1, -1] == 0


def test_monochrome1_is_inverted() -> None:
    plain = displayed(image(RAMP))
    inverted = displayed(image(RAMP, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(inverted, 255 - plain)
    assert plain[0, 0] == 0
    assert plain[-1, -1] == 255


@pytest.mark.parametrize(
    "elements",
    [
        {},
        window("", ""),
        window(2000, 0),
        window(2000, 0.5),  # below 1 is not allowed for LINEAR, PS3.3 C.11.2.1.2.1
        window(2000, -5, "SIGMOID"),
        {"WindowCenter": 2000},
        {"RescaleSlope": 0.0001, "RescaleIntercept": 0},  # a range below 1
    ],
)
def test_without_a_usable_window_the_whole_range_is_shown(elements: dict[str, Any]) -> None:
    picture = displayed(image(RAMP[10:50], **elements))
    assert picture.min() == 0
    assert picture.max() == 255
    assert (np.diff(picture.ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("elements", [{}, window(2000, 1), window(2000, 1, "SIGMOID")])
def test_a_constant_image_is_one_grey(photometric: str, elements: dict[str, Any]) -> None:
    constant = np.full((5, 7), 2000, np.uint16)
    picture = displayed(image(constant, PhotometricInterpretation=photometric, **elements))
    assert len(np.unique(picture)) == 1
    assert np.isfinite(prepare(picture, SQUARE)).all()


def test_bits_above_the_stored_ones_are_no_pixels() -> None:
    marked = RAMP | np.uint16(0x8000)  # an overlay in the high bit, as old CR readers write it
    np.testing.assert_array_equal(displayed(image(marked)), displayed(image(RAMP)))


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)])
def test_one_row_or_column_keeps_its_shape(shape: tuple[int, int]) -> None:
    assert displayed(image(np.ones(shape, np.uint16))).shape == shape


def no_pixels() -> Dataset:
    return image(PixelData=None)


def float_pixels() -> Dataset:
    made = image(PixelData=None, BitsAllocated=32)
    made.FloatPixelData = np.zeros((40, 32), np.float32).tobytes()
    return made


def truncated_rle() -> Dataset:
    made = rle(RAMP)
    made.PixelData = made.PixelData[:90]
    return made


def unknown_decoder() -> Dataset:
    made = image()
    made.file_meta.TransferSyntaxUID = MPEG2MPML
    return made


def without_descriptor() -> Dataset:
    return image(RAMP, VOILUTSequence=lut(0, CURVE, 16, LUTDescriptor=None))


def unparsed(keyword: str, vr: str, value: bytes) -> Dataset:
    """A file in which an element holds bytes that are no value of its VR."""
    made = image(RAMP)
    made.add_new(keyword, "LO", "placeholder")
    content = as_file(made)
    start = content.index(b"LO\x0c\x00placeholder ")
    replaced = vr.encode() + b"\x0c\x00" + value.ljust(12)
    return dcmread(BytesIO(content[:start] + replaced + content[start + 16 :]))


REFUSED: list[tuple[Dataset, str]] = [
    (no_pixels(), r"no Pixel Data \(7FE0,0010\)"),
    (float_pixels(), r"no Pixel Data"),
    (image(PixelData=b""), "cannot be decoded"),
    (colour(), "photometric interpretation RGB is not greyscale"),
    (image(PhotometricInterpretation=None), "photometric interpretation missing"),
    (image(PhotometricInterpretation="PALETTE COLOR"), "PALETTE COLOR is not greyscale"),
    (image(np.zeros((3, 8, 8), np.uint16)), "has 3 frames, one is expected"),
    (image(np.zeros((8, 8), np.uint32)), "type uint32; not supported"),
    (image(PixelData=b"\0\0"), r"cannot be decoded \(ValueError\)"),
    (image(Rows=0), "cannot be decoded"),
    (image(BitsAllocated=None), "cannot be decoded"),
    (image(BitsAllocated=11), "cannot be decoded"),
    (truncated_rle(), "cannot be decoded"),
    (unknown_decoder(), "cannot be decoded"),
    (without_descriptor(), "LUT, rescale or window is malformed"),
    (image(RAMP, VOILUTSequence=lut(0, CURVE, 16, LUTData=None)), "is malformed"),
    (image(RAMP, RescaleSlope="1e308", RescaleIntercept=0), "is malformed"),
    (unparsed("WindowWidth", "DS", b"wide"), "malformed|cannot"),
    (unparsed("NumberOfFrames", "IS", b"some"), "Number of Frames"),
]


@pytest.mark.parametrize(("dataset", "message"), REFUSED)
@pytest.mark.filterwarnings("ignore")  # pydicom warns of what it then refuses
def test_what_cannot_be_shown_is_refused_by_name(dataset: Dataset, message: str) -> None:
    with pytest.raises(PixelError, match=message) as caught:
        displayed(dataset)
    assert not caught.value.retryable
    assert isinstance(caught.value, ReadingError)
    assert PATIENT not in str(caught.value)


@pytest.mark.filterwarnings("ignore:The pixel data is")
def test_more_pixels_than_needed_are_cut_off() -> None:
    longer = image(RAMP)
    longer.PixelData += bytes(64)
    np.testing.assert_array_equal(displayed(longer), displayed(image(RAMP)))


def test_a_png_of_the_displayed_picture_gives_the_same_tensor() -> None:
    picture = displayed(CASES["window function SIGMOID"])
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    from_png = np.asarray(Image.open(buffer))
    np.testing.assert_array_equal(prepare(from_png, SQUARE), prepare(picture, SQUARE))


def test_the_tensor_is_normalised_and_repeated() -> None:
    black_to_white = np.repeat(np.arange(256, dtype=np.uint8)[None], 256, axis=0)
    spec = Preparation(
        rows=64, columns=64, channels=3, low_percentile=0, high_percentile=100, mean=0.2, std=0.4
    )
    tensor = prepare(black_to_white, spec)
    assert tensor.shape == (3, 64, 64)
    assert tensor.dtype == np.float32
    assert tensor.min() == pytest.approx((0 - 0.2) / 0.4)
    assert tensor.max() == pytest.approx((1 - 0.2) / 0.4)
    np.testing.assert_array_equal(tensor[0], tensor[2])
    assert (np.diff(tensor[0, 30]) > 0).all()


def test_outliers_are_clipped_at_the_percentiles() -> None:
    picture = np.tile(np.linspace(50, 200, 100).astype(np.uint8), (100, 1))
    picture[0, 0], picture[0, 1] = 0, 255
    spec = Preparation(rows=100, columns=100, channels=1, mean=0, std=1)
    tensor = prepare(picture, spec)
    assert tensor[0, 50, 0] == 0.0
    assert tensor[0, 50, 99] == 1.0


def test_the_aspect_is_kept_and_the_margin_is_black() -> None:
    tensor = prepare(np.full((100, 50), 200, np.uint8) + np.eye(100, 50, dtype=np.uint8), SQUARE)
    place = placement(100, 50, SQUARE)
    assert (place.top, place.left, place.height, place.width) == (0, 8, 32, 16)
    turned = placement(50, 100, SQUARE)
    assert (turned.top, turned.left, turned.height, turned.width) == (8, 0, 16, 32)
    assert (tensor[:, :, :8] == -1).all()
    assert (tensor[:, :, 24:] == -1).all()


def test_a_circle_stays_round() -> None:
    down, across = np.mgrid[:300, :120]
    picture = np.where((down - 150) ** 2 + (across - 60) ** 2 < 50**2, 255, 0).astype(np.uint8)
    found = np.argwhere(prepare(picture, Preparation(rows=96, columns=96))[0] > 0)
    height, width = np.ptp(found, axis=0) + 1
    assert abs(height - width) <= 1


SIDES = st.integers(1, 60)


@given(rows=st.integers(1, 5000), columns=st.integers(1, 5000), height=SIDES, width=SIDES)
def test_a_placement_lies_inside_and_fills_one_side(
    rows: int, columns: int, height: int, width: int
) -> None:
    spec = Preparation(rows=height, columns=width)
    place = placement(rows, columns, spec)
    assert place.top >= 0
    assert place.left >= 0
    assert 1 <= place.height <= height - place.top
    assert 1 <= place.width <= width - place.left
    assert place.height == height or place.width == width


@given(
    stored=st.tuples(st.sampled_from([np.uint8, np.uint16, np.int16]), SIDES, SIDES).flatmap(
        lambda drawn: arrays(drawn[0], drawn[1:])
    ),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    centre=st.none() | st.floats(-1e5, 1e5),
    width=st.floats(1e-3, 1e5),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    slope=st.sampled_from([1, -1, 0.001, 12345.678]),
)
def test_any_pixels_give_a_finite_tensor_and_the_same_one_twice(
    stored: NDArray[Any],
    photometric: str,
    centre: float | None,
    width: float,
    function: str,
    slope: float,
) -> None:
    dataset = image(stored, bits_stored=stored.itemsize * 8, PhotometricInterpretation=photometric)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, 0
    if centre is not None:
        dataset.WindowCenter, dataset.WindowWidth = f"{centre:.6g}", f"{width:.6g}"
        dataset.VOILUTFunction = function
    picture = displayed(dataset)
    assert picture.shape == stored.shape
    tensor = prepare(picture, SQUARE)
    assert tensor.shape == (3, 32, 32)
    assert np.isfinite(tensor).all()
    assert tensor.min() >= -1
    assert tensor.max() <= 1
    np.testing.assert_array_equal(tensor, prepare(displayed(dataset), SQUARE))
    before = np.argsort(stored, axis=None, kind="stable")
    steps = np.diff(picture.ravel()[before].astype(int))
    rising = (photometric == "MONOCHROME2") == (slope > 0)
    assert (steps >= 0).all() if rising else (steps <= 0).all()


BRAIN = (40.0, 120.0)
HU: dict[str, Any] = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024}


def test_a_given_window_goes_before_the_files_own() -> None:
    elements = {**HU, **window(600, 3000), "VOILUTSequence": lut(0, CURVE, 16)}
    expected = displayed(image(RAMP, **HU, **window(40, 120)))
    np.testing.assert_array_equal(displayed(image(RAMP, **elements), BRAIN), expected)
    assert displayed(image(RAMP, **elements)).tolist() != expected.tolist()


def test_hounsfield_units_are_windowed_by_the_standards_formula() -> None:
    values = (np.array([[-1000, -20, 39, 40, 100, 1000]]) + 1024).astype(np.uint16)
    picture = displayed(image(values, **HU), BRAIN)
    assert picture[0].tolist() == [0, 0, 126, 129, 255, 255]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (1, 0), (0.5, -500), (2, -2048)])
def test_however_hounsfield_units_are_stored_the_picture_is_the_same(
    dtype: type[np.integer[Any]], slope: float, intercept: float
) -> None:
    if dtype is np.uint16 and intercept == 0:
        return
    hounsfield = np.arange(-400, 400, 2).reshape(20, 20)
    stored = ((hounsfield - intercept) / slope).astype(dtype)
    dataset = image(
        stored, bits_stored=16, Modality="CT", RescaleSlope=slope, RescaleIntercept=intercept
    )
    plain = image((hounsfield + 1024).astype(np.uint16), **HU)
    np.testing.assert_array_equal(displayed(dataset, BRAIN), displayed(plain, BRAIN))


@given(
    arrays(np.int16, (12, 10), elements=st.integers(-1024, 3000)),
    st.floats(-100, 300),
    st.floats(2, 2000),
)
def test_a_ct_slice_and_a_png_of_the_same_window_give_the_same_tensor(
    hounsfield: NDArray[np.int16], centre: float, width: float
) -> None:
    dataset = image(hounsfield, bits_stored=16, Modality="CT", RescaleSlope=1, RescaleIntercept=0)
    grey = np.clip((hounsfield.astype(np.float64) - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    buffer = BytesIO()
    Image.fromarray(np.rint(grey * 255).astype(np.uint8)).save(buffer, "PNG")
    from_png = np.asarray(Image.open(buffer))
    spec = Preparation(rows=32, columns=32, channels=1, window=(centre, width))
    of_slice = prepare(displayed(dataset, spec.window), spec)
    np.testing.assert_array_equal(of_slice, prepare(from_png, spec))


NO_UNITS: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"RescaleType": "HU"}, None),
    ({"RescaleType": "US"}, None),  # what converters write beside Hounsfield units
    ({"RescaleSlope": None}, "the CT slices have no Rescale Slope (0028,1053)"),
    ({"RescaleSlope": ""}, "the CT slices have no Rescale Slope (0028,1053)"),
    ({"RescaleIntercept": None}, "the CT slices have no Rescale Intercept (0028,1052)"),
    ({"RescaleSlope": 0}, "the CT slices have a Rescale Slope (0028,1053) of 0"),
    ({"RescaleType": "Z_EFF"}, "the values of the CT slices are no Hounsfield units"),
    ({"RescaleSlope": None, "Modality": "CR"}, None),
]


@pytest.mark.parametrize(("elements", "problem"), NO_UNITS)
def test_ct_values_that_are_no_hounsfield_units_are_never_windowed(
    elements: dict[str, Any], problem: str | None
) -> None:
    dataset = image(RAMP, **HU)
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    assert hounsfield_problem(dataset) == problem
    assert displayed(dataset).shape == RAMP.shape  # as a viewer shows it, whatever it is
    if problem is None:
        displayed(dataset, BRAIN)
        return
    for slices in ([dataset], [dataset, dataset]):
        with pytest.raises(PixelError) as caught:
            mean_displayed(slices, BRAIN)
        assert str(caught.value) == problem


PADDED: dict[str, Dataset] = {
    "signed": image(SIGNED, PixelPaddingValue=-2000),
    "unsigned form of a signed value": image(SIGNED, PixelPaddingValue=63536),
    "a range": image(SIGNED, PixelPaddingValue=-2040, PixelPaddingRangeLimit=-1990),
    "a range, upside down": image(SIGNED, PixelPaddingValue=-1990, PixelPaddingRangeLimit=-2040),
    "above all": image(RAMP, PixelPaddingValue=4095),
    "inverted": image(RAMP, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1"),
}


@pytest.mark.parametrize("case", PADDED)
@pytest.mark.filterwarnings("ignore:A value of")
def test_padding_is_black(case: str) -> None:
    dataset = PADDED[case]
    stored = dataset.pixel_array.astype(int)
    ends = [dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit")]
    numbers = [(int(each) + 32768) % 65536 - 32768 for each in ends if each is not None]
    low, high = min(numbers), max(numbers)
    padding = (stored >= low) & (stored <= high)
    assert padding.any()
    for picture in (displayed(dataset), displayed(dataset, (0.0, 5000.0))):
        assert (picture[padding] == 0).all()
        assert (picture[~padding] > 0).mean() > 0.5


def test_padding_does_not_stretch_the_range_of_an_image_without_a_window() -> None:
    values = np.full((8, 8), 1000, np.uint16)
    values[:4] = 1100
    values[0] = 0
    picture = displayed(image(values, PixelPaddingValue=0))
    assert [int(picture[row, 0]) for row in (0, 2, 6)] == [0, 255, 0]


def test_an_image_of_padding_alone_is_black() -> None:
    assert displayed(image(np.zeros((4, 4), np.uint16), PixelPaddingValue=0)).max() == 0


def test_the_mean_of_slices_is_a_thicker_slice() -> None:
    low = image(np.full((6, 5), 1024 + 20, np.uint16), **HU)
    high = image(np.full((6, 5), 1024 + 60, np.uint16), **HU)
    middle = image(np.full((6, 5), 1024 + 40, np.uint16), **HU)
    np.testing.assert_array_equal(mean_displayed([low, high], BRAIN), displayed(middle, BRAIN))
    np.testing.assert_array_equal(mean_displayed([low], BRAIN), displayed(low, BRAIN))
    bone = image(np.full((6, 5), 1024 + 1000, np.uint16), **HU)
    assert mean_displayed([bone, low], BRAIN).min() == 255  # 510: units are averaged, not greys


def test_padding_stays_black_in_a_mean() -> None:
    values = np.full((6, 5), 1024 + 40, np.uint16)
    values[0], values[1] = 4095, 0
    padded = image(values, **HU, PixelPaddingValue=4095)
    picture = mean_displayed([padded, padded], BRAIN)
    assert picture[0].max() == 0
    assert picture[2].min() > 100


def test_slices_of_two_sizes_have_no_mean() -> None:
    slices = [image(np.zeros(shape, np.uint16), **HU) for shape in ((6, 5), (5, 6))]
    with pytest.raises(PixelError, match="different matrix sizes"):
        mean_displayed(slices, BRAIN)
