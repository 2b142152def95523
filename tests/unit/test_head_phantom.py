"""The head phantom: repeatable, conformant, one volume, and with the blood that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage

from inference.kernels import Kernel, kernel_of
from inference.package import read_package
from inference.routing import route
from inference.volume import volume_of
from tests.validators import dcentvfy, dciodvfy, missing_tools
from wetread.phantom import head_study
from wetread.phantom.blood import Bleeding
from wetread.phantom.head import draw_head
from wetread.phantom.head_study import HeadOptions

PACKAGE = Path(__file__).parents[2] / "inference" / "zoo" / "head-ct-triage"
BLEEDINGS: tuple[Bleeding, ...] = ("intraparenchymal", "subdural", "epidural")
MATRIX = 96
WINDOW = (40.0, 120.0)


def study(seed: int, **options: Unpack[HeadOptions]) -> list[FileDataset]:
    small: HeadOptions = {"matrix": MATRIX}
    chosen: HeadOptions = {**small, **options}
    return head_study(seed=seed, **chosen)


def hounsfield(slices: list[FileDataset]) -> NDArray[np.int64]:
    return np.stack([each.pixel_array.astype(np.int64) - 1024 for each in slices])


@pytest.fixture(scope="module")
def plain() -> list[FileDataset]:
    return study(3)


def test_the_same_seed_and_options_give_the_same_data_sets(plain: list[FileDataset]) -> None:
    assert study(3, finding="none") == plain


def test_heads_differ_and_so_do_their_identifiers(plain: list[FileDataset]) -> None:
    other = study(4, slices=2)[0]
    assert other.StudyInstanceUID != plain[0].StudyInstanceUID
    assert other.PatientID == "SYNTH-H000004"
    heads = [draw_head(seed) for seed in range(40)]
    assert {each.sex for each in heads} == {"F", "M"}
    assert len({each.half_width for each in heads}) == 40


def test_fresh_studies_differ_in_identifiers_only() -> None:
    first, second = (study(1, fresh=True, slices=2)[0] for _ in range(2))
    assert first.StudyInstanceUID != second.StudyInstanceUID
    assert first.FrameOfReferenceUID != second.FrameOfReferenceUID
    assert first.PixelData == second.PixelData


def test_slices_are_one_series_of_one_place(plain: list[FileDataset]) -> None:
    assert {each.SOPClassUID for each in plain} == {CTImageStorage}
    assert len({each.SOPInstanceUID for each in plain}) == len(plain) == 30
    assert len({(each.SeriesInstanceUID, each.FrameOfReferenceUID) for each in plain}) == 1
    heights = [float(each.ImagePositionPatient[2]) for each in plain]
    assert np.diff(heights) == pytest.approx([5.0] * 29)


def test_the_slices_read_as_one_volume_that_lies_as_it_is_looked_at(
    plain: list[FileDataset],
) -> None:
    volume = volume_of(plain[::-1], 5.0, WINDOW)
    assert volume.uids == tuple(each.SOPInstanceUID for each in plain)
    assert volume.turn.apply(plain[9].pixel_array).tolist() == plain[9].pixel_array.tolist()


def test_thin_slices_read_as_the_same_heights() -> None:
    thin = study(3, slices=49, thickness_mm=2.5)
    assert len(volume_of(thin, 5.0, WINDOW).uids) == 25


def test_the_models_choice_is_this_series() -> None:
    slices = study(3, matrix=256, slices=20)
    assert kernel_of(slices[0].ConvolutionKernel) is Kernel.SOFT
    chosen = route(read_package(PACKAGE), slices)
    assert chosen.fitting == tuple(each.SOPInstanceUID for each in slices)


def test_tissues_have_their_hounsfield_units(plain: list[FileDataset]) -> None:
    values = hounsfield(plain)
    middle = MATRIX // 2
    brain = values[17, middle - 4 : middle + 4, middle - 20 : middle - 12]
    assert 22 < brain.mean() < 42
    assert values[17].max() > 900
    assert values[:, :4, :4].max() < -950
    # The ventricles: fluid somewhere near the middle at their height.
    assert values[16:19, middle - 14 : middle + 14, middle - 6 : middle + 6].min() < 18


@pytest.mark.parametrize("kind", BLEEDINGS)
@pytest.mark.parametrize("volume_ml", [20.0, 60.0])
def test_the_blood_is_on_its_side_and_as_much_as_was_asked_for(
    plain: list[FileDataset], kind: Bleeding, volume_ml: float
) -> None:
    # Against the same head, every change by half of blood's contrast or more counts as blood.
    blood = study(3, finding=kind, side="right", volume_ml=volume_ml)
    brighter = hounsfield(blood) - hounsfield(plain) > 12
    voxel_ml = (240 / MATRIX) ** 2 * 5 / 1000
    right = brighter[:, :, : MATRIX // 2].sum() * voxel_ml
    left = brighter[:, :, MATRIX // 2 :].sum() * voxel_ml
    assert 0.55 * volume_ml < right < 1.35 * volume_ml
    assert left < 0.2 * volume_ml


def test_a_large_bleeding_pushes_the_ventricles_away() -> None:
    left, right = (
        hounsfield(study(3, finding="subdural", side=side, volume_ml=100.0))
        for side in ("left", "right")
    )
    assert fluid_column(left) + 2.0 < fluid_column(right)


def fluid_column(values: NDArray[np.int64]) -> float:
    """Where the fluid in the middle of the brain lies on average, columns."""
    middle = slice(MATRIX // 2 - 14, MATRIX // 2 + 14)
    fluid = np.clip(18 - values[13:17, middle, middle], 0, 18).sum(axis=(0, 1))
    return float((fluid * np.arange(len(fluid))).sum() / fluid.sum())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1, "finding": "cold"}, "finding is 'cold'; give none, intraparenchymal"),
        ({"seed": 1, "side": "middle"}, "side is 'middle'"),
        ({"seed": 1, "matrix": 8}, "matrix is 8"),
        ({"seed": 1, "slices": 1}, "slices is 1"),
        ({"seed": 1, "thickness_mm": 0.1}, "thickness_mm is 0.1"),
        ({"seed": 1, "slices": 40}, "reach over 200 mm"),
        ({"seed": 1, "volume_ml": 500.0}, "volume_ml is 500.0"),
    ],
)
def test_what_cannot_be_made_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        head_study(**options)


def test_validators_find_no_fault(tmp_path: Path) -> None:
    if missing := missing_tools("dciodvfy", "dcentvfy"):
        pytest.skip(missing)
    paths = []
    for each in study(9, slices=3):
        paths.append(tmp_path / f"{each.SOPInstanceUID}.dcm")
        each.save_as(paths[-1], enforce_file_format=True)
    assert [fault for path in paths for fault in dciodvfy(path)] == []
    assert dcentvfy(paths) == []
