"""Every kind of result from every kind of source: valid for other software, and for our rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydicom import dcmread

from sr.bundle import KINDS
from sr.identity import Kind
from tests import validators
from tests.matrix import CASES
from tools.result_matrix import main, write_real, write_synthetic

_MISSING = validators.missing_tools(
    "dciodvfy", "dcentvfy", "dsrdump", "dcm2pnm", "dcmpschk", "dcm2pdf", "pdfinfo"
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(_MISSING), reason=_MISSING),
]
_CHARACTER_SET = "SpecificCharacterSet"
_ALSO = {
    Kind.REPORT: validators.dsrdump,
    Kind.TEXT: validators.dsrdump,
    Kind.KEY_IMAGES: validators.dsrdump,
    Kind.OVERLAY: validators.dcm2pnm,
    Kind.PRESENTATION: validators.dcmpschk,
    Kind.PDF: validators.pdfinfo,
}


def _problems(out: Path, case: str) -> dict[str, list[str]]:
    """Return what is wrong with the objects of one case, by file."""
    sources = sorted((out / "sources" / case).iterdir())
    objects = sorted((out / "objects").glob(f"{case}-??/*.dcm"))
    assert objects
    character_set = dcmread(sources[0], specific_tags=[_CHARACTER_SET]).get(_CHARACTER_SET)
    # It compares bytes: a result in another character set holds the same name in other ones.
    same_bytes = [
        path
        for path in objects
        if dcmread(path, specific_tags=[_CHARACTER_SET]).get(_CHARACTER_SET) == character_set
    ]
    assert same_bytes
    found = {"study": validators.dcentvfy([*sources, *same_bytes])}
    for path in objects:
        also = _ALSO.get(Kind(path.name.split("-")[0]))
        found[f"{path.parent.name}/{path.name}"] = [
            *validators.rule_violations(path, sources[0]),
            *validators.dciodvfy(path),
            *(also(path) if also else []),
        ]
    return {name: each for name, each in found.items() if each}


@pytest.mark.parametrize("case", CASES)
def test_objects_of_a_case_are_valid(case: str, tmp_path: Path) -> None:
    write_synthetic(tmp_path, [case])
    assert _problems(tmp_path, case) == {}


def test_matrix_has_every_kind(tmp_path: Path) -> None:
    write_synthetic(tmp_path, ["dx", "ct", "ct-outlines"])
    made = {path.name.split("-")[0] for path in (tmp_path / "objects").rglob("*.dcm")}
    assert made == {kind.value for kind in KINDS}


def test_results_of_real_studies_are_valid(tmp_path: Path) -> None:
    if "WETREAD_DATA" not in os.environ:
        pytest.skip("WETREAD_DATA does not name the folder with the real data")
    write_real(tmp_path, Path(os.environ["WETREAD_DATA"]))
    cases = [each.name for each in (tmp_path / "sources").iterdir()]
    assert {case: found for case in cases if (found := _problems(tmp_path, case))} == {}


def test_tool_without_a_folder_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "tools.result_matrix OUT" in capsys.readouterr().err
