"""Results in Japanese and French: translated text, English codes, and valid objects."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from sr.bundle import build_results
from sr.document import to_bytes
from sr.findings import NotAssessed, Reading
from sr.identity import Kind
from sr.lines import NEW_LINE
from sr.reasons import Reason
from sr.style import LANGUAGES, Style
from sr.text import build_text_report
from sr.wording import Words
from tests import validators
from tests.sr_examples import (
    READINGS,
    SEVERITY,
    WHEN,
    as_file,
    image_reading,
    japanese,
    latin,
    picture,
    radiograph,
    reading,
    received,
    spot,
)

_TOOLS = validators.missing_tools("dciodvfy", "dsrdump", "dcm2pnm")
OWN = {"ja": {"Pneumonia": "市中肺炎"}, "fr": {"Pneumonia": "pneumopathie"}}


def _told(report: Dataset, code: str, between: str = " ") -> list[str]:
    """Return texts, with something else than line breaks between their lines."""
    items = [each for each in validators.walk(report) if validators.concept(each) == code]
    return [each.TextValue.replace(NEW_LINE, between) for each in items]


def _text(read: Reading, source: Dataset, language: str, *predecessors: Dataset) -> Dataset:
    style = Style(language=language)
    return build_text_report([source], read, when=WHEN, style=style, predecessors=predecessors)


def _screened(source: Dataset) -> Reading:
    return reading(image_reading(source, scores=SEVERITY))


@pytest.mark.parametrize(
    ("language", "finding"),
    [
        (
            "ja",
            "画像（PA）：異常あり、最も疑われる所見は肺炎（69.7%）。"  # noqa: RUF001
            "異常の確率 87.1%（閾値 42.0%）。"  # noqa: RUF001
            "各分類の確率：正常 12.9%、肺炎 69.7%、COVID-19 17.4%。"  # noqa: RUF001
            "重症度：陰影範囲スコア 3.2（尺度0-8）、陰影濃度スコア 2.0（尺度0-6）。",  # noqa: RUF001
        ),
        (
            "fr",
            "Image (PA) : ANORMAL, le plus probable : pneumonie (69,7 %). "
            "Probabilité d'anomalie 87,1 % (seuil 42,0 %). "
            "Toutes les classes : normal 12,9 %, pneumonie 69,7 %, COVID-19 17,4 %. "
            "Sévérité : score d'étendue 3,2 (échelle de 0 à 8), "
            "score d'opacité 2,0 (échelle de 0 à 6).",
        ),
    ],
)
def test_finding_reads_as_a_radiologist_writes(language: str, finding: str) -> None:
    source = radiograph()
    between = "" if language == "ja" else " "
    assert _told(_text(_screened(source), source, language), "121071", between) == [finding]


@pytest.mark.parametrize(("language", "expected"), [("ja", "市中肺炎"), ("fr", "pneumopathie")])
def test_a_models_own_words_go_before_those_of_the_catalogue(language: str, expected: str) -> None:
    source = radiograph()
    read = replace(_screened(source), translations=OWN)
    assert expected in _told(_text(read, source, language), "121073")[0]
    assert "pneumonia" in _told(_text(read, source, "en"), "121073")[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_notice_has_the_english_words(language: str) -> None:
    source = radiograph()
    report = _text(_screened(source), source, language)
    assert "not for diagnosis" in _told(report, "121075")[0].lower()
    assert len(Words(language).disclaimer) <= 64  # PS3.5 section 6.2, VR LO: Code Meaning


def test_japanese_notice_says_what_the_law_wants_said() -> None:
    assert "診断には使用しない" in Words("ja").notice
    assert "診断には使用しない" in Words("ja").disclaimer


@pytest.mark.parametrize(("language", "tag"), [("en", "en-US"), ("ja", "ja-JP"), ("fr", "fr-FR")])
def test_report_states_its_language(language: str, tag: str) -> None:
    sources, read = READINGS["classification"]()
    results = build_results(sources, {}, read, when=WHEN, style=Style(language=language))
    for each in results.objects:
        spoken = next(i for i in each.dataset.ContentSequence if validators.concept(i) == "121049")
        assert spoken.ConceptCodeSequence[0].CodeValue == tag
        assert spoken.ConceptCodeSequence[0].CodingSchemeDesignator == "RFC5646"


def _meanings(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.keyword in ("CodeMeaning", "CodeValue"):
            yield element.value


@pytest.mark.parametrize("name", READINGS)
def test_codes_stay_english(name: str) -> None:
    sources, read = READINGS[name]()
    english = build_text_report(sources, read, when=WHEN)
    for language in ("ja", "fr"):
        style = Style(language=language)
        other = build_text_report(sources, read, when=WHEN, style=style)
        different = set(_meanings(other)) - set(_meanings(english))
        assert all(each.isascii() for each in different)
        assert len(different) == 2  # the language and its tag


def test_what_was_not_assessed_is_told() -> None:
    source = radiograph()
    left_out = (
        NotAssessed(images=1, reason=Reason("a localizer is not read")),
        NotAssessed(
            images=2, reason=Reason("view {found} is not {wanted}", found="LL", wanted="PA")
        ),
    )
    assessed = ("Pneumonia", "COVID-19", "Opacity score")
    read = replace(_screened(source), assessed=assessed, not_assessed=left_out)
    assert _told(_text(read, source, "en"), "121073")[1:] == [
        "Assessed only: pneumonia, COVID-19, opacity score; nothing else was assessed.",
        "1 image was not read: a localizer is not read.",
        "2 images were not read: view LL is not PA.",
    ]
    assert _told(_text(read, source, "fr"), "121073")[1:] == [
        "Recherché uniquement : pneumonie, COVID-19, score d'opacité ; "
        "rien d'autre n'a été évalué.",
        "1 image non lue : les images de repérage ne sont pas lues.",
        "2 images non lues : incidence LL, et non PA.",
    ]
    assert _told(_text(read, source, "ja"), "121073")[1:] == [
        "評価対象は肺炎、COVID-19、陰影濃度スコアのみ。その他は評価していない。",
        "未解析の画像1枚：位置決め画像は解析対象外。",  # noqa: RUF001
        "未解析の画像2枚：撮影方向がPAではない（LL）。",  # noqa: RUF001
    ]


def test_report_says_that_it_replaces_another() -> None:
    source = radiograph()
    read = _screened(source)
    assert len(_told(_text(read, source, "en"), "121065")) == 1
    again = _told(_text(read, source, "en", radiograph(2)), "121065")
    assert again[1] == "This report replaces an earlier AI report on this study."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("classification", [2, 3]),
        ("abnormal study", [1, 2, 3]),
        ("normal study", []),
        ("indeterminate study", [1, 2, 3]),
        ("detection", [1]),
        ("grade", []),
    ],
)
def test_key_images_are_those_to_look_at(name: str, expected: list[int]) -> None:
    sources, read = READINGS[name]()
    report = build_text_report(sources, read, when=WHEN)
    impressions = [each for each in validators.walk(report) if validators.concept(each) == "121073"]
    shown = [image for each in impressions for image in each.get("ContentSequence", [])]
    uids = [each.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for each in shown]
    assert uids == [sources[each - 1].SOPInstanceUID for each in expected]


# -- valid objects, whatever the character set --


@pytest.mark.parametrize(
    ("make", "language", "kept"),
    [(japanese, "ja", True), (japanese, "fr", False), (latin, "fr", True), (latin, "ja", False)],
)
def test_character_set_holds_what_is_said(
    make: Callable[[], Dataset], language: str, kept: bool
) -> None:
    source = received(make())
    stored = received(make()).get_item("PatientName")
    read = _screened(source)
    report = dcmread(BytesIO(to_bytes(_text(read, source, language))))
    assert report.PatientName == make().PatientName
    assert (report.SpecificCharacterSet == make().SpecificCharacterSet) is kept
    if kept:
        raw = dcmread(BytesIO(to_bytes(_text(read, source, language)))).get_item("PatientName")
        assert raw is not None
        assert stored is not None
        assert raw.value == stored.value
    assert Words(language).notice in _told(report, "121075")


@pytest.mark.skipif(bool(_TOOLS), reason=_TOOLS)
@pytest.mark.parametrize("language", ["ja", "fr"])
@pytest.mark.parametrize("make", [radiograph, japanese, latin])
def test_results_are_valid_in_every_language(
    make: Callable[[], Dataset], language: str, tmp_path: Path
) -> None:
    source = received(make())
    (tmp_path / "source.dcm").write_bytes(as_file(make()))
    read = reading(image_reading(source, heatmap=spot(2, 5), scores=SEVERITY))
    pictures = {str(source.SOPInstanceUID): picture(source)}
    style = Style(language=language, banner="病院")
    results = build_results([source], pictures, read, when=WHEN, style=style)
    for each in results.objects:
        path = tmp_path / f"{each.kind.value}-{each.rank}.dcm"
        path.write_bytes(to_bytes(each.dataset))
        readable = validators.dcm2pnm if each.kind is Kind.OVERLAY else validators.dsrdump
        assert validators.dciodvfy(path) + readable(path) == [], path.name
        assert validators.rule_violations(path, tmp_path / "source.dcm") == [], path.name


@pytest.mark.slow
@pytest.mark.timeout(300)  # Java starts slowly on a busy machine
@pytest.mark.skipif(not validators.PIXELMED.exists(), reason="not installed: PixelMed")
def test_text_report_with_all_its_parts_follows_its_template(tmp_path: Path) -> None:
    sources, read = READINGS["abnormal study"]()
    left_out = NotAssessed(images=1, reason=Reason("a localizer is not read"))
    read = replace(read, assessed=("Intracranial haemorrhage",), not_assessed=(left_out,))
    style = Style(language="ja")
    report = build_text_report(sources, read, when=WHEN, style=style, predecessors=sources[:1])
    path = tmp_path / "report.dcm"
    path.write_bytes(to_bytes(report))
    assert validators.pixelmed(path) == []
