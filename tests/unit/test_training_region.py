"""The frame around a region, cutting to it and laying maps back; skipped without torch."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinytraining import random_backbone

torch: Any = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
region: Any = importlib.import_module("training.region")
N = 40


def box(top: int, bottom: int, left: int, right: int, side: int = N) -> Any:
    made = torch.zeros(1, 1, side, side)
    made[..., top:bottom, left:right] = 1.0
    return made


def frame(mask: Any) -> list[float]:
    found: list[float] = region.frame_of(mask)[0].tolist()
    return found


def test_the_frame_is_the_box_with_a_margin_of_4_percent() -> None:
    # Columns 4..24 of 40 and rows 10..35: 20 and 25 wide.
    assert frame(box(10, 35, 4, 24)) == pytest.approx(
        [(4 - 0.8) / N, (10 - 1.0) / N, (24 + 0.8) / N, (35 + 1.0) / N]
    )


def test_the_margin_may_reach_beyond_the_picture() -> None:
    assert frame(box(0, N, 0, N)) == pytest.approx([-0.04, -0.04, 1.04, 1.04])


@pytest.mark.parametrize(
    "mask", [box(0, 0, 0, 0), box(5, 14, 5, 35), box(5, 35, 5, 14)], ids=["none", "low", "narrow"]
)
def test_a_region_too_small_to_be_one_gives_the_whole_picture(mask: Any) -> None:
    assert frame(mask) == [0.0, 0.0, 1.0, 1.0]


def test_specks_do_not_widen_the_frame() -> None:
    mask = box(10, 30, 10, 30)
    mask[..., 2:5, 2:5] = 1.0
    assert frame(mask) == frame(box(10, 30, 10, 30))


def test_pictures_have_frames_of_their_own() -> None:
    both = torch.cat([box(10, 35, 4, 24), box(0, 0, 0, 0)])
    assert region.frame_of(both).tolist() == [frame(both[:1]), frame(both[1:])]


def test_the_whole_frame_cuts_nothing_off() -> None:
    grey = torch.rand(1, 1, N, N)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    shown, inner, _ = region.cut(grey, torch.ones_like(grey), whole, N)
    assert float(inner.min()) == pytest.approx(1.0, abs=1e-4)
    order = grey.flatten().argsort()
    assert bool((shown.flatten()[order].diff() >= -1e-5).all())  # only contrast changes


def test_a_cut_is_black_outside_the_region_and_of_one_grey_inside() -> None:
    mask = box(8, 32, 10, 30)
    dark = torch.rand(1, 1, N, N, generator=torch.Generator().manual_seed(1)) * 0.1
    greys = torch.cat([dark, dark * 3.0 + 0.4])  # the same in another exposure
    masks = mask.expand(2, -1, -1, -1)
    shown, inner, _ = region.cut(greys, masks, region.frame_of(masks), 32)
    assert shown.shape == inner.shape == (2, 1, 32, 32)
    assert float(shown[inner == 0].abs().max()) == 0.0
    means = [float(each[some > 0.99].mean()) for each, some in zip(shown, inner, strict=True)]
    assert means == pytest.approx([0.5, 0.5], abs=0.03)


def test_letters_outside_the_region_change_nothing() -> None:
    mask = box(8, 32, 10, 30)
    plain = torch.rand(1, 1, N, N, generator=torch.Generator().manual_seed(2))
    lettered = plain.clone()
    lettered[..., :5, :] = 1.0
    cut = [region.cut(each, mask, region.frame_of(mask), 32)[0] for each in (plain, lettered)]
    assert torch.equal(*cut)


def test_the_tone_tells_grey_size_and_share() -> None:
    mask = box(10, 30, 4, 24)
    grey = torch.full((1, 1, N, N), 0.25)
    tone = region.cut(grey, mask, region.frame_of(mask), 64)[2][0].tolist()
    assert tone == pytest.approx([0.25, 0.03, 400 / N**2, 21.6 / N, 21.6 / N], abs=0.01)


@given(
    st.integers(0, 15), st.integers(0, 15), st.integers(16, 25), st.integers(16, 25),
    st.floats(0.1, 0.9), st.floats(0.1, 0.9),
)  # fmt: skip
def test_a_map_is_laid_back_where_it_was(
    top: int, left: int, height: int, width: int, down: float, across: float
) -> None:
    """A spot at a place of the cut comes out at the same place of the whole picture."""
    found = region.frame_of(box(top, top + height, left, left + width))
    side = 64
    step = (torch.arange(side) + 0.5) / side
    spot = torch.exp(-((step[:, None] - down) ** 2 + (step[None] - across) ** 2) / 0.005)
    back = region.uncut(spot[None, None], found, 80)[0, 0]
    near, low, far, high = found[0].tolist()
    wanted = [low + down * (high - low), near + across * (far - near)]
    place = divmod(int(back.argmax()), 80)
    assert [(each + 0.5) / 80 for each in place] == pytest.approx(wanted, abs=1.5 / 80)
    outside = torch.ones(80, 80, dtype=torch.bool)
    grid = (torch.arange(80) + 0.5) / 80
    within = ((grid >= low - 0.03) & (grid <= high + 0.03))[:, None] & (
        (grid >= near - 0.03) & (grid <= far + 0.03)
    )
    outside[within] = False
    assert float(back[outside].abs().sum()) == 0.0


@pytest.mark.parametrize(("incoming", "side"), [(64, 64), (128, 64), (96, 64), (48, 64)])
def test_resizing_keeps_the_mean(incoming: int, side: int) -> None:
    across = torch.linspace(0.0, 1.0, incoming).expand(1, 1, incoming, incoming)
    small = region.resized(across, side)
    assert small.shape == (1, 1, side, side)
    assert float(small.mean()) == pytest.approx(0.5, abs=0.01)
    if incoming == side:
        assert torch.equal(small, across)


def test_the_region_network_answers_for_every_pixel_and_finds_in_any_size() -> None:
    made = region.RegionNet(random_backbone(), 64).eval()
    with torch.no_grad():
        assert made(torch.rand(2, 1, 64, 64)).shape == (2, 1, 64, 64)
        found = made.find(torch.rand(2, 1, 128, 128))
    assert found.shape == (2, 1, 64, 64)
    assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0


def test_what_is_found_has_a_rim_of_two_pixels() -> None:
    class Spot(torch.nn.Module):  # type: ignore[misc]
        side = N

        def forward(self, grey: Any) -> Any:
            return (grey - 0.5) * 100.0

    found = region.RegionNet.find(Spot(), box(20, 22, 20, 22))
    assert torch.equal((found > 0.5).float(), box(18, 24, 18, 24))
