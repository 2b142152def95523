"""Model packages: ours is sound, and what is wrong with another is told by file and key."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from inference.errors import ManifestError
from inference.manifest import Manifest
from inference.package import ZOO, find_packages, read_package
from sr.style import LANGUAGES
from tests.tinymodel import (
    CLASSIFICATION,
    DETECTION,
    GRADE,
    SCORE,
    SEGMENTATION,
    URGENCY,
    write_package,
    write_series_package,
)


def test_our_own_packages_are_whole() -> None:
    packages = find_packages([])
    assert "cxr-covid" in [each.name for each in packages]
    for package in packages:
        assert package.folder.parent == ZOO
        package.verify()


def test_our_own_manifests_say_what_their_files_say() -> None:
    for package in find_packages([]):
        content = tomllib.loads((package.folder / "model.toml").read_text("utf-8"))
        again = Manifest(**content)
        assert again == package.manifest
        dumped = package.manifest.model_dump(mode="json", by_alias=True, exclude_unset=True)
        assert dumped == content


def test_a_package_becomes_what_other_modules_take(tmp_path: Path) -> None:
    package = read_package(write_package(tmp_path))
    assert (package.name, package.version) == ("tiny", "1.0")
    assert package.algorithm.manufacturer == "tests"
    assert package.algorithm.title == "Brightness screening"
    assert (package.preparation.rows, package.preparation.channels) == (32, 1)
    assert package.preparation.low_percentile == 1.0
    assert package.model_file == tmp_path / "tiny" / "model.onnx"
    assert package.manifest.classification is not None
    code = package.manifest.classification.classes[1].code.code
    assert (code.value, code.scheme_designator, code.meaning) == ("233604007", "SCT", "Pneumonia")


WRONG: list[tuple[str, str, str]] = [
    ('name = "tiny"', 'name = "Tiny Model"', "model.name"),
    ('name = "tiny"\n', "", "model.name: Field required"),
    ('version = "1.0"', 'version = ""', "model.version"),
    ('title = "Brightness screening"', f'title = "{"x" * 65}"', "model.title"),
    ('manufacturer = "tests"', 'manufacturer = ""', "model.manufacturer"),
    ('sha256 = "', 'sha256 = "X', "model.sha256"),
    ('licence = "Apache-2.0"', 'license = "Apache-2.0"', "model.license: Extra inputs"),
    ('intended_use = "Tests only."', 'intended_use = ""', "model.intended_use"),
    ('modality = ["CR", "DX"]', "modality = []", "accepts.modality"),
    ('body_part = ["CHEST", "THORAX"]', 'body_part = "CHEST"', "accepts.body_part"),
    ("minimum_rows = 16", "minimum_rows = 0", "accepts.minimum_rows"),
    ("minimum_columns = 16", "minimum_columns = 1.5", "accepts.minimum_columns"),
    ('value = "43468-8"', f'value = "{"1" * 17}"', "report.procedure.value"),
    ("[report]\n", "[reporting]\n", "report: Field required"),
    ("rows = 32", "rows = 4", "prepare.rows"),
    ("columns = 32", "columns = 5000", "prepare.columns"),
    ("channels = 1", "channels = 2", "prepare.channels"),
    ("channels = 1", "channels = 1\nlow_percentile = 50", "prepare.low_percentile"),
    ("channels = 1", "channels = 1\nhigh_percentile = 50", "prepare.high_percentile"),
    ("channels = 1", "channels = 1\nstd = 0", "prepare.std"),
    ('input = "image"', 'input = ""', "runtime.input"),
    ("batch = 2", "batch = 0", "runtime.batch"),
    ('output = "probability"', 'output = ""', "classification.output"),
    ("threshold = 0.5", "threshold = 1.0", "classification.threshold"),
    ("[0.4, 0.6]", "[0.6, 0.7]", "indeterminate must be .low, high. around the threshold"),
    ("[0.4, 0.6]", "[0.4, 1.1]", "indeterminate must be"),
    ("[0.4, 0.6]", "[0.4]", "classification.indeterminate"),
    ("normal = true", "normal = false", "exactly one class must have normal = true"),
    ('label = "pneumonia"', 'label = "pneumonia"\nnormal = true', "exactly one class"),
    ('label = "pneumonia"', 'label = ""', "classification.class.1.label"),
    ('scheme = "SCT", meaning = "Pneumonia"', 'meaning = "Pneumonia"', "class.1.code.scheme"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_what_is_wrong_is_named_with_file_and_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    folder = write_package(tmp_path, (old, new))
    with pytest.raises(ManifestError, match=message) as caught:
        read_package(folder)
    assert all(line.startswith(f"{folder / 'model.toml'}: ") for line in _lines(caught.value))


ALL_KINDS = CLASSIFICATION + SCORE + GRADE + DETECTION + SEGMENTATION + URGENCY
WRONG_KINDS: list[tuple[str, str, str]] = [
    ("lowest = 0", "lowest = 8", "score.0: Value error, lowest must be below highest"),
    ("abnormal_from = 1", "abnormal_from = 3", "abnormal_from must be the index of a level"),
    ("abnormal_from = 1", "abnormal_from = 0", "grade.0.abnormal_from"),
    ('output = "grade"', 'output = ""', "grade.0.output"),
    ('labels = "box_labels"\n', "", "labels must name an output where there are several"),
    ("threshold = 0.6", "threshold = 0.6\noverlap = 0", "detection.overlap"),
    ("threshold = 0.6", "threshold = 0.6\nmaximum = 0", "detection.maximum"),
    ("threshold = 0.7\nminimum", "threshold = 1.0\nminimum", "segmentation.threshold"),
    ("minimum_share = 0.02", "minimum_share = 1.0", "segmentation.minimum_share"),
    ("category = 1", "category = 4", "urgency.category"),
    ('urgent = "Urgent: red."', 'urgent = ""', "urgency.urgent"),
    ("channels = 1", "channels = 1\nwindow = [40, 1]", "width above 1"),
    ("channels = 1", "channels = 1\nwindow = [40, 80]\nlow_percentile = 2", "no percentiles"),
    ("channels = 1", 'channels = 1\ncrop = "foot"', "prepare.crop"),
    ('output = "probability"', 'output = "p"\nslice_output = "s"', "needs a .series. section"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG_KINDS)
def test_what_is_wrong_in_other_kinds_is_named_too(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    read_package(write_package(tmp_path / "sound", sections=ALL_KINDS))
    folder = write_package(tmp_path, (old, new), sections=ALL_KINDS)
    with pytest.raises(ManifestError, match=message):
        read_package(folder)


WRONG_TRANSLATIONS: list[tuple[str, str]] = [
    ('[translations.de]\n"pneumonia" = "Pneumonie"', "translations.de: must be ja or fr"),
    ('[translations.en]\n"pneumonia" = "lung fever"', "translations.en: must be ja or fr"),
    ('[translations.fr]\n"phthisis" = "phtisie"', "translations.fr: nothing here reads 'phthisis'"),
    ('[translations.fr]\n"pneumonia" = ""', "translations.fr.pneumonia"),
]


@pytest.mark.parametrize(("table", "message"), WRONG_TRANSLATIONS)
def test_translation_of_what_nobody_says_is_named(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_package(write_package(tmp_path, sections=f"{CLASSIFICATION}{table}\n"))


def test_every_text_of_a_manifest_can_be_translated(tmp_path: Path) -> None:
    manifest = read_package(write_package(tmp_path / "plain", sections=ALL_KINDS)).manifest
    assert {"Brightness screening", "pneumonia", "Urgent: red."} <= manifest.texts
    table = "".join(f'"{each}" = "x"\n' for each in sorted(manifest.texts))
    folder = write_package(tmp_path, sections=f"{ALL_KINDS}[translations.fr]\n{table}")
    assert read_package(folder).manifest.translations["fr"].keys() == manifest.texts


def test_our_own_packages_speak_every_language() -> None:
    for package in find_packages([]):
        manifest = package.manifest
        for language in set(LANGUAGES) - {"en"}:
            assert manifest.texts - manifest.translations[language].keys() <= {"COVID-19"}


def test_what_a_model_assesses_is_all_but_the_normal(tmp_path: Path) -> None:
    package = read_package(write_package(tmp_path, sections=ALL_KINDS))
    assert "normal" not in package.manifest.assessed
    assert package.manifest.assessed[0] == "pneumonia"
    assert len(set(package.manifest.assessed)) == len(package.manifest.assessed) > 3


WRONG_SERIES: list[tuple[str, str, str]] = [
    ("maximum_slices = 64", "maximum_slices = 7", "maximum_slices must not be below"),
    ("minimum_slices = 8", "minimum_slices = 1", "series.minimum_slices"),
    ("spacing_mm = 5.0", "spacing_mm = 0", "series.spacing_mm"),
    ("spacing_mm = 5.0", 'spacing_mm = 5.0\nkernel = "bone"', "series.kernel"),
    ('slice_output = "probability"\n', "", "a series needs .classification. with slice_output"),
    ("window = [40, 120]\n", "", "a series needs .prepare. window"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG_SERIES)
def test_what_is_wrong_for_a_series_is_named_too(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        read_package(write_series_package(tmp_path, (old, new)))


def test_a_series_measures_nothing_but_classes(tmp_path: Path) -> None:
    folder = write_series_package(tmp_path, ("[urgency]", SCORE + "[urgency]"))
    with pytest.raises(ManifestError, match="and nothing else"):
        read_package(folder)


def test_a_model_must_say_something(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="at least one of"):
        read_package(write_package(tmp_path, sections=""))


@pytest.mark.parametrize("sections", [SCORE, SEGMENTATION, GRADE.replace("abnormal_from = 1", "")])
def test_urgency_needs_an_output_that_decides(tmp_path: Path, sections: str) -> None:
    with pytest.raises(ManifestError, match=r"\[urgency\] needs an output that decides"):
        read_package(write_package(tmp_path, sections=sections + URGENCY))


def _lines(error: Exception) -> list[str]:
    return str(error).splitlines()


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    folder = write_package(tmp_path, ("batch = 2", "batch = 0"), ("rows = 32", "rows = 1"))
    with pytest.raises(ManifestError) as caught:
        read_package(folder)
    assert len(_lines(caught.value)) == 2


def test_one_class_is_no_classification(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    file = folder / "model.toml"
    file.write_text(file.read_text("utf-8").rpartition("[[classification.class]]")[0], "utf-8")
    with pytest.raises(ManifestError, match=r"classification\.class: List should have at least 2"):
        read_package(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"[model", "not valid TOML"), (b"\xff\xfe", "not valid TOML"), (None, "cannot be read: No")],
)
def test_a_manifest_that_cannot_be_read(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "model.toml").write_bytes(content)
    with pytest.raises(ManifestError, match=message) as caught:
        read_package(tmp_path)
    assert str(tmp_path / "model.toml") in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize("name", ["model.onnx", "CARD.md"])
def test_a_package_without_a_file_is_not_whole(tmp_path: Path, name: str) -> None:
    folder = write_package(tmp_path)
    read_package(folder).verify()
    (folder / name).unlink()
    with pytest.raises(ManifestError, match=f"{name} is missing"):
        read_package(folder).verify()


def test_an_altered_graph_is_found(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ManifestError, match=r"model\.onnx: SHA-256 is .*; restore the file"):
        read_package(folder).verify()


def test_packages_of_the_site_come_after_ours(tmp_path: Path) -> None:
    write_package(tmp_path / "a", folder="one")
    write_package(tmp_path / "b", ('name = "tiny"', 'name = "other"'))
    names = [each.name for each in find_packages([tmp_path / "a", tmp_path / "b"])]
    assert names[-2:] == ["tiny", "other"]
    assert "cxr-covid" in names


def test_disabled_packages_are_left_out(tmp_path: Path) -> None:
    write_package(tmp_path)
    every = {each.name for each in find_packages([tmp_path])}
    found = find_packages([tmp_path], disabled=["cxr-covid", "not-there"])
    assert {each.name for each in found} == every - {"cxr-covid"}
    assert {"cxr-covid", "tiny"} <= every


def test_two_packages_of_one_name_are_refused_unless_it_is_disabled(tmp_path: Path) -> None:
    write_package(tmp_path, folder="one")
    write_package(tmp_path, folder="two")
    with pytest.raises(ManifestError, match=r"two: model 'tiny' is also in .*one; rename one"):
        find_packages([tmp_path])
    assert "tiny" not in [each.name for each in find_packages([tmp_path], disabled=["tiny"])]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"missing: no such folder; see \[models\] folders"):
        find_packages([tmp_path / "missing"])
