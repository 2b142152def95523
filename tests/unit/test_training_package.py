"""The shipped packages are whole and valid, and say what their recipe and figures say."""

from __future__ import annotations

import importlib
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from inference.package import ZOO, Package, read_package
from inference.runtime import Model
from training.answers import ask_images, ask_series, tensors
from training.calibrate import Calibration, OperatingPoint
from training.collection import Example, read_collection
from training.evaluate import auc
from training.pictures import prepared
from training.recipe import TEST, Recipe, read_recipe
from training.record import RECIPE_FILE, TRAINING_FILE, series_of
from training.tables import interval

RECIPES = Path(__file__).parents[2] / "training/recipes"
NAMES = sorted(each.stem for each in RECIPES.glob("*.toml"))
MAXIMUM_BYTES = 40_000_000

every_package = pytest.mark.parametrize("name", NAMES)


def package_of(name: str) -> Package:
    return read_package(ZOO / name)


@cache
def model_of(name: str) -> Model:
    return Model(package_of(name), 1)


def read(name: str, file: str) -> str:
    return (ZOO / name / file).read_text("utf-8")


def recipe_of(name: str) -> Recipe:
    return read_recipe(ZOO / name / RECIPE_FILE)


def figures_of(name: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(read(name, "evaluation/evaluation.json"))
    return figures


def noise(name: str, count: int) -> NDArray[np.float32]:
    package = package_of(name)
    size = package.preparation
    greys = np.random.default_rng(6).integers(0, 256, (count, size.rows, size.columns), np.uint8)
    return tensors(package, greys)


def test_every_package_has_its_recipe_and_every_recipe_its_package() -> None:
    assert sorted(each.name for each in ZOO.iterdir() if each.is_dir()) == NAMES


@every_package
def test_the_manifest_names_this_graph(name: str) -> None:
    package = package_of(name)
    package.verify()
    assert package.name == name


@every_package
def test_the_graph_is_valid_and_small(name: str) -> None:
    file = ZOO / name / "model.onnx"
    onnx.checker.check_model(str(file), full_check=True)
    graph = onnx.load(file)
    assert [entry.version for entry in graph.opset_import] == [17]
    assert file.stat().st_size < MAXIMUM_BYTES


@every_package
def test_the_recipe_beside_it_is_the_one_in_the_repository(name: str) -> None:
    assert read(name, RECIPE_FILE) == (RECIPES / f"{name}.toml").read_text("utf-8")


@every_package
def test_the_manifest_is_what_recipe_and_record_make(name: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra: train)")
    pytest.importorskip("tomli_w", reason="tomli-w is not installed (extra: train)")
    packaging: Any = importlib.import_module("training.package")
    shipped, recipe = package_of(name).manifest, recipe_of(name)
    record = json.loads(read(name, TRAINING_FILE))
    assert shipped.classification is not None
    trained = packaging.Trained(
        exported=None,
        outputs={},
        example=None,
        point=OperatingPoint(**record["operating_point"]),
        calibration=Calibration(**record["calibration"]),
        chosen=shipped.classification.operating_point,
        history={},
        facts={},
    )
    made = type(shipped)(**packaging.manifest(recipe, trained, shipped.model.sha256))
    assert made.model_dump(exclude={"training"}) == shipped.model_dump(exclude={"training"})
    assert shipped.training["seed"] == recipe.fit.seed


@every_package
def test_the_card_has_every_section(name: str) -> None:
    card = read(name, "CARD.md")
    for heading in (
        "Intended use", "What it computes", "Data", "Figures", "At the operating point",
        "Known confounders", "What must not be concluded",
    ):  # fmt: skip
        _, _, behind = card.partition(f"\n## {heading}\n")
        section = behind.split("\n## ")[0]
        assert len(section) > 80, heading
    assert "Research and demonstration only. Not a medical device." in card
    assert "{" not in re.sub(r"`[^`]*`", "", card)


@every_package
def test_the_card_says_what_the_recipe_says(name: str) -> None:
    card, words = read(name, "CARD.md"), recipe_of(name).card
    for said in (words.purpose, words.method, words.data, words.confounders, words.not_concluded):
        assert said.strip() in card


@every_package
def test_the_figures_are_those_of_this_graph_and_stand_in_the_card(name: str) -> None:
    figures, card = figures_of(name), read(name, "CARD.md")
    manifest = package_of(name).manifest
    assert manifest.classification is not None
    assert figures["package"]["sha256"] == manifest.model.sha256
    assert figures["threshold"] == manifest.classification.threshold
    for key in ("auc", "sensitivity", "specificity"):
        assert interval(figures[key]) in card, key
    for baseline in figures["baselines"].values():
        assert interval(baseline["auc"]) in card
    assert f"The threshold {figures['threshold']:.4f}" in card


@every_package
def test_the_model_beats_the_baselines(name: str) -> None:
    """Or there would be nothing to ship; for how much, see the card."""
    figures = figures_of(name)
    for baseline in figures["baselines"].values():
        assert figures["auc"][0] > baseline["auc"][0]


@every_package
def test_answers_are_probabilities_and_maps_lie_in_unit_range(name: str) -> None:
    package = package_of(name)
    section = package.manifest.classification
    assert section is not None
    assert section.activation is not None
    count = 2 if package.manifest.series is None else 12
    found = model_of(name).run(noise(name, count))
    whole = 1 if package.manifest.series else count
    assert found[section.output].shape == (whole, len(section.classes))
    for output in filter(None, (section.output, section.slice_output)):
        assert found[output].sum(1) == pytest.approx(np.ones(len(found[output])), abs=1e-5)
        assert found[output].min() >= 0.0
    maps = found[section.activation]
    assert maps.shape[:2] == (count, len(section.classes))
    assert 0.0 <= maps.min() <= maps.max() <= 1.0 + 1e-6


# Slices of a series are meant to be read together.
@pytest.mark.parametrize("name", [n for n in NAMES if package_of(n).manifest.series is None])
def test_neighbours_in_a_batch_do_not_change_an_answer(name: str) -> None:
    images = noise(name, 3)
    together = model_of(name).run(images)
    for at in range(3):
        alone = model_of(name).run(images[at : at + 1])
        for output, values in alone.items():
            assert np.abs(values[0] - together[output][at]).max() < 1e-4, output


@every_package
def test_real_images_are_told_apart(name: str) -> None:
    root = os.environ.get("WETREAD_DATA")
    if not root:
        pytest.skip("WETREAD_DATA is not set; it names the folder of the real images")
    examples = read_collection(recipe_of(name), Path(root))
    if package_of(name).manifest.series is None:
        abnormal, positive = _images(name, examples)
    else:
        abnormal, positive = _studies(name, examples)
    assert positive.sum() == len(positive) / 2
    assert auc(abnormal, positive) > 0.7


def _images(name: str, examples: list[Example]) -> tuple[Any, Any]:
    """Twenty-four normal and as many abnormal images of the test split."""
    some = [
        [each for each in examples if each.part == TEST and (each.label > 0) is ill][:24]
        for ill in (False, True)
    ]
    chosen = [each for part in some for each in part if each.label >= 0]
    greys = prepared(chosen, package_of(name).preparation)
    given = ask_images(model_of(name), greys, np.arange(len(chosen)))
    return 1.0 - given.classes[:, 0], np.array([each.label > 0 for each in chosen])


def _studies(name: str, examples: list[Example]) -> tuple[Any, Any]:
    """Six studies of each kind. It was trained on them, so this says that it works, no more."""
    kinds: dict[bool, list[list[Example]]] = {False: [], True: []}
    for at in series_of(examples):
        slices = [examples[i] for i in at]
        kinds[any(each.label > 0 for each in slices)].append(slices)
    chosen = [slices for ill in (False, True) for slices in kinds[ill][:6]]
    flat = [each for slices in chosen for each in slices]
    greys = prepared(flat, package_of(name).preparation)
    given = ask_series(model_of(name), greys, series_of(flat))
    return given.studies, np.arange(12) >= 6
