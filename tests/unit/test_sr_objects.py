"""All objects of a reading: valid for other people's software, for our rules, and repeatable."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from sr.bundle import Results, build_results
from sr.document import to_bytes
from sr.findings import Normality
from sr.identity import Kind
from sr.style import DEFAULT_STYLE, LANGUAGES, Style
from tests import validators
from tests.sr_examples import (
    READINGS,
    SEVERITY,
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


def _no_reader(_path: Path) -> list[str]:
    return []


# Built like others, which Java, that takes long, looks at.
_ALIKE = {
    "calibrated segmentation", "normal study", "indeterminate study", "scores only",
    "classification",  # as "Japanese" is
}  # fmt: skip
# What reads each kind besides dciodvfy
_READERS = {
    Kind.REPORT: validators.dsrdump,
    Kind.TEXT: validators.dsrdump,
    Kind.OVERLAY: validators.dcm2pnm,
    Kind.PRESENTATION: validators.dcmpschk,
    Kind.KEY_IMAGES: validators.dsrdump,
    Kind.SEGMENTATION: _no_reader,
    Kind.MAP: _no_reader,
    Kind.PDF: validators.pdfinfo,
}
_TOOLS = validators.missing_tools("dciodvfy", "dsrdump", "dcm2pnm", "dcmpschk", "pdfinfo")
_OTHER_LANGUAGES = [each for each in LANGUAGES if each != DEFAULT_STYLE.language]
_MATRIX = [
    *((name, "en") for name in (*SOURCES, *READINGS)),
    *((name, other) for name in ("bare", "Japanese", *READINGS) for other in _OTHER_LANGUAGES),
]


def _results(name: str, language: str = "en") -> Results:
    """Return all results of one source header, or of one kind of reading."""
    if name in READINGS:
        sources, read = READINGS[name]()
        sources = [received(each) for each in sources]
    else:
        sources = [received(SOURCES[name]())]
        read = reading(image_reading(sources[0], heatmap=spot(2, 5), scores=SEVERITY))
    pictures = {str(each.SOPInstanceUID): picture(each) for each in sources}
    style = Style(language=language)
    return build_results(sources, pictures, read, when=WHEN, kinds=tuple(_READERS), style=style)


def _first_source(name: str) -> Dataset:
    return READINGS[name]()[0][0] if name in READINGS else SOURCES[name]()


@pytest.fixture(scope="module", params=_MATRIX, ids=" ".join)
def files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Path]]:
    """One source image and everything made from it."""
    folder = tmp_path_factory.mktemp("objects")
    source_path = folder / "source.dcm"
    source_path.write_bytes(as_file(_first_source(request.param[0])))
    paths = []
    for each in _results(*request.param).objects:
        paths.append(folder / f"{each.kind.value}-{each.number}-{each.rank}.dcm")
        paths[-1].write_bytes(to_bytes(each.dataset))
    return source_path, paths


def test_objects_keep_our_rules(files: tuple[Path, list[Path]]) -> None:
    source_path, paths = files
    found = {path.name: validators.rule_violations(path, source_path) for path in paths}
    assert found == {path.name: [] for path in paths}


@pytest.mark.skipif(bool(_TOOLS), reason=_TOOLS)
def test_objects_pass_the_validators(files: tuple[Path, list[Path]]) -> None:
    for path in files[1]:
        reader = _READERS[Kind(path.name.partition("-")[0])]
        assert validators.dciodvfy(path) + reader(path) == [], path.name


@pytest.mark.slow
@pytest.mark.timeout(300)  # Java starts slowly on a busy machine
@pytest.mark.skipif(shutil.which("java") is None, reason="not installed: java")
@pytest.mark.skipif(not validators.PIXELMED.exists(), reason="not installed: PixelMed")
@pytest.mark.parametrize("name", sorted({"Japanese", *READINGS} - _ALIKE))
def test_reports_follow_their_templates(name: str, tmp_path: Path) -> None:
    kinds, paths = [Kind.REPORT], []
    if name == "Japanese":
        kinds += [Kind.TEXT, Kind.KEY_IMAGES]  # much alike for all readings, and Java takes long
    for kind in kinds:
        for each in _results(name).alternatives(kind)[:1]:
            paths.append(tmp_path / f"{kind.value}.dcm")
            paths[-1].write_bytes(to_bytes(each.dataset))
    with ThreadPoolExecutor(2) as pool:  # each takes seconds of Java
        found = pool.map(validators.pixelmed, paths)
    assert {path.name: problems for path, problems in zip(paths, found, strict=True)} == {
        path.name: [] for path in paths
    }


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


@pytest.mark.parametrize("name", [*SOURCES, *READINGS])
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
        ("sr", 1, 3),
        ("text", 1, 0),
        ("sc", 1, 0),
        ("sc", 2, 0),
    ]
    # The last form of the measurement report is the text report.
    uids = [each.dataset.SOPInstanceUID for each in results.objects]
    assert uids[3] == uids[4]
    assert len(set(uids)) == len(uids) - 1
    assert [each.rank for each in results.alternatives(Kind.REPORT)] == [0, 1, 2, 3]
    assert len(results.alternatives(Kind.OVERLAY, 2)) == 1


def test_image_without_picture_gets_no_overlay() -> None:
    source = received(radiograph())
    results = build_results([source], {}, reading(image_reading(source)), when=WHEN)
    assert results.alternatives(Kind.OVERLAY) == ()
    assert results.alternatives(Kind.TEXT)


def test_series_has_overlays_of_the_slices_shown_alone() -> None:
    sources, read = READINGS["abnormal study"]()
    pictures = {str(each.SOPInstanceUID): picture(each) for each in sources}
    results = build_results(sources, pictures, read, when=WHEN)
    overlays = [each.dataset for each in results.objects if each.kind is Kind.OVERLAY]
    shown = [each.SourceImageSequence[0].ReferencedSOPInstanceUID for each in overlays]
    assert shown == [each.sop_instance_uid for each in read.images]
    assert len(shown) == len(sources) - 1


def test_rules_notice_a_broken_region(tmp_path: Path) -> None:
    source_path, path = tmp_path / "source.dcm", tmp_path / "report.dcm"
    source_path.write_bytes(as_file(radiograph()))
    report = dcmread(BytesIO(to_bytes(_results("detection").alternatives(Kind.REPORT)[0].dataset)))
    region = next(each for each in validators.walk(report) if validators.concept(each) == "111030")
    region.GraphicData = region.GraphicData[:8]
    path.write_bytes(to_bytes(report))
    assert validators.rule_violations(path, source_path) == [
        "R8: a region is not a closed polyline of more than 5 points"
    ]
