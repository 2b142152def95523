"""All objects of a reading: valid for other people's software, for our rules, and repeatable."""

import shutil
from pathlib import Path

import pytest

from sr import codes
from sr.bundle import Results, build_results
from sr.document import to_bytes
from sr.findings import Normality, Score
from sr.identity import Kind
from tests import validators
from tests.sr_examples import (
    SOURCES,
    WHEN,
    as_file,
    image_reading,
    picture,
    radiograph,
    reading,
    received,
    spot,
)

_SEVERITY = (
    Score(name=codes.GEOGRAPHIC_EXTENT, value=3.2, lowest=0, highest=8),
    Score(name=codes.OPACITY_SCORE, value=2, lowest=0, highest=6),
)
_DCMTK_AND_DICOM3TOOLS = validators.missing_tools("dciodvfy", "dsrdump", "dcm2pnm")


def _results(name: str) -> Results:
    source = received(SOURCES[name]())
    image = image_reading(source, heatmap=spot(2, 5), scores=_SEVERITY)
    pictures = {image.sop_instance_uid: picture(source)}
    return build_results([source], pictures, reading(image), when=WHEN)


@pytest.fixture(scope="module", params=SOURCES)
def files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Path]]:
    """One source image and everything made from it."""
    folder = tmp_path_factory.mktemp("objects")
    source_path = folder / "source.dcm"
    source_path.write_bytes(as_file(SOURCES[request.param]()))
    paths = []
    for each in _results(request.param).objects:
        paths.append(folder / f"{each.kind.value}-{each.rank}.dcm")
        paths[-1].write_bytes(to_bytes(each.dataset))
    return source_path, paths


def test_objects_keep_our_rules(files: tuple[Path, list[Path]]) -> None:
    source_path, paths = files
    found = {path.name: validators.rule_violations(path, source_path) for path in paths}
    assert found == {path.name: [] for path in paths}


@pytest.mark.skipif(bool(_DCMTK_AND_DICOM3TOOLS), reason=_DCMTK_AND_DICOM3TOOLS)
def test_objects_pass_the_validators(files: tuple[Path, list[Path]]) -> None:
    for path in files[1]:
        readable = validators.dcm2pnm if path.name.startswith("sc") else validators.dsrdump
        assert validators.dciodvfy(path) + readable(path) == [], path.name


@pytest.mark.slow
@pytest.mark.timeout(300)  # Java starts slowly on a busy machine
@pytest.mark.skipif(shutil.which("java") is None, reason="not installed: java")
@pytest.mark.skipif(not validators.PIXELMED.exists(), reason="not installed: PixelMed")
@pytest.mark.parametrize("kind", [Kind.REPORT, Kind.TEXT])
def test_reports_follow_their_templates(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(to_bytes(_results("Japanese").alternatives(kind)[0].dataset))
    assert validators.pixelmed(path) == []


def test_rules_notice_a_broken_object(tmp_path: Path) -> None:
    source_path, path = tmp_path / "source.dcm", tmp_path / "report.dcm"
    source_path.write_bytes(as_file(radiograph()))
    report = _results("DX").alternatives(Kind.REPORT)[0].dataset
    report.PatientID = "another"
    report.VerificationFlag = "VERIFIED"
    del report.CodingSchemeIdentificationSequence
    path.write_bytes(to_bytes(report))
    found = {problem[:3].rstrip(":") for problem in validators.rule_violations(path, source_path)}
    assert found == {"S2", "R10", "C2"}


@pytest.mark.parametrize("name", SOURCES)
def test_same_input_gives_the_same_bytes(name: str) -> None:
    first, second = _results(name), _results(name)
    assert [to_bytes(each.dataset) for each in first.objects] == [
        to_bytes(each.dataset) for each in second.objects
    ]
    assert [to_bytes(each.dataset) for each in first.objects] == [
        to_bytes(each.dataset) for each in first.objects
    ]


def test_set_holds_each_kind_with_its_fallbacks() -> None:
    first, second = received(radiograph(1)), received(radiograph(2))
    images = [image_reading(first), image_reading(second, Normality.NORMAL)]
    pictures = {str(each.SOPInstanceUID): picture(each) for each in (first, second)}
    results = build_results([first, second], pictures, reading(*images), when=WHEN)
    assert [(each.kind.value, each.number, each.rank) for each in results.objects] == [
        ("sr", 1, 0),
        ("sr", 1, 1),
        ("sr", 1, 2),
        ("text", 1, 0),
        ("sc", 1, 0),
        ("sc", 2, 0),
    ]
    uids = [each.dataset.SOPInstanceUID for each in results.objects]
    assert len(set(uids)) == len(uids)
    assert [each.rank for each in results.alternatives(Kind.REPORT)] == [0, 1, 2]
    assert len(results.alternatives(Kind.OVERLAY, 2)) == 1


def test_image_without_picture_gets_no_overlay() -> None:
    source = received(radiograph())
    results = build_results([source], {}, reading(image_reading(source)), when=WHEN)
    assert results.alternatives(Kind.OVERLAY) == ()
    assert results.alternatives(Kind.TEXT)
