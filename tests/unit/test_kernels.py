"""Names of reconstruction kernels, vendor by vendor."""

from __future__ import annotations

import pytest

from inference.kernels import Kernel, kernel_of

SOFT = {
    "GE": ["STANDARD", "STD", "STD+", "STND", "SOFT", "Standard", "SOFT "],
    "Siemens": ["H10s", "H31s", "H40s", "H45f", "J30s", "J40f", "Hr38", "Hr40f", "B30f", "Hc40"],
    "Philips": ["UA", "UB", "A", "B"],
    "Canon": ["FC20", "FC21", "FC26", "FC27", "FC62", "FC64", "FC68", "FC08", "FC13-H"],
    "United Imaging": ["H_SOFT_B"],
}
SHARP = {
    "GE": ["BONE", "BONEPLUS", "BONE+", "EDGE", "LUNG", "DETAIL", "ULTRA"],
    "Siemens": ["H50s", "H60s", "H70h", "B60f", "B70s", "J70h", "Hr59", "Hr64", "Bl64d"],
    "Philips": ["C", "D", "E", "YC"],
    "Canon": ["FC30", "FC35", "FC80", "FC81", "FC51"],
    "United Imaging": ["B_SHARP_C"],
}


@pytest.mark.parametrize("vendor", SOFT)
def test_kernels_for_soft_tissue(vendor: str) -> None:
    assert {each: kernel_of(each) for each in SOFT[vendor]} == dict.fromkeys(
        SOFT[vendor], Kernel.SOFT
    )


@pytest.mark.parametrize("vendor", SHARP)
def test_kernels_for_bone_and_lung(vendor: str) -> None:
    assert {each: kernel_of(each) for each in SHARP[vendor]} == dict.fromkeys(
        SHARP[vendor], Kernel.SHARP
    )


@pytest.mark.parametrize("name", ["", "FC74", "FCX", "SB", "F20", "KERNEL", "5", "H", "x" * 99])
def test_other_names_mean_nothing(name: str) -> None:
    assert kernel_of(name) is Kernel.UNKNOWN
