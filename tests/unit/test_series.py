"""Which series of a study is read, and what is said of those that are not."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from inference.manifest import SeriesSection
from inference.package import Package, read_package
from inference.routing import route
from inference.series import Chosen, choose
from tests.ctfiles import HFS, head_series, localizer, tilted
from tests.dicomfiles import PATIENT, PATIENT_ID, code, header
from tests.tinymodel import write_series_package

CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
THIN = [each * 1.25 for each in range(-24, 25)]


def section(**changes: Any) -> SeriesSection:
    values = {"minimum_slices": 8, "spacing_mm": 5.0, "minimum_coverage_mm": 40.0}
    return SeriesSection.model_validate(values | changes)


def reasons(chosen: Chosen) -> tuple[str, ...]:
    return tuple(each.reason for each in chosen.passed_over)


def series_number(chosen: Chosen) -> int:
    (number,) = {int(each.SeriesNumber) for each in chosen.headers}
    return number


def test_the_slices_of_the_series_come_from_caudal_to_cranial() -> None:
    slices = head_series(heights=list(range(30, -31, -5)))
    chosen = choose(section(), slices)
    assert [int(each.InstanceNumber) for each in chosen.headers] == list(range(13, 0, -1))
    assert chosen.passed_over == ()


PREFERRED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("soft before bone", {"ConvolutionKernel": "H31s"}, {"ConvolutionKernel": "H60s"}),
    ("soft before unknown", {"ConvolutionKernel": "STANDARD"}, {"ConvolutionKernel": "XYZ"}),
    ("unknown before bone", {"ConvolutionKernel": "XYZ"}, {"ConvolutionKernel": "BONEPLUS"}),
    ("the first of two values", {"ConvolutionKernel": ["Hr40f", "3"]}, {"ConvolutionKernel": "X"}),
    ("plain before contrast", {}, {"ContrastBolusAgent": "Omnipaque"}),
    ("plain before contrast, coded", {}, {"ContrastBolusAgentSequence": code("1")}),
    ("original before derived", {}, {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}),
    ("5 mm before 1.25 mm", {}, {"heights": THIN, "thickness": 1.25}),
    ("5 mm before 8 mm", {}, {"heights": list(range(-40, 41, 8)), "thickness": 8}),
    ("more slices", {"heights": list(range(-40, 41, 5))}, {}),
    (
        "the kernel before the spacing",
        {"heights": THIN, "thickness": 1.25},
        {"ConvolutionKernel": "XYZ"},
    ),
]


@pytest.mark.parametrize("case", PREFERRED, ids=lambda case: case[0])
@pytest.mark.parametrize("better_is", [1, 2])
def test_the_better_of_two_series_is_read(
    case: tuple[str, dict[str, Any], dict[str, Any]], better_is: int
) -> None:
    _, better, worse = case
    study = head_series(series=better_is, **better) + head_series(series=3 - better_is, **worse)
    assert series_number(choose(section(), study)) == better_is


def mixed_uids() -> list[Dataset]:
    """Two acquisitions under one Series Instance UID."""
    second = head_series(series=2)
    for each in second:
        each.SeriesInstanceUID = f"{each.StudyInstanceUID}.1"
    return head_series() + second


UNFIT: dict[str, tuple[list[Dataset], str]] = {
    "three slices": (head_series(heights=[0, 5, 10]), "3 slices, at least 8 are needed"),
    "one slice": (head_series(heights=[0]), "1 slices, at least 8 are needed"),
    "thick slices": (
        head_series(heights=list(range(0, 80, 10)), thickness=10),
        "at most 12 are read",
    ),
    "small": (head_series(heights=range(8)), "the slices cover 7 mm, at least 40 mm are needed"),
    "coronal": (head_series(axes=CORONAL), "the slices are not axial"),
    "tilted too far": (head_series(axes=tilted(40)), "the slices are not axial"),
    "mixed": (mixed_uids(), "several slices of one series lie at one place"),
    "missing": (
        [each for each in head_series() if each.InstanceNumber != 5],
        "a slice is missing: two neighbours are 10.0 mm apart",
    ),
    "no slope": (
        head_series(RescaleSlope=None),
        "the CT slices have no Rescale Slope (0028,1053)",
    ),
    "no intercept": (
        head_series(RescaleIntercept=""),
        "the CT slices have no Rescale Intercept (0028,1052)",
    ),
    "no Hounsfield units": (
        head_series(RescaleType="ED"),
        "the values of the CT slices are no Hounsfield units",
    ),
    "projection": (
        head_series(ImageType=["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 MIP"]),
        "a projection or computed map is not read",
    ),
    "bone": (
        head_series(ConvolutionKernel="BONEPLUS"),
        "the kernel is made for bone or lung, not for soft tissue",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_series_that_does_not_fit_says_why(case: str) -> None:
    slices, reason = UNFIT[case]
    chosen = choose(section(maximum_slices=12) if case == "thick slices" else section(), slices)
    assert chosen.headers == ()
    (said,) = reasons(chosen)
    assert said.endswith(reason) if case == "thick slices" else said == reason
    assert PATIENT not in said
    assert PATIENT_ID not in said


def test_slices_are_counted_as_the_model_sees_them() -> None:
    thin = head_series(heights=THIN, thickness=1.25)
    assert len(choose(section(maximum_slices=13), thin).headers) == len(THIN)
    assert reasons(choose(section(maximum_slices=12), thin)) == ("13 slices, at most 12 are read",)
    assert reasons(choose(section(minimum_slices=14), thin)) == (
        "13 slices, at least 14 are needed",
    )


def test_a_series_with_contrast_is_read_unless_the_manifest_says_otherwise() -> None:
    enhanced = head_series(ContrastBolusAgent="IOPAMIDOL")
    assert choose(section(), enhanced).headers
    assert reasons(choose(section(contrast=False), enhanced)) == (
        "the series is contrast-enhanced",
    )


@pytest.mark.parametrize("agent", ["", "NONE", "no", "N"])
def test_some_consoles_write_that_there_was_no_contrast(agent: str) -> None:
    plain = head_series(ContrastBolusAgent=agent, ContrastBolusAgentSequence=Items([]))
    assert choose(section(contrast=False), plain).headers


def test_a_model_that_takes_any_kernel_reads_bone() -> None:
    assert choose(section(kernel="any"), head_series(ConvolutionKernel="BONE")).headers


def test_without_a_spacing_any_is_read() -> None:
    assert len(choose(section(spacing_mm=None), head_series(heights=THIN)).headers) == len(THIN)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_malformed_series_disturbs_no_other() -> None:
    broken = head_series(series=2, heights=list(range(-40, 41, 5)))
    broken[3].add_new("SliceThickness", "LO", "thick")
    chosen = choose(section(), broken + head_series())
    assert series_number(chosen) == 1
    assert reasons(chosen) == ("a header element is malformed (ValueError)",)


def test_a_gantry_tilt_is_no_obstacle() -> None:
    assert len(choose(section(), head_series(axes=tilted(18.5))).headers) == 13


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return read_package(write_series_package(tmp_path_factory.mktemp("models")))


def test_of_a_whole_study_one_series_is_read(package: Package) -> None:
    bone = head_series(series=2, ConvolutionKernel="H60s")
    coronal = head_series(series=3, axes=CORONAL)
    brain = head_series(series=4)
    routed = route(package, [localizer(), *bone, *coronal, *brain])
    assert routed.fitting == tuple(each.SOPInstanceUID for each in brain)
    assert routed.reason == ""


def test_of_a_study_without_a_fitting_series_every_reason_is_told(package: Package) -> None:
    study = [localizer(), header(1), *head_series(heights=[0, 5, 10], series=2)]
    assert route(package, study).reason == (
        "a localizer is not read; modality DX is not CT; 3 slices, at least 8 are needed"
    )


def test_a_model_for_series_has_no_view_to_ask_for(package: Package) -> None:
    assert route(package, head_series(axes=HFS)).fitting
