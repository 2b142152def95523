"""Who gets which results, in which form."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    SecondaryCaptureImageStorage,
)

from inference.addressing import REPORT_CLASSES, Profile, addressed, by_style
from sr.bundle import ResultObject
from sr.findings import Normality, Reading
from sr.identity import Kind
from sr.style import Style
from tests.sr_examples import (
    READINGS,
    image_reading,
    radiograph,
    reading,
    series_reading,
    urgent,
)


def made(kind: Kind, sop_class: UID, uid: str, number: int = 1) -> ResultObject:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
    return ResultObject(kind=kind, number=number, rank=0, dataset=dataset)


OBJECTS = [
    *(made(Kind.REPORT, each, f"2.25.{i}") for i, each in enumerate(REPORT_CLASSES)),
    made(Kind.TEXT, BasicTextSRStorage, "2.25.3"),
    made(Kind.OVERLAY, SecondaryCaptureImageStorage, "2.25.10"),
    made(Kind.OVERLAY, SecondaryCaptureImageStorage, "2.25.11", number=2),
]


def sent(profile: Profile) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(each.kind, each.number, each.forms) for each in profile.letters(OBJECTS)]


def test_the_default_set_has_the_report_in_three_forms_beside_the_text() -> None:
    assert sent(Profile(destination="pacs")) == [
        ("sr", 1, ("2.25.0", "2.25.1", "2.25.2")),
        ("text", 1, ("2.25.3",)),
        ("sc", 1, ("2.25.10",)),
        ("sc", 2, ("2.25.11",)),
    ]


def test_without_the_text_report_it_is_the_last_form_of_the_measurement_report() -> None:
    profile = Profile(destination="pacs", kinds=(Kind.REPORT, Kind.OVERLAY))
    assert sent(profile)[0] == ("sr", 1, ("2.25.0", "2.25.1", "2.25.2", "2.25.3"))


@pytest.mark.parametrize(
    ("classes", "forms"),
    [
        ((EnhancedSRStorage, Comprehensive3DSRStorage), ("2.25.2", "2.25.0")),
        ((ComprehensiveSRStorage,), ("2.25.1",)),
    ],
)
def test_the_fallback_chain_is_the_sites(classes: tuple[UID, ...], forms: tuple[str, ...]) -> None:
    profile = Profile(destination="pacs", kinds=(Kind.REPORT,), report_classes=classes)
    assert sent(profile) == [("sr", 1, forms)]


def test_a_chain_of_what_goes_anyway_leaves_no_letter() -> None:
    profile = Profile(
        destination="pacs", kinds=(Kind.REPORT, Kind.TEXT), report_classes=(BasicTextSRStorage,)
    )
    assert [kind for kind, _, _ in sent(profile)] == ["text"]


@pytest.mark.parametrize(
    ("read", "negative"),
    [
        (reading(image_reading(radiograph(), Normality.NORMAL)), True),
        (reading(image_reading(radiograph(), Normality.INDETERMINATE)), False),
        (
            reading(
                image_reading(radiograph(1), Normality.NORMAL),
                image_reading(radiograph(2), Normality.ABNORMAL),
            ),
            False,
        ),
        (READINGS["normal study"]()[1], True),
        (series_reading([radiograph()], Normality.NORMAL, urgency=urgent(None)), False),
        # A model that only measures decides nothing, and so calls nothing negative.
        (READINGS["scores only"]()[1], False),
    ],
)
def test_a_negative_is_withheld_where_the_site_says_so(read: Reading, negative: bool) -> None:
    everything, findings = Profile(destination="pacs"), Profile(destination="er", negatives=False)
    wanting, reason = addressed([everything, findings], read)
    assert wanting == ([everything] if negative else [everything, findings])
    assert reason == ("negative, not sent to er" if negative else None)


def test_profiles_that_look_alike_share_their_objects() -> None:
    plain, other = Profile(destination="a"), Profile(destination="b", kinds=(Kind.OVERLAY,))
    japanese = Profile(destination="c", style=Style(language="ja"))
    groups = by_style([plain, japanese, other])
    assert [[each.destination for each in group] for _, group in groups] == [["a", "b"], ["c"]]
