"""What the settings say of a destination becomes its profile."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError
from pydicom.uid import BasicTextSRStorage, ComprehensiveSRStorage

from inference.addressing import REPORT_CLASSES, Profile
from sr.identity import SERIES_NUMBERS, Kind
from sr.style import LANGUAGES, KeyImagesFor
from wetread import sections
from wetread.profiles import profile


def destination(**results: object) -> sections.Destination:
    made = sections.Results.model_validate(results)
    return sections.Destination(
        name="pacs", ae_title="PACS", host="localhost", port=104, results=made
    )


def test_what_is_not_set_is_the_default_profile() -> None:
    assert profile(destination()) == Profile(destination="pacs")
    assert profile(destination()).report_classes == REPORT_CLASSES
    assert profile(destination()).style.key == ""


def test_every_setting_reaches_the_profile() -> None:
    made = profile(
        destination(
            send=["text", "kos"],
            language="fr",
            fallback=["comprehensive", "basic-text"],
            banner="Hôpital",
            series_numbers={"kos": 77},
            negatives=False,
            not_processed=True,
            key_images="for-research",
        )
    )
    assert made.kinds == (Kind.TEXT, Kind.KEY_IMAGES)
    assert (made.style.language, made.style.banner) == ("fr", "Hôpital")
    assert made.report_classes == (ComprehensiveSRStorage, BasicTextSRStorage)
    assert made.style.series_number(Kind.KEY_IMAGES) == 77
    assert made.style.series_number(Kind.TEXT) == SERIES_NUMBERS[Kind.TEXT]
    assert (made.negatives, made.notices) == (False, True)
    assert made.style.key_images_for is KeyImagesFor.RESEARCH


def test_the_settings_name_what_the_builders_know() -> None:
    fields = sections.Results.model_fields
    assert get_args(fields["language"].annotation) == LANGUAGES
    assert set(get_args(sections.Kind)) == {each.value for each in Kind} - {Kind.NOTICE.value}
    assert set(get_args(fields["key_images"].annotation)) == {each.value for each in KeyImagesFor}
    assert set(get_args(sections.ReportClass)) == set(sections.Results().fallback)


@pytest.mark.parametrize(
    "wrong",
    [
        {"send": []},
        {"send": ["sr", "sr"]},
        {"send": ["hl7"]},
        {"language": "de"},
        {"fallback": []},
        {"series_numbers": {"sr": 0}},
        {"series_numbers": {"mp4": 5}},
        {"banner": "x" * 65},
    ],
)
def test_what_no_destination_can_get_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        sections.Results.model_validate(wrong)


@pytest.mark.parametrize(
    "changed",
    [
        {"language": "ja"},
        {"banner": "x"},
        {"series_numbers": {"sr": 12}},
        {"key_images": "for-research"},
    ],
)
def test_objects_that_differ_have_another_style(changed: dict[str, object]) -> None:
    key = profile(destination(**changed)).style.key
    assert len(key) == 12
    assert key == profile(destination(**changed)).style.key


def test_a_number_that_is_the_default_makes_no_other_style() -> None:
    assert profile(destination(series_numbers={"sr": 903})).style.key == ""
