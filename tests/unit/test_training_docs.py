"""docs/training.md lists every key of a recipe as it is, and its examples are recipes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from training.collection import SUFFIXES
from training.evaluate import RESAMPLES
from training.recipe import (
    AugmentSection,
    CardSection,
    ColumnsSection,
    DataSection,
    FitSection,
    NetworkSection,
    PackageSection,
    PointSection,
    QuestionSection,
    Recipe,
    RecipeScore,
    RegionSection,
    SplitSection,
    UnsureSection,
    read_recipe,
)
from training.record import MOST

PAGE = (Path(__file__).parents[2] / "docs/training.md").read_text("utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
SECTIONS: dict[str, type[BaseModel]] = {
    "[package]": PackageSection,
    "[network]": NetworkSection,
    "[region]": RegionSection,
    "[[data]]": DataSection,
    "[data.columns]": ColumnsSection,
    "[[data.unsure]]": UnsureSection,
    "[split]": SplitSection,
    "[fit]": FitSection,
    "[augment]": AugmentSection,
    "[operating_point]": PointSection,
    "[[score]]": RecipeScore,
    "[[question]]": QuestionSection,
    "[card]": CardSection,
}
# Those of the manifest, and [[data.columns]] and [[data.unsure]], which are within [[data]].
ELSEWHERE = {"accepts", "series", "report", "prepare", "urgency", "translations", "class"}
WHERE = ("where", "screens", "kinds", "yes")


def tables() -> dict[str, dict[str, tuple[str, str, str]]]:
    """Section -> key -> default, values, meaning; as the page states them."""
    found = {}
    for heading, body in re.findall(r"\n### `(\[.*?\])`.*?\n(.*?)(?=\n##)", PAGE, re.DOTALL):
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", body, re.MULTILINE)
        found[heading] = {key: (default, values, said) for key, default, values, said in rows}
    return found


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default()
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:g}`"
    if not value:
        return "none"
    if isinstance(value, str):
        return f'`"{value}"`'
    inner = ", ".join(f'"{each}"' if isinstance(each, str) else f"{each:g}" for each in value)
    return f"`[{inner}]`"


def values_of(name: str, field: FieldInfo) -> str:
    """The range of a number, else what kind of value it is."""
    bounds: dict[str, float] = {}
    for each in field.metadata:
        for limit in ("ge", "gt", "le", "lt", "multiple_of"):
            if hasattr(each, limit):
                bounds[limit] = getattr(each, limit)
    if field.annotation in (int, float):
        whole = "whole, " if field.annotation is int else ""
        words = [
            f"{word} {bounds[limit]:g}"
            for limit, word in (
                ("ge", "from"), ("gt", "above"), ("le", "to"), ("lt", "below"),
                ("multiple_of", "in steps of"),
            )
            if limit in bounds
        ]  # fmt: skip
        return (whole + " ".join(words)).rstrip(", ") or "any number"
    if name in WHERE:
        return "*where*"
    if options := [each for each in get_args(field.annotation) if isinstance(each, str)]:
        return ", ".join(f'`"{each}"`' for each in options)
    return {"str": "text", "bool": "true, false"}.get(
        getattr(field.annotation, "__name__", ""), "table"
    )


def test_every_section_has_its_table() -> None:
    assert list(tables()) == list(SECTIONS)
    top = {field.alias or name for name, field in Recipe.model_fields.items()}
    listed = {re.sub(r"[\[\]]", "", each) for each in SECTIONS if "." not in each}
    assert listed | ELSEWHERE == top


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_is_listed_with_its_default_and_range(heading: str) -> None:
    listed, fields = tables()[heading], SECTIONS[heading].model_fields
    assert list(listed) == list(fields)
    for name, field in fields.items():
        default, values, said = listed[name]
        assert default == default_of(field), name
        if values_of(name, field) != "table":
            assert values == values_of(name, field), name
        assert len(said) > 8, name


def test_the_sections_of_the_manifest_are_named() -> None:
    for name in ELSEWHERE:
        assert f"`[{name}]`" in PAGE or f"`[[{name}]]`" in PAGE


def test_the_whole_example_is_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(EXAMPLES[0], "utf-8")
    recipe = read_recipe(tmp_path / "own.toml")
    assert recipe.labels == ["normal", "opacity"]
    assert recipe.data[0].folder == "chest"


def test_the_other_example_fits_into_it(tmp_path: Path) -> None:
    without = EXAMPLES[0].replace(
        '[[data]]\nname = "own"\nfolder = "chest"\nvalues = { normal = "normal", ill = "opacity" }',
        EXAMPLES[1],
    )
    assert without != EXAMPLES[0]
    assert len(EXAMPLES) == 2
    (tmp_path / "own.toml").write_text(without, "utf-8")
    assert read_recipe(tmp_path / "own.toml").data[0].columns.label == "finding"
    tomllib.loads(EXAMPLES[1])


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    assert f"at\nleast {MOST} slices" in PAGE
    assert f"{RESAMPLES:,} times" in PAGE
    for suffix in SUFFIXES:
        assert f"`{suffix}`" in PAGE
