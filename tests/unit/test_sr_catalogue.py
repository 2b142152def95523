"""Catalogues: every language says the same things, and all that it has is used."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from db.dispatch import LEASE_LOST
from inference.package import find_packages
from sr.catalogue import FOLDER, Catalogue, CatalogueError, catalogue
from sr.findings import NotAssessed, Urgency
from sr.notice import build_notice
from sr.overlay import build_overlay
from sr.reasons import Reason
from sr.style import LANGUAGES, Style
from sr.text import build_text_report
from sr.wording import Words
from tests.sr_examples import (
    ALGORITHM,
    READINGS,
    WHEN,
    image_reading,
    picture,
    radiograph,
    reading,
)

OTHERS = [each for each in LANGUAGES if each != "en"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_of_every_language_is_whole(language: str) -> None:
    loaded = catalogue(language)
    assert loaded.tag.startswith(f"{language}-")
    assert loaded.sentences.keys() == catalogue("en").sentences.keys()


def test_no_catalogue_is_for_a_language_that_cannot_be_chosen() -> None:
    assert {each.stem for each in FOLDER.glob("*.toml")} == set(LANGUAGES)


def test_other_languages_know_the_same_findings_and_reasons() -> None:
    first, *others = map(catalogue, OTHERS)
    for other in others:
        assert other.findings.keys() == first.findings.keys()
        assert other.reasons.keys() == first.reasons.keys()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{procedure}, {count} coupe lue", "{procedure}, une coupe", ""),
        ('study = "Examen"\n', "", "missing or unknown: study"),
        ('study = "Examen"\n', 'study = "Examen"\nstudies = "Examens"\n', "studies"),
        ('study = "Examen"', 'study = "Examen {number}"', "study has other placeholders"),
        ('study = "Examen"', 'study = "Examen {"', "Examen {"),
        ('study = "Examen"', 'study = { one = "a", other = "b" }', "study lacks a form"),
        ('decimal = ","', "", "decimal"),
        ("mal formé ({kind})", "mal formé ({king})", "other placeholders"),
    ],
)
def test_what_is_wrong_with_a_catalogue_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    text = (FOLDER / "fr.toml").read_text("utf-8")
    assert old in text
    (tmp_path / "fr.toml").write_text(text.replace(old, new), "utf-8")
    (tmp_path / "en.toml").write_bytes((FOLDER / "en.toml").read_bytes())
    monkeypatch.setattr("sr.catalogue.FOLDER", tmp_path)
    catalogue.cache_clear()
    try:
        if not message:
            assert catalogue("fr")
            return
        with pytest.raises(CatalogueError, match=message):
            catalogue("fr")
    finally:
        catalogue.cache_clear()


@pytest.mark.parametrize(("language", "encoding"), [("fr", "latin-1"), ("ja", "iso2022_jp")])
def test_texts_fit_the_character_set_that_the_language_is_sent_in(
    language: str, encoding: str
) -> None:
    loaded = catalogue(language)
    texts = [each for forms in loaded.sentences.values() for each in forms.values()]
    texts += [*loaded.findings.values(), *loaded.reasons.values()]
    for package in find_packages([]):
        texts += package.manifest.translations[language].values()
    for text in texts:
        assert text.encode(encoding).decode(encoding) == text


# -- everything is used, and nothing else is said --


def _say_everything(language: str) -> None:
    """Build what results there are, so that each sentence is said at least once."""
    style = Style(language=language, banner="Hospital")
    for make in READINGS.values():
        sources, read = make()
        read = replace(
            read,
            assessed=("Pneumonia",),
            not_assessed=(NotAssessed(images=2, reason=Reason("not an image")),),
        )
        build_text_report(sources, read, when=WHEN, style=style, predecessors=sources)
        for index, image in enumerate(read.images):
            source = next(s for s in sources if s.SOPInstanceUID == image.sop_instance_uid)
            build_overlay(sources, picture(source), read, index, when=WHEN, style=style)
    plain = radiograph()
    build_overlay([plain], picture(plain), reading(image_reading(plain)), when=WHEN, style=style)
    words = Words(language)
    for category in (1, 2, 3):
        words.urgency(Urgency(urgent=True, category=category, statement="Red."))
    for probability in (0.0, 1.0):
        words.percent(probability)
    words.area(5)
    words.slice_place(3, None)
    words.instance(None, 3)
    decision = image_reading(radiograph()).decision
    assert decision is not None
    words.operating_point(replace(decision, band=(0.1, 0.6)))
    build_notice([radiograph()], [(ALGORITHM, Reason("not an image"))], when=WHEN, style=style)


def test_every_sentence_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    said: set[str] = set()
    say = Catalogue.say

    def noted(self: Catalogue, key: str, **values: object) -> str:
        said.add(key)
        return say(self, key, **values)

    monkeypatch.setattr(Catalogue, "say", noted)
    _say_everything("en")
    code = "".join(each.read_text("utf-8") for each in Path("sr").glob("*.py"))
    unsaid = catalogue("en").sentences.keys() - said
    named = (f'"{each}"' in code or f'"{each.partition("_")[0]}_{{' in code for each in unsaid)
    assert all(named), unsaid


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_can_be_said(language: str) -> None:
    _say_everything(language)


# -- reasons --


def _templates(folder: str) -> Iterator[str]:
    """Yield the template of each reason that the code of a room gives."""
    for path in Path(folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                named = node.func.id in {"Reason", "Unfit", "PixelError"}
                first = node.args[0] if node.args else None
                if named and isinstance(first, ast.Constant):
                    yield str(first.value)


@pytest.mark.parametrize("language", OTHERS)
def test_every_reason_has_a_translation(language: str) -> None:
    given = {*_templates("inference"), LEASE_LOST, "missing"} - {"{error}"}
    assert len(given) > 30
    assert given - catalogue(language).reasons.keys() == set()
    assert catalogue(language).reasons.keys() - given == set()


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "modality missing is not CR or DX"),
        ("ja", "モダリティがCRまたはDXではない（記載なし）"),  # noqa: RUF001
        ("fr", "modalité non précisée, et non CR ou DX"),
    ],
)
def test_reason_is_told_with_its_values(language: str, expected: str) -> None:
    reason = Reason("modality {found} is not {wanted}", found="missing", wanted="CR or DX")
    assert Words(language).reason(reason) == expected


def test_reason_that_no_catalogue_has_stays_english() -> None:
    assert Words("ja").reason(Reason("{number} reasons more", number=3)) == "3 reasons more"
