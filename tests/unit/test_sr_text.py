"""The text report reads as a short preliminary report."""

import pytest
from pydicom import Dataset

from sr import codes
from sr.findings import Normality, Score
from sr.lines import NEW_LINE, in_lines
from sr.style import Style
from sr.text import build_text_report
from sr.wording import Words
from tests.sr_examples import (
    READINGS,
    WHEN,
    ct_slice,
    image_reading,
    radiograph,
    reading,
    series_reading,
)
from tests.validators import concept, walk


def _values(report: Dataset, code: str) -> list[str]:
    """Return texts without their line breaks."""
    values = [item.TextValue for item in walk(report) if concept(item) == code]
    return [" ".join(each.split(NEW_LINE)) for each in values]


def _texts(code: str, *normality: Normality, scores: tuple[Score, ...] = ()) -> list[str]:
    sources = [radiograph(number) for number in range(1, len(normality) + 1)]
    images = [
        image_reading(source, answer, scores=scores)
        for source, answer in zip(sources, normality, strict=True)
    ]
    report = build_text_report(sources, reading(*images), when=WHEN)
    return _values(report, code)


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


def _told(name: str, code: str) -> list[str]:
    sources, read = READINGS[name]()
    return _values(build_text_report(sources, read, when=WHEN), code)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("scores only", "Severity: Geographic extent score 3.2 (scale 0 to 8), Opacity score 2.0"),
        ("grade", "Diabetic retinopathy grade: moderate (71.0 %); all levels: None 4.0 %, Mild"),
        ("detection", " 2 findings marked: (1) mass 91.0 %, (2) mass 62.0 %."),
        ("segmentation", "MEASURED ONLY. Lesion covers 8.1 % of the image."),
        ("calibrated segmentation", "Lesion covers 2.3 cm2 (8.1 % of the image). No lesion outl"),
    ],
)
def test_finding_tells_what_was_measured(name: str, sentence: str) -> None:
    (finding,) = _told(name, "121071")
    assert sentence in finding


@pytest.mark.parametrize("name", ["scores only", "grade", "segmentation"])
def test_model_that_only_measures_says_so_and_never_normal(name: str) -> None:
    paragraphs = _told(name, "121071") + _told(name, "121073")
    assert "The model only measures; it calls nothing" in paragraphs[-1]
    assert not any("normal" in each.lower() for each in paragraphs)


def test_study_that_was_read_as_a_whole_is_one_paragraph() -> None:
    assert _told("abnormal study", "121071") == [
        "CT Head, 4 slices read: URGENT, ABNORMAL, most likely intracranial haemorrhage (87.1 %). "
        "Probability of abnormality 87.1 % (operating point 42.0 %). "
        "All classes: Normal 12.9 %, Intracranial haemorrhage 87.1 %. "
        "Most suspicious slices: instance 12 (57.3 %), instance 13 (42.0 %), instance 11 (31.0 %)."
    ]
    assert _told("abnormal study", "121065")[0].startswith("CT Head; 4 slices read by")


@pytest.mark.parametrize(
    ("name", "impression"),
    [
        (
            "abnormal study",
            "URGENT, ABNORMAL, most likely intracranial haemorrhage (87.1 %). Called abnormal by "
            "the model. Prompt review is suggested. ACR category 2, within hours: Red triage tag.",
        ),
        (
            "normal study",
            "NORMAL. No abnormality called by the model. This does not exclude disease. Can wait.",
        ),
        (
            "indeterminate study",
            "INDETERMINATE. The model could not decide. Please read without an AI result. "
            "Triage without AI result.",
        ),
    ],
)
def test_impression_of_a_study_says_what_follows(name: str, impression: str) -> None:
    assert _told(name, "121073") == [impression]


def test_urgency_of_a_study_stands_before_its_images() -> None:
    impressions = _told("classification", "121073")
    assert impressions[0] == "Study: URGENT, ACR category 2, within hours: Red triage tag."
    assert len(impressions) == 4
    assert _told("grade", "121073")[0] == "Study: Triage without AI result."


def test_slice_without_a_number_is_named_by_its_place() -> None:
    source = ct_slice()
    source.add_new("InstanceNumber", "IS", None)
    report = build_text_report([source], series_reading([source]), when=WHEN)
    (told,) = _values(report, "121071")
    assert told.endswith("Most suspicious slices: number 1 of those shown (31.0 %).")


def test_model_version_and_notice_are_there() -> None:
    assert "model chest-screen, version 1.2.0" in _texts("121065", Normality.NORMAL)[0]
    notice = _texts("121075", Normality.NORMAL)[0]
    assert "Not for diagnosis" in notice
    assert "physician" in notice


def test_sections_come_in_the_order_of_a_dictated_report() -> None:
    source = radiograph()
    report = build_text_report([source], reading(image_reading(source)), when=WHEN)
    sections = [item for item in report.ContentSequence if item.ValueType == "CONTAINER"]
    sections_ = [concept(item) for item in sections]
    assert sections_ == ["121064", "121070", "121072", "121074"]


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.0, "< 0.1 %"), (0.0005, "0.1 %"), (0.5, "50.0 %"), (0.9994, "99.9 %"), (1.0, "> 99.9 %")],
)
def test_percent_is_never_rounded_to_certainty(probability: float, expected: str) -> None:
    assert Words().percent(probability) == expected


@pytest.mark.parametrize(
    ("view", "expected"),
    [("PA", "Image 2 of 3 (PA)"), ("", "Image 2 of 3"), ("Ward^Test", "Image 2 of 3")],
)
def test_only_a_view_is_quoted_from_the_source(view: str, expected: str) -> None:
    assert Words().place(2, 3, view) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.26, "0.3 mm2"), (9.94, "9.9 mm2"), (45.2, "45 mm2"), (99.4, "99 mm2"), (1240, "12.4 cm2")],
)
def test_area_is_told_in_the_unit_that_reads_best(value: float, expected: str) -> None:
    assert Words().area(value) == expected


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        (12, "Slice with instance number 12, one of 3 shown"),
        (None, "Slice, one of 3 shown"),
    ],
)
def test_slice_is_named_by_its_instance_number(instance: int | None, expected: str) -> None:
    assert Words().slice_place(3, instance) == expected


def _columns(line: str) -> int:
    return sum(2 if ord(each) > 0x3000 else 1 for each in line)


@pytest.mark.parametrize("language", ["en", "ja", "fr"])
@pytest.mark.parametrize("name", READINGS)
def test_no_line_of_a_finding_is_longer_than_a_page_is_wide(name: str, language: str) -> None:
    sources, read = READINGS[name]()
    report = build_text_report(sources, read, when=WHEN, style=Style(language=language))
    findings = [item.TextValue for item in walk(report) if concept(item) == "121071"]
    lines = [line for each in findings for line in each.split(NEW_LINE)]
    assert lines
    assert all(0 < _columns(each) <= 92 for each in lines)  # a closing bracket may hang


def test_statements_have_lines_of_their_own() -> None:
    assert in_lines(["One two three.", "Four."], 8) == "One two\r\nthree.\r\nFour."
    assert in_lines(["肺炎を認める。"], 8) == "肺炎を認\r\nめる。"
