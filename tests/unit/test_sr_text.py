"""The text report reads as a short preliminary report."""

import pytest

from sr import codes
from sr.findings import Normality, Score
from sr.text import build_text_report
from sr.wording import percent, place
from tests.sr_examples import WHEN, image_reading, radiograph, reading
from tests.validators import concept, walk


def _texts(code: str, *normality: Normality, scores: tuple[Score, ...] = ()) -> list[str]:
    sources = [radiograph(number) for number in range(1, len(normality) + 1)]
    images = [
        image_reading(source, answer, scores=scores)
        for source, answer in zip(sources, normality, strict=True)
    ]
    report = build_text_report(sources, reading(*images), when=WHEN)
    return [item.TextValue for item in walk(report) if concept(item) == code]


def test_one_finding_per_image_with_probability_and_operating_point() -> None:
    extent = Score(name=codes.GEOGRAPHIC_EXTENT, value=3, lowest=0, highest=8)
    findings = _texts("121071", Normality.ABNORMAL, Normality.NORMAL, scores=(extent,))
    assert findings[0] == (
        "Image 1 of 2 (PA): ABNORMAL, most likely pneumonia (69.7 %). "
        "Probability of abnormality 87.1 % (operating point 42.0 %). "
        "All classes: Normal 12.9 %, Pneumonia 69.7 %, COVID-19 17.4 %. "
        "Severity: Geographic extent score 3.0 (scale 0 to 8)."
    )
    assert findings[1].startswith("Image 2 of 2 (PA): NORMAL. Probability of abnormality 6.0 %")


@pytest.mark.parametrize(
    ("normality", "sentence"),
    [
        (Normality.NORMAL, "This does not exclude disease."),
        (Normality.ABNORMAL, "Prompt review is suggested."),
        (Normality.INDETERMINATE, "Please read without an AI result."),
    ],
)
def test_impression_says_what_follows(normality: Normality, sentence: str) -> None:
    assert _texts("121073", normality)[0].endswith(sentence)


def test_model_version_and_notice_are_there() -> None:
    assert "model chest-screen, version 1.2.0" in _texts("121065", Normality.NORMAL)[0]
    notice = _texts("121075", Normality.NORMAL)[0]
    assert "Not for diagnosis" in notice
    assert "physician" in notice


def test_sections_come_in_the_order_of_a_dictated_report() -> None:
    source = radiograph()
    report = build_text_report([source], reading(image_reading(source)), when=WHEN)
    sections = [item for item in report.ContentSequence if item.ValueType == "CONTAINER"]
    assert [concept(item) for item in sections] == ["121064", "121070", "121072", "121074"]


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.0, "< 0.1 %"), (0.0005, "0.1 %"), (0.5, "50.0 %"), (0.9994, "99.9 %"), (1.0, "> 99.9 %")],
)
def test_percent_is_never_rounded_to_certainty(probability: float, expected: str) -> None:
    assert percent(probability) == expected


@pytest.mark.parametrize(
    ("view", "expected"),
    [("PA", "Image 2 of 3 (PA)"), ("", "Image 2 of 3"), ("Ward^Test", "Image 2 of 3")],
)
def test_only_a_view_is_quoted_from_the_source(view: str, expected: str) -> None:
    assert place(2, 3, view) == expected
