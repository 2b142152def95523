"""The phantom: repeatable, conformant, and dense where a chest is dense."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Unpack

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from inference.pixels import displayed
from wetread.phantom import chest_study, write_study
from wetread.phantom.anatomy import Side, draw_anatomy
from wetread.phantom.exposure import FIELD_MM, attenuate
from wetread.phantom.header import Modality, Photometric
from wetread.phantom.study import StudyOptions

MODALITIES: tuple[Modality, ...] = ("DX", "CR")
PHOTOMETRICS: tuple[Photometric, ...] = ("MONOCHROME1", "MONOCHROME2")


def small(options: StudyOptions) -> StudyOptions:
    size: StudyOptions = {"rows": 250, "columns": 205}
    return {**size, **options}


def study(seed: int, **options: Unpack[StudyOptions]) -> list[FileDataset]:
    return chest_study(seed=seed, **small(options))


def picture(seed: int, **options: Unpack[StudyOptions]) -> NDArray[np.float64]:
    return displayed(study(seed, **options)[0]).astype(np.float64)


def mean_in(grey: NDArray[np.float64], x_mm: tuple[int, int], y_mm: tuple[int, int]) -> float:
    """Mean of a box; x from the midline to the patient's left, y from the upper edge."""
    pitch = FIELD_MM / grey.shape[0]
    middle = grey.shape[1] / 2
    left, right = (round(middle + x / pitch) for x in x_mm)
    upper, lower = (round(y / pitch) for y in y_mm)
    return float(grey[upper:lower, left:right].mean())


def test_the_same_seed_and_options_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_study(tmp_path / "a", seed=3, **small({"images": 2}))
    attenuate.cache_clear()
    second = write_study(tmp_path / "b", seed=3, **small({"images": 2}))
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_asking_for_a_default_changes_nothing() -> None:
    plain = study(3)[0]
    named = study(3, finding="none", modality="DX")[0]
    assert named.SOPInstanceUID == plain.SOPInstanceUID
    assert named.PixelData == plain.PixelData


def test_seeds_and_findings_have_their_own_identifiers_and_pixels() -> None:
    studies = [study(seed)[0] for seed in (1, 2, 3)]
    studies.append(study(1, finding="consolidation")[0])
    assert len({study.StudyInstanceUID for study in studies}) == 4
    assert len({study.SOPInstanceUID for study in studies}) == 4
    assert len({study.PixelData for study in studies}) == 4
    assert [study.PatientID for study in studies[:3]] == [f"SYNTH-00000{n}" for n in (1, 2, 3)]


def test_fresh_studies_differ_in_identifiers_only() -> None:
    first, second = (study(1, fresh=True)[0] for _ in range(2))
    assert first.StudyInstanceUID != second.StudyInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.PixelData == second.PixelData


def test_exposures_share_a_series_and_differ_in_noise() -> None:
    first, second = study(1, images=2)
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    difference = first.pixel_array.astype(float) - second.pixel_array
    assert 0.0 < np.abs(difference).mean() < 0.02 * 2**first.BitsStored


def test_patients_differ_in_build() -> None:
    builds = [draw_anatomy(seed) for seed in range(40)]
    assert len({build.thorax_mm for build in builds}) == 40
    assert {build.sex for build in builds} == {"F", "M"}
    assert {build.rib_pairs for build in builds} == {11, 12}
    assert all((build.breast_mm > 0.0) == (build.sex == "F") for build in builds)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("photometric", PHOTOMETRICS)
def test_pixels_fill_the_stored_bits(modality: Modality, photometric: Photometric) -> None:
    dataset = study(4, modality=modality, photometric=photometric)[0]
    top = 2**dataset.BitsStored - 1
    assert dataset.pixel_array.shape == (250, 205)
    assert dataset.pixel_array.max() <= top
    assert dataset.pixel_array.max() - dataset.pixel_array.min() > 0.85 * top


@pytest.mark.parametrize("seed", range(4))
def test_lungs_are_darker_than_the_middle_and_the_abdomen_and_lighter_than_air(seed: int) -> None:
    grey = picture(seed)
    right, left = mean_in(grey, (-90, -60), (120, 170)), mean_in(grey, (70, 95), (120, 170))
    middle = mean_in(grey, (-12, 12), (160, 240))
    belly = mean_in(grey, (-60, -30), (340, 400))
    air = mean_in(grey, (-172, -160), (2, 12))
    assert air + 20 < min(right, left)
    assert max(right, left) + 60 < min(middle, belly)


@pytest.mark.parametrize("seed", range(4))
def test_the_heart_lies_to_the_left(seed: int) -> None:
    grey = picture(seed)
    left, right = mean_in(grey, (45, 60), (225, 245)), mean_in(grey, (-60, -45), (225, 245))
    assert left > right + 30


@pytest.mark.parametrize("seed", range(4))
def test_the_right_dome_of_the_diaphragm_stands_higher(seed: int) -> None:
    grey = picture(seed)
    pitch = FIELD_MM / len(grey)

    def crest(x_mm: int) -> float:
        """Where the column at ``x_mm`` whitens most within 6 mm, below the hilum."""
        column = round(grey.shape[1] / 2 + x_mm / pitch)
        profile = grey[round(230 / pitch) : round(330 / pitch), column - 2 : column + 3].mean(
            axis=1
        )
        return float(np.argmax(profile[3:] - profile[:-3]) * pitch)

    assert crest(-75) + 2 < crest(75)


def test_the_marker_lies_at_the_patients_left() -> None:
    with_marker = study(1)[0].pixel_array.astype(float)
    without = study(1, marker=False)[0].pixel_array.astype(float)
    changed = np.argwhere(with_marker - without > 0.4 * 2**14)
    assert len(changed) > 20
    assert changed[:, 1].min() > 150
    assert changed[:, 0].max() < 40


def test_monochrome1_is_the_inverse_and_displays_alike() -> None:
    dense_high = study(5, photometric="MONOCHROME2")[0]
    dense_low = study(5, photometric="MONOCHROME1")[0]
    top = 2**dense_high.BitsStored - 1
    assert np.array_equal(dense_low.pixel_array, top - dense_high.pixel_array)
    difference = displayed(dense_high).astype(int) - displayed(dense_low)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(("side", "other"), [("right", "left"), ("left", "right")])
def test_a_consolidation_whitens_its_own_lung_only(side: Side, other: Side) -> None:
    change = picture(6, finding="consolidation", side=side) - picture(6)
    lungs: dict[Side, tuple[int, int]] = {"right": (-110, -60), "left": (75, 115)}
    assert mean_in(change, lungs[side], (210, 250)) > 30
    assert abs(mean_in(change, lungs[other], (210, 250))) < 6
    assert abs(mean_in(change, lungs[side], (85, 110))) < 12


def test_ground_glass_hazes_both_lungs_less_than_a_consolidation() -> None:
    plain = picture(6)
    haze = picture(6, finding="ground-glass") - plain
    right, left = mean_in(haze, (-120, -60), (180, 250)), mean_in(haze, (90, 125), (180, 250))
    assert min(right, left) > 5
    assert max(right, left) < mean_in(
        picture(6, finding="consolidation") - plain, (-110, -60), (210, 250)
    )


def test_level_and_extent_move_and_grow_a_consolidation() -> None:
    plain = picture(7)

    def change(level: float, extent: float) -> NDArray[np.float64]:
        return picture(7, finding="consolidation", level=level, extent=extent) - plain

    upper, lower = change(0.3, 0.3), change(0.8, 0.3)
    assert mean_in(upper, (-100, -50), (110, 160)) > mean_in(lower, (-100, -50), (110, 160)) + 20
    assert change(0.8, 0.9).clip(0).sum() > 1.5 * lower.clip(0).sum()


def test_the_header_is_honest_about_its_origin() -> None:
    dataset = study(1)[0]
    assert str(dataset.PatientName) == "SYNTHETIC^CHEST"
    assert dataset.ImageComments == "Synthetic image, no patient"
    assert "ynthetic" in dataset.InstitutionName
    # The node takes objects made by "wetread", model "wetread", for its own results.
    assert (dataset.Manufacturer, dataset.ManufacturerModelName) == ("wetread phantom",) * 2
    assert list(dataset.ImageType) == ["ORIGINAL", "PRIMARY"]


def test_identity_and_date_can_be_given() -> None:
    dataset = study(
        1, patient_name="TEST^A", patient_id="P1", accession="A1",
        study_date="20200229", study_time="101112",
    )[0]  # fmt: skip
    assert (str(dataset.PatientName), dataset.PatientID) == ("TEST^A", "P1")
    assert dataset.AccessionNumber == "A1"
    assert (dataset.StudyDate, dataset.ContentTime) == ("20200229", "101112")
    assert int(dataset.StudyDate[:4]) - int(dataset.PatientBirthDate[:4]) == int(
        dataset.PatientAge[:3]
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1, "rows": 10}, "rows is 10"),
        ({"seed": 1, "columns": 90_000}, "columns is 90000"),
        ({"seed": 1, "images": 0}, "images is 0"),
        ({"seed": 1, "level": 1.5}, "level is 1.5"),
        ({"seed": 1, "extent": -0.1}, "extent is -0.1"),
        ({"seed": 1, "finding": "cold"}, "finding is 'cold'; give none, consolidation"),
        ({"seed": 1, "side": "middle"}, "side is 'middle'"),
        ({"seed": 1, "modality": "CT"}, "modality is 'CT'; give DX, CR"),
        ({"seed": 1, "photometric": "RGB"}, "photometric is 'RGB'"),
    ],
)
def test_what_cannot_be_made_is_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        chest_study(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("photometric", PHOTOMETRICS)
def test_files_are_part_10_and_read_back(
    tmp_path: Path, modality: Modality, photometric: Photometric
) -> None:
    made = study(8, modality=modality, photometric=photometric)[0]
    options = small({"modality": modality, "photometric": photometric})
    path = write_study(tmp_path, seed=8, **options)[0]
    read = dcmread(path)
    sop_class = {
        "DX": DigitalXRayImageStorageForPresentation,
        "CR": ComputedRadiographyImageStorage,
    }[modality]
    assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert read.SOPClassUID == read.file_meta.MediaStorageSOPClassUID == sop_class
    assert read == made


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("photometric", PHOTOMETRICS)
def test_dciodvfy_finds_no_fault(
    tmp_path: Path, modality: Modality, photometric: Photometric
) -> None:
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.skip("dciodvfy (package dicom3tools) is not installed")
    options = small({"modality": modality, "photometric": photometric})
    path = write_study(tmp_path, seed=9, **options)[0]
    done = subprocess.run(
        [dciodvfy, "-new", str(path)], capture_output=True, text=True, check=False
    )
    faults = [line for line in done.stderr.splitlines() if "Error" in line or "Warning" in line]
    assert faults == []
    assert done.returncode == 0


def test_a_plate_of_another_shape_shows_the_same_field() -> None:
    wide: FileDataset = study(1, rows=250, columns=250)[0]
    tall: FileDataset = study(1, rows=500, columns=410)[0]
    assert float(wide.ImagerPixelSpacing[0]) * 250 == pytest.approx(FIELD_MM, abs=0.01)
    assert float(tall.ImagerPixelSpacing[0]) * 500 == pytest.approx(FIELD_MM, abs=0.01)
    lung = [
        mean_in(displayed(dataset).astype(np.float64), (-90, -60), (120, 170))
        for dataset in (wide, tall)
    ]
    assert lung[0] == pytest.approx(lung[1], abs=12)
