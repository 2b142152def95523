"""How a picture lies in the tensor, and findings back on the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from inference.crop import Box
from inference.pixels import Placement, Preparation, placement, prepare
from inference.view import View, box_of, cut_margin


def test_the_margin_is_cut_off_the_map() -> None:
    place = placement(100, 50, Preparation(rows=32, columns=32))
    activation = np.zeros((32, 32), np.float32)
    activation[:, place.left : place.left + place.width] = 1
    cut = cut_margin(activation, place, (32, 32))
    assert cut.shape == (32, 16)
    np.testing.assert_array_equal(cut, 1)


def test_a_coarse_cell_lies_where_the_network_saw_it() -> None:
    activation = np.zeros((4, 4), np.float32)
    activation[1, 2] = 1  # rows 8..15, columns 16..23 of 32
    cut = cut_margin(activation, Placement(top=4, left=8, height=20, width=24), (32, 32))
    row, column = np.unravel_index(int(cut.argmax()), cut.shape)
    assert 8 - 4 <= row < 16 - 4
    assert 16 - 8 <= column < 24 - 8


def test_a_mirrored_map_gives_a_mirrored_cut() -> None:
    activation = np.random.default_rng(1).random((7, 7), np.float32)
    place = placement(40, 30, Preparation(rows=32, columns=32))
    cut = cut_margin(activation, place, (32, 32))
    mirrored = cut_margin(activation[::-1, ::-1], place, (32, 32))
    np.testing.assert_allclose(mirrored, cut[::-1, ::-1], atol=1e-6)


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-2, 2, width=32),
    ),
    st.integers(1, 300),
    st.integers(1, 300),
)
def test_any_map_stays_within_0_and_1(
    activation: NDArray[np.float32], rows: int, columns: int
) -> None:
    place = placement(rows, columns, Preparation(rows=24, columns=40))
    cut = cut_margin(activation, place, (24, 40))
    assert cut.shape == (place.height, place.width)
    assert cut.dtype == np.float32
    assert cut.min() >= 0
    assert cut.max() <= np.float32(1.000001)


HEAD = Preparation(rows=32, columns=32, channels=1, crop="head", mean=0, std=1)


def body(rows: int, columns: int, top: int, left: int, side: int) -> NDArray[np.uint8]:
    """A bright square on black."""
    made = np.zeros((rows, columns), np.uint8)
    made[top : top + side, left : left + side] = 200
    return made


@pytest.mark.parametrize("shape", [(40, 32), (32, 40), (100, 30), (32, 32)])
def test_boxes_come_back_to_where_the_picture_was(shape: tuple[int, int]) -> None:
    rows, columns = shape
    view = View.of(np.zeros(shape, np.uint8), Preparation(rows=32, columns=32), None)
    place = view.place
    edges = [place.left, place.top, place.left + place.width, place.top + place.height]
    tensor = np.array([edges, [0, 0, 32, 32]], np.float64)
    np.testing.assert_allclose(view.boxes_to_picture(tensor), [[0, 0, columns, rows]] * 2)


def test_what_is_seen_in_a_crop_is_found_there_in_the_picture() -> None:
    picture = body(200, 240, 60, 100, 80)
    picture[90:110, 120:140] = 255
    box = box_of(picture, HEAD)
    assert box is not None
    view = View.of(picture, HEAD, box)
    tensor = prepare(picture, HEAD, box)[0]
    bright = tensor > 0.95
    down, across = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    found = np.array([[across[0], down[0], across[-1] + 1, down[-1] + 1]], np.float64)
    np.testing.assert_allclose(view.boxes_to_picture(found), [[120, 90, 140, 110]], atol=5)
    laid = view.map_to_picture(bright.astype(np.float32))
    assert laid.shape == picture.shape
    centre = np.argwhere(laid > 0.5).mean(0)
    np.testing.assert_allclose(centre, [99.5, 129.5], atol=2)


def test_outside_the_crop_a_map_is_empty() -> None:
    picture = body(200, 240, 60, 100, 80)
    view = View.of(picture, HEAD, Box(100, 60, 180, 140))
    laid = view.map_to_picture(np.ones((4, 4), np.float32))
    expected = np.zeros((200, 240))
    expected[60:140, 100:180] = 1
    np.testing.assert_allclose(laid, expected, atol=1e-6)


def test_a_crop_beyond_the_edges_is_cut_there() -> None:
    view = View.of(np.zeros((50, 60), np.uint8), HEAD, Box(-10, -20, 70, 60))
    laid = view.map_to_picture(np.ones((8, 8), np.float32))
    np.testing.assert_allclose(laid, np.ones((50, 60)), atol=1e-6)
    assert view.boxes_to_picture(np.array([[0, 0, 32, 32]], np.float64)).tolist() == [
        [0, 0, 60, 50]
    ]


def test_without_a_crop_the_whole_picture_is_seen() -> None:
    assert box_of(np.zeros((9, 9), np.uint8), Preparation(rows=32, columns=32)) is None
