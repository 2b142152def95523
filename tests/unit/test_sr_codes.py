"""Codes fit their value representations, and private schemes declare themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from sr import codes
from sr.findings import checked_code
from sr.report import build_report
from tests.sr_examples import WHEN, image_reading, radiograph, reading

_CONSTANTS = {name: value for name, value in vars(codes).items() if isinstance(value, Code)}


@pytest.mark.parametrize("name", _CONSTANTS)
def test_every_constant_fits(name: str) -> None:
    checked_code(_CONSTANTS[name])


def test_every_dcm_code_is_one_of_the_standard() -> None:
    known = {getattr(standard.DCM, each).value for each in standard.DCM.dir()}
    used = {code.value for code in _CONSTANTS.values() if code.scheme_designator == "DCM"}
    assert used <= known


@given(value=st.text(min_size=1, max_size=16), label=st.text(min_size=1, max_size=80))
def test_probability_of_any_class_has_a_code_that_fits(value: str, label: str) -> None:
    checked_code(codes.class_probability(Code(value, "99SITE", "x"), label))

    checked_code(codes.class_area(Code(value, "99SITE", "x"), label))
    checked_code(codes.class_share(Code(value, "99SITE", "x"), label))
    checked_code(codes.level_probability(Code(value, "99SITE", "x"), 12, label))


def test_long_codes_stay_apart() -> None:
    first, second = (Code(f"123456789012345{digit}", "SCT", "x") for digit in (1, 2))
    assert codes.class_probability(first, "x").value != codes.class_probability(second, "x").value


def test_what_is_told_of_one_class_has_names_of_its_own() -> None:
    names = [
        codes.class_probability(codes.OPACITY, "x"),
        codes.class_area(codes.OPACITY, "x"),
        codes.class_share(codes.OPACITY, "x"),
        codes.level_probability(codes.OPACITY, 0, "x"),
        codes.level_probability(codes.OPACITY, 1, "x"),
    ]
    assert len({each.value for each in names}) == len(names)


def test_every_category_of_urgency_is_one_of_the_standard() -> None:
    known = {getattr(standard.cid7035, each).value for each in standard.cid7035.dir()}
    assert {codes.actionable(category).value for category in (1, 2, 3)} == known


@pytest.mark.parametrize(
    ("span", "value"), [((0, 8), "{0:8}"), ((-1.5, 1), "{-1.5:1}"), ((-1.23456e-9, 1e99), "1")]
)
def test_scale_is_its_own_unit(span: tuple[float, float], value: str) -> None:
    assert codes.scale_unit(*span).value == value


def test_private_schemes_of_a_site_are_declared_too() -> None:
    source = radiograph()
    read = reading(image_reading(source))
    site = type(read)(
        algorithm=read.algorithm, procedure=Code("X1", "99SITE", "Local"), images=read.images
    )
    report = build_report([source], site, when=WHEN)
    declared = [each.CodingSchemeDesignator for each in report.CodingSchemeIdentificationSequence]
    assert declared == ["99SITE", "99WETREAD"]
