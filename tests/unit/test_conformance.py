"""docs/conformance.md says what the code's own tables say."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest

from db.verdict import Failure
from scp.action import ActionStatus
from scp.contexts import accepted_contexts
from scp.status import StoreStatus
from sr import patient
from sr.bundle import KINDS, build_results
from sr.codes import OPACITY, class_area, class_probability, class_share, level_probability
from sr.identity import Kind
from tests.matrix import CASES
from tests.sr_examples import WHEN
from tools import conformance

TEXT = conformance.PAGE.read_text("utf-8")


def test_the_tables_are_up_to_date() -> None:
    assert conformance.filled(TEXT) == TEXT, "run python -m tools.conformance"


def test_every_table_stands_in_the_document_once() -> None:
    assert sorted(conformance.regions(TEXT)) == sorted(conformance.TABLES)
    marks = re.findall(r"^<!-- (?:table: [\w-]+|end) -->$", TEXT, re.MULTILINE)
    assert len(marks) == 2 * len(conformance.TABLES) == TEXT.count("<!--")


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(conformance.UnknownTable, match="'weather'"):
        conformance.filled("<!-- table: weather -->\n<!-- end -->\n")


@pytest.mark.parametrize("enum", [StoreStatus, ActionStatus, Failure])
def test_every_status_is_in_the_document(enum: type[IntEnum]) -> None:
    for each in enum:
        assert f"| {each:04X} | {each.name} | " in TEXT, each


def test_every_accepted_class_and_transfer_syntax_is_in_the_document() -> None:
    for context in accepted_contexts():
        for uid in (context.abstract_syntax, *(context.transfer_syntax or ())):
            assert f"| {uid} |" in TEXT, uid


def test_every_name_is_a_name() -> None:
    assert not re.search(r"^\| (?:\d\.|  ?\|)", TEXT, re.MULTILINE)
    assert "Label Map Segmentation" in TEXT  # newer than the dictionary of pydicom 3.0


@pytest.mark.parametrize("case", ["dx", "ct-outlines"])
def test_results_have_the_classes_of_the_document(case: str) -> None:
    sources, reading = CASES[case]()
    results = build_results(sources, {}, reading, when=WHEN, kinds=KINDS)
    for kind in {each.kind for each in results.objects}:
        classes = [str(each.dataset.SOPClassUID) for each in results.alternatives(kind)]
        assert classes == list(conformance._forms(kind)), kind
    (form,) = conformance._forms(Kind.NOTICE)
    assert form == "1.2.840.10008.5.1.4.1.1.88.11"


def test_the_prefixes_of_private_codes_are_named() -> None:
    derived = [
        class_probability(OPACITY, "x"),
        level_probability(OPACITY, 0, "x"),
        class_area(OPACITY, "x"),
        class_share(OPACITY, "x"),
    ]
    for code in derived:
        assert f"`{code.value.removesuffix(OPACITY.value)}`" in TEXT, code.value


def test_the_character_sets_that_a_result_can_get_are_named() -> None:
    section = TEXT.split("\n## 8. Character sets\n")[1].split("\n## ")[0]
    assert patient._LATIN_1 in section
    assert patient._UTF_8 in section


def test_check_tells_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "conformance.md"
    page.write_text("<!-- table: tls -->\nold\n<!-- end -->\n", "utf-8")
    monkeypatch.setattr(conformance, "PAGE", page)
    assert conformance.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().out
    assert "old" in page.read_text("utf-8")
    assert conformance.main([]) == 0
    assert "old" not in page.read_text("utf-8")
    assert conformance.main(["--check"]) == 0
