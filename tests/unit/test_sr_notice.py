"""The notice that nothing was read: one line per model, and never to be taken for a result."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset

from sr.document import to_bytes
from sr.findings import Algorithm
from sr.notice import build_notice
from sr.patient import SourceError
from sr.reasons import Reason
from sr.style import LANGUAGES, Style
from tests import validators
from tests.sr_examples import ALGORITHM, WHEN, as_file, japanese, latin, radiograph, received

HEAD = replace(ALGORITHM, name="head-screen", title="Head CT triage")
VIEW = Reason("view {found} is not {wanted}", found="missing", wanted="PA or AP")
MODALITY = Reason("modality {found} is not {wanted}", found="DX", wanted="CT")
_TOOLS = validators.missing_tools("dciodvfy", "dsrdump")


def _told(notice: Dataset) -> dict[str, list[str]]:
    """Return the text values by the code of their concept name."""
    found: dict[str, list[str]] = {}
    for item in validators.walk(notice):
        if item.ValueType == "TEXT" and item.RelationshipType == "CONTAINS":
            found.setdefault(validators.concept(item), []).append(item.TextValue)
    return found


def _notice(
    *skipped: tuple[Algorithm, Reason], source: Dataset | None = None, language: str = "en"
) -> Dataset:
    return build_notice(
        [source or received(radiograph())],
        skipped or [(ALGORITHM, VIEW), (HEAD, MODALITY)],
        when=WHEN,
        style=Style(language=language),
    )


def test_each_model_has_a_line_with_its_reason() -> None:
    told = _told(_notice())
    assert told["121071"] == [
        "Not processed by Chest radiograph screening: view missing is not PA or AP.",
        "Not processed by Head CT triage: modality DX is not CT.",
    ]
    assert told["121073"] == ["Not read by AI. This is not a negative result."]
    assert "not for diagnosis" in told["121075"][0]


def test_reasons_of_one_model_stand_in_one_line() -> None:
    told = _told(_notice((ALGORITHM, VIEW), (ALGORITHM, MODALITY)))
    assert told["121071"] == [
        "Not processed by Chest radiograph screening: view missing is not PA or AP; "
        "modality DX is not CT."
    ]


@pytest.mark.parametrize(
    ("language", "finding", "impression"),
    [
        ("ja", "モダリティがCTではない（DX）。", "陰性を意味するものではない。"),  # noqa: RUF001
        ("fr", "modalité DX, et non CT.", "Ceci n'est pas un résultat négatif."),
    ],
)
def test_other_languages_say_the_same(language: str, finding: str, impression: str) -> None:
    told = _told(_notice(language=language))
    assert told["121071"][1].endswith(finding)
    assert told["121073"][0].endswith(impression)
    assert "not for diagnosis" in told["121075"][0]


def test_every_model_is_named_as_equipment() -> None:
    named = [each.ManufacturerModelName for each in _notice().ContributingEquipmentSequence]
    assert named == ["chest-screen", "head-screen"]


def test_uids_depend_on_models_versions_and_reasons() -> None:
    other = replace(HEAD, version="9")
    notices = [
        _notice((HEAD, MODALITY)),
        _notice((HEAD, VIEW)),
        _notice((other, MODALITY)),
        _notice((HEAD, MODALITY), (ALGORITHM, VIEW)),
        _notice((HEAD, MODALITY), language="fr"),
    ]
    assert len({each.SOPInstanceUID for each in notices}) == len(notices)
    assert _notice((HEAD, MODALITY)).SOPInstanceUID == notices[0].SOPInstanceUID


def test_what_is_no_image_can_be_told_of() -> None:
    source = radiograph()
    del source.Rows, source.Columns, source.ViewPosition, source.PatientOrientation
    source.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    (study,) = _notice(source=source).CurrentRequestedProcedureEvidenceSequence
    (reference,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_sources_of_two_studies_are_refused() -> None:
    other = radiograph(2)
    other.StudyInstanceUID = "1.2.3"
    with pytest.raises(SourceError, match="more than one study"):
        build_notice([radiograph(), other], [(HEAD, VIEW)], when=WHEN)


@pytest.mark.skipif(bool(_TOOLS), reason=_TOOLS)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("make", [radiograph, japanese, latin])
def test_notice_is_valid(make: Callable[[], Dataset], language: str, tmp_path: Path) -> None:
    source_path, path = tmp_path / "source.dcm", tmp_path / "notice.dcm"
    source_path.write_bytes(as_file(make()))
    path.write_bytes(to_bytes(_notice(source=received(make()), language=language)))
    assert validators.rule_violations(path, source_path) == []
    assert validators.dciodvfy(path) + validators.dsrdump(path) == []


@pytest.mark.slow
@pytest.mark.timeout(300)  # Java starts slowly on a busy machine
@pytest.mark.skipif(not validators.PIXELMED.exists(), reason="not installed: PixelMed")
def test_notice_follows_its_template(tmp_path: Path) -> None:
    path = tmp_path / "notice.dcm"
    path.write_bytes(to_bytes(_notice(language="ja")))
    assert validators.pixelmed(path) == []
