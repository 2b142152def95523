"""``wetread models test`` and ``install``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.package import read_package
from tests.auditschema import alert, messages
from tests.commandline import CommandLine
from tests.dicomfiles import PATIENT, as_file, image
from tests.tinygraph import Fault
from tests.tinymodel import write_package
from wetread.installing import newer


@pytest.fixture
def wetread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> CommandLine:
    return CommandLine(monkeypatch, capsys, tmp_path)


def version(folder: Path) -> str:
    return read_package(folder).version


def test_a_model_reads_a_study_and_records_nothing(wetread: CommandLine, tmp_path: Path) -> None:
    package = write_package(tmp_path / "new")
    study = tmp_path / "study"
    study.mkdir()
    (study / "a.dcm").write_bytes(as_file(image()))
    (study / "notes.txt").write_text(PATIENT)
    done = wetread("models", "test", package, study, "--json")
    assert (done.code, done.json["images"]) == (0, 1)
    assert done.json["answers"]["answer"] in ("normal", "abnormal", "indeterminate")
    assert done.json["passed_over"] == ["1 files are no DICOM images"]
    assert PATIENT not in done.out + done.err
    assert not (tmp_path / "wetread-data").exists()
    assert "answers" in wetread("models", "test", package, study).out


def test_a_model_reads_the_synthetic_study(wetread: CommandLine) -> None:
    done = wetread("models", "test", "cxr-covid", "--json")
    assert (done.code, done.json["images"]) == (0, 1)
    assert done.json["answers"]["probabilities"]


def test_a_study_that_does_not_fit_says_why(wetread: CommandLine, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "a.dcm").write_bytes(as_file(image(np.zeros((6, 5), np.uint8), Modality="MR")))
    done = wetread("models", "test", write_package(tmp_path / "new"), study, "--json")
    assert (done.code, done.json["answers"]) == (1, None)
    assert len(done.json["passed_over"]) == 1
    (tmp_path / "empty").mkdir()
    assert wetread("models", "test", "cxr-covid", tmp_path / "empty").code == 2
    assert wetread("models", "test", "none-such").code == 4


def test_a_package_is_installed_and_only_by_a_newer_one_replaced(
    wetread: CommandLine, tmp_path: Path
) -> None:
    first = write_package(tmp_path / "a")
    newer_one = write_package(tmp_path / "b", ('version = "1.0"', 'version = "1.10"'))
    place = tmp_path / "wetread-data" / "models" / "tiny"
    done = wetread("models", "install", first, "--json")
    assert done.json == {"name": "tiny", "version": "1.0", "folder": str(place)}
    assert "tiny" in [each["name"] for each in wetread("models", "list", "--json").json]
    assert wetread("models", "install", newer_one).code == 0
    assert version(place) == "1.10"
    older = wetread("models", "install", first)
    assert (older.code, older.out) == (3, "")
    assert "has version 1.10, and 1.0 is not newer" in older.err
    assert version(place) == "1.10"
    assert wetread("models", "install", first, "--force").code == 0
    assert version(place) == "1.0"
    assert [each.name for each in place.parent.iterdir()] == ["tiny"]
    trail = messages((tmp_path / "wetread-data" / "audit" / "audit.xml").read_text("utf-8"))
    assert [alert(each) for each in trail] == [
        f"model tiny {number} installed" for number in ("1.0", "1.10", "1.0")
    ]


def test_what_cannot_be_used_is_not_installed(wetread: CommandLine, tmp_path: Path) -> None:
    broken = write_package(tmp_path / "a", fault=Fault.NAN)
    assert wetread("models", "install", broken).code == 3
    assert wetread("models", "install", tmp_path / "missing").code == 3
    twin = write_package(tmp_path / "b", ('name = "tiny"', 'name = "cxr-covid"'))
    refused = wetread("models", "install", twin, "--force")
    assert refused.code == 3
    assert "two packages cannot bear one name" in refused.err
    assert not (tmp_path / "wetread-data" / "models").exists()


def test_the_first_folder_of_the_settings_is_where_it_goes(
    wetread: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    Path("wetread.toml").write_text('[models]\nfolders = ["site"]\n', "utf-8")
    assert wetread("models", "install", write_package(tmp_path / "a")).code == 0
    assert version(tmp_path / "site" / "tiny") == "1.0"


@pytest.mark.parametrize(
    ("version", "than", "is_newer"),
    [
        ("1.10", "1.9", True), ("1.9", "1.10", False), ("1.0", "1.0", False),
        ("1.0.1", "1.0", True), ("2", "1.9.9", True), ("1.0", "1.0.0", False),
        ("1.1", "1.rc", True),
    ],
)  # fmt: skip
def test_versions_are_compared_by_their_numbers(version: str, than: str, is_newer: bool) -> None:
    assert newer(version, than) is is_newer
