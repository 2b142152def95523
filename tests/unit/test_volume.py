"""A series as the model sees it: order, spacing, window, and the way the patient lies."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from inference.errors import PixelError
from inference.pixels import displayed
from inference.volume import volume_of
from tests.ctfiles import between, head_series, left_between, tilted

BRAIN = (40.0, 120.0)


def uids(*numbers: int, series: int = 1) -> tuple[str, ...]:
    return tuple(f"1.2.826.0.1.3680043.10.1.77.{series}.{number}" for number in numbers)


def test_a_series_at_the_spacing_is_seen_slice_by_slice() -> None:
    slices = head_series(bleed=between(8, 12))
    volume = volume_of(slices, 5.0, BRAIN)
    assert volume.uids == uids(*range(1, 14))
    assert volume.sources == 13
    for picture, each in zip(volume.pictures, slices, strict=True):
        np.testing.assert_array_equal(picture, displayed(each, BRAIN))


@pytest.mark.parametrize(
    ("axes", "heights"),
    [
        (((1, 0, 0), (0, 1, 0)), range(-30, 31, 5)),
        (((-1, 0, 0), (0, 1, 0)), range(-30, 31, 5)),  # feet first, supine
        (((-1, 0, 0), (0, -1, 0)), range(-30, 31, 5)),  # head first, prone
        (((1, 0, 0), (0, -1, 0)), range(-30, 31, 5)),  # feet first, prone
        (((0, 1, 0), (-1, 0, 0)), range(-30, 31, 5)),  # on the side
    ],
)
def test_however_a_head_was_scanned_the_model_sees_the_same(axes: Any, heights: range) -> None:
    """Blood is at the left and near the vertex: it must be found there in every scan."""
    bleed = left_between(18, 32)
    slices = head_series(axes=axes, heights=heights, bleed=bleed)
    random.Random(7).shuffle(slices)
    volume = volume_of(slices, 5.0, BRAIN)
    plain = volume_of(head_series(bleed=bleed), 5.0, BRAIN)
    for picture, expected in zip(volume.pictures, plain.pictures, strict=True):
        np.testing.assert_array_equal(picture, expected)


def test_a_tilted_gantry_keeps_its_slices_and_their_order() -> None:
    slices = head_series(axes=tilted(18.5), bleed=between(20, 90))
    volume = volume_of(slices[::-1], 5.0, BRAIN)
    assert volume.uids == uids(*range(1, 14))
    blood = [float((each == 255).mean()) for each in volume.pictures]
    assert np.mean(blood[-3:]) > np.mean(blood[:3])


def test_thin_slices_become_slices_of_the_models_spacing() -> None:
    thin = head_series(heights=[each * 1.25 for each in range(-24, 25)], thickness=1.25)
    volume = volume_of(thin, 5.0, BRAIN)
    assert volume.uids == uids(*range(1, 50, 4))
    assert volume.sources == 49
    thick = volume_of(head_series(), 5.0, BRAIN)
    for made, expected in zip(volume.pictures, thick.pictures, strict=True):
        assert np.abs(made.astype(int) - expected).mean() < 3


def test_blood_in_one_thin_slice_is_not_lost() -> None:
    """Whichever slice it is in: a part of its brightness is seen somewhere."""
    heights = [each * 2.5 for each in range(-12, 13)]
    sound = volume_of(head_series(heights=heights, thickness=2.5), 5.0, BRAIN)
    for height in heights:
        bleed = between(height - 1, height + 1)
        made = volume_of(head_series(heights=heights, thickness=2.5, bleed=bleed), 5.0, BRAIN)
        pairs = zip(made.pictures, sound.pictures, strict=True)
        assert max(int(one[32, 32]) - int(other[32, 32]) for one, other in pairs) > 30


def test_thick_slices_stand_twice() -> None:
    volume = volume_of(head_series(heights=range(-30, 31, 10), thickness=10), 5.0, BRAIN)
    assert len(volume.uids) == 13
    assert len(set(volume.uids)) == 7
    assert volume.sources == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": ((1, 0, 0), (0, 0, -1))}, "the slices are not axial"),
        ({"RescaleSlope": None}, "the CT slices have no Rescale Slope"),
        ({"PixelData": b"\0\0"}, "pixels cannot be decoded"),
        ({"Rows": None}, "a header element is malformed"),
    ],
)
def test_what_is_no_stack_is_a_pixel_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PixelError, match=message):
        volume_of(head_series(**changes), 5.0, BRAIN)


def test_a_real_head_is_read_from_the_skull_base_to_the_vertex(real_head: Path) -> None:
    slices = [dcmread(each) for each in sorted(real_head.glob("*.dcm"))]
    in_order = [str(each.SOPInstanceUID) for each in slices]
    random.Random(3).shuffle(slices)
    volume = volume_of(slices, 5.0, BRAIN)
    assert len(volume.pictures) == 30  # 144 mm along the normal
    assert volume.sources == 28
    places = [in_order.index(each) for each in volume.uids]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 27)
    tissue = [float((each > 0).mean()) for each in volume.pictures]
    assert tissue[-1] < 0.5 * max(tissue)  # the vertex is small
    untouched = volume_of(slices, None, BRAIN)
    assert list(untouched.uids) == in_order
