from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tinytraining import ABNORMAL, image_recipe, recipe_of, series_recipe, write_recipe
from training.errors import RecipeError
from training.recipe import digest, read_recipe

RECIPES = Path(__file__).parents[2] / "training/recipes"
Tables = dict[str, Any]


@pytest.mark.parametrize("name", ["cxr-covid", "head-ct-triage"])
def test_the_recipes_of_the_reference_packages_are_valid(name: str) -> None:
    recipe = read_recipe(RECIPES / f"{name}.toml")
    assert recipe.package.name == name
    assert recipe.classes[0].normal
    assert recipe.preparation.rows == recipe.preparation.columns


def test_every_recipe_that_is_shipped_is_tested_above() -> None:
    assert {each.stem for each in RECIPES.iterdir()} == {"cxr-covid", "head-ct-triage"}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml: cannot be read: No such file"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("content", [b"[package\n", b"title = '\xff'\n"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=r"bad\.toml: not valid TOML"):
        read_recipe(tmp_path / "bad.toml")


def change(section: str, **values: Any) -> Callable[[Tables], Tables]:
    """Change keys of a section, or of the first entry of a list of them."""

    def apply(tables: Tables) -> Tables:
        found = tables.setdefault(section, {})
        (found[0] if isinstance(found, list) else found).update(values)
        return tables

    return apply


def leave_out(section: str) -> Callable[[Tables], Tables]:
    return lambda tables: {key: value for key, value in tables.items() if key != section}


@pytest.mark.parametrize(
    ("edit", "key", "problem"),
    [
        (leave_out("network"), "network", "Field required"),
        (leave_out("card"), "card", "Field required"),
        (change("fit", epoch=3), "fit.epoch", "Extra inputs are not permitted"),
        (change("extra", key=1), "extra", "Extra inputs are not permitted"),
        (change("fit", epochs=-1), "fit.epochs", "greater than or equal to 0"),
        (change("fit", members=11), "fit.members", "less than or equal to 10"),
        (change("network", side=100), "network.side", "multiple of 32"),
        (change("network", frozen=18), "network.frozen", "less than or equal to 17"),
        (change("augment", scale=0.6), "augment.scale", "less than or equal to 0.5"),
        (change("operating_point", sensitivity=0), "operating_point.sensitivity", "greater than 0"),
        (change("split", folds=21), "split.folds", "less than or equal to 20"),
        (change("split", fractions=[-0.1, 0.6, 0.5]), "split", "must not be negative"),
        (change("split", fractions=[0, 0, 0]), "split", "nor all zero"),
        (change("package", name="No Spaces"), "package.name", "match pattern"),
        (change("data", folder=""), "data.0", "state either files or folder"),
        (change("data", files="a.csv"), "data.0", "state either files or folder"),
        (change("data", weight=0), "data.0.weight", "greater than 0"),
        (change("data", unsure=[{"where": {}, "label": ABNORMAL, "wrong": 0.5}]),
         "data.0.unsure.0.wrong", "less than 0.5"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_and_key(
    tmp_path: Path, edit: Callable[[Tables], Tables], key: str, problem: str
) -> None:
    path = write_recipe(tmp_path / "own.toml", edit(image_recipe()))
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}: {key}: ")
    assert problem in line


def test_every_mistake_has_its_line(tmp_path: Path) -> None:
    tables = image_recipe(fit={"epochs": -1}, network={"side": 7})
    with pytest.raises(RecipeError) as caught:
        read_recipe(write_recipe(tmp_path / "own.toml", tables))
    assert len(str(caught.value).splitlines()) == 2


QUESTION = {"title": "Any?", "data": "own"}


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (change("class", normal=False), "the first class, and no other"),
        (lambda tables: {**tables, "class": tables["class"][::-1]}, "the first class, and no"),
        (lambda tables: {**tables, "class": [{**each, "normal": True} for each in tables["class"]]},
         "the first class, and no other"),
        (change("class", label=ABNORMAL), "bear one label"),
        (change("data", values={"ill": "wolf"}), "data own: value 'ill' names no class"),
        (change("data", values={"ill": {"normal": 0.5, "wolf": 0.5}}), "value 'ill' names no"),
        (change("data", values={"ill": {"normal": 0.0}}), "value 'ill' has no probabilities"),
        (change("data", values={"ill": {"normal": -1, ABNORMAL: 2}}), "has no probabilities"),
        (change("data", unsure=[{"where": {}, "label": "wolf", "wrong": 0.1}]),
         "data own: unsure label 'wolf' is no class"),
        (lambda tables: {**tables, "data": tables["data"] * 2}, "two [[data]] bear one name"),
        (lambda tables: {**tables, "question": [{**QUESTION, "data": "other"}]},
         "question 'Any?': no data 'other'"),
        (lambda tables: {**tables, "question": [{**QUESTION, "score": "wolf"}]},
         "question 'Any?': no class 'wolf'"),
        (change("prepare", rows=32), "prepare.rows and prepare.columns must be equal"),
    ],
)  # fmt: skip
def test_sections_that_contradict_each_other_are_told(
    tmp_path: Path, edit: Callable[[Tables], Tables], problem: str
) -> None:
    path = write_recipe(tmp_path / "own.toml", edit(image_recipe()))
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(f"{path}: Value error, ")
    assert problem in str(caught.value)


SCORE = {
    "files": "s.csv", "column": "s", "lowest": 0, "highest": 8,
    "code": {"value": "1", "scheme": "99TEST", "meaning": "Extent"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (change("region", files="m.csv"), "no [region] and no [[score]]"),
        (lambda tables: {**tables, "score": [SCORE]}, "no [region] and no [[score]]"),
        (lambda tables: {**tables, "class": [*tables["class"], {**tables["class"][1],
                                                                "label": "third"}]},
         "a series recipe has two classes"),
        (change("data", columns={}), "a series needs files, columns series and order"),
        (change("data", files="", folder="pictures"), "a series needs files"),
        (lambda tables: {**tables, "prepare": {"rows": 64, "columns": 64, "channels": 1}},
         "a series recipe needs prepare.window"),
    ],
)  # fmt: skip
def test_a_series_recipe_keeps_to_what_the_node_reads(
    tmp_path: Path, edit: Callable[[Tables], Tables], problem: str
) -> None:
    read_recipe(write_recipe(tmp_path / "right.toml", series_recipe()))
    with pytest.raises(RecipeError) as caught:
        read_recipe(write_recipe(tmp_path / "own.toml", edit(series_recipe())))
    assert problem in str(caught.value)


def test_a_score_needs_a_scale(tmp_path: Path) -> None:
    tables = image_recipe() | {"score": [{**SCORE, "highest": 0}]}
    with pytest.raises(RecipeError, match=r"score\.0: Value error, lowest must be below highest"):
        read_recipe(write_recipe(tmp_path / "own.toml", tables))


def test_a_network_is_named_by_what_it_depends_on_and_nothing_else() -> None:
    plain = recipe_of(image_recipe())
    told = image_recipe(
        package={"title": "Other"}, card={"data": "Other."}, operating_point={"sensitivity": 0.9}
    )
    assert digest(recipe_of(told)) == digest(plain)
    for learned in ({"fit": {"seed": 21}}, {"network": {"side": 96}}, {"augment": {"noise": 0.1}}):
        assert digest(recipe_of(image_recipe(**learned))) != digest(plain)
    assert digest(plain, 1) != digest(plain, 2) != digest(plain)
