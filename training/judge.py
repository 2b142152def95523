"""Judges a model package on a collection: the whole of ``wetread evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inference.package import CARD_FILE, read_package
from inference.runtime import Model
from training.answers import Answers, ask_images, ask_series, held_out_answers
from training.card import card
from training.collection import SCORED, Example, read_collection, select
from training.errors import EvaluationError
from training.measure import Material, measure_images, measure_series
from training.page import write_page
from training.pictures import prepared
from training.plots import draw_plots
from training.recipe import TRAIN, Recipe, read_recipe
from training.record import RECIPE_FILE, TRAINING_FILE, series_of

FIGURES_FILE = "evaluation.json"


def judge(
    package_folder: Path,
    data: Path,
    out: Path | None = None,
    *,
    recipe_file: Path | None = None,
    write_card: bool = False,
    threads: int = 0,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Measure a package, and write ``evaluation.json``, plots and ``evaluation.html``.

    Parameters
    ----------
    package_folder
        The package.
    data
        The folder that the recipe's paths are relative to.
    out
        Where to write; None for ``evaluation`` in the package's folder.
    recipe_file
        What to judge by; None for the recipe in the package.
    write_card
        Write the package's ``CARD.md`` from the recipe's words and these figures.
    threads
        CPU threads; 0 lets the runtime choose.
    cache
        Folder to keep prepared pictures in; None keeps nothing.

    Raises
    ------
    ManifestError, ModelError
        The package cannot be used.
    RecipeError, CollectionError, EvaluationError
        What is wrong with the recipe or the images.
    """
    package = read_package(package_folder)
    recipe = read_recipe(recipe_file or package_folder / RECIPE_FILE)
    section = package.manifest.classification
    if section is None:
        raise EvaluationError(f"model {package.name} does not classify")
    if [each.label for each in section.classes] != recipe.labels:
        raise EvaluationError("the package and the recipe do not name the same classes")
    examples = read_collection(recipe, data)
    greys = prepared(examples, package.preparation, cache)
    record = _record(package_folder)
    model = Model(package, threads)
    if recipe.series is None:
        given = ask_images(model, greys, select(examples, _is_asked))
    else:
        given = _series_answers(package_folder, model, examples, greys)
    material = Material(recipe=recipe, section=section, examples=examples, greys=greys, given=given)
    figures: dict[str, Any] = {
        "package": {"name": package.name, "version": package.version,
                    "sha256": package.manifest.model.sha256},
        "provider": model.provider,
        "images": record.get("images", {}),
        "history": record.get("history", {}),
        "chosen": section.operating_point,
        "band": section.indeterminate,
    }  # fmt: skip
    if recipe.series is None:
        figures |= measure_images(material, record.get("scores", []))
    else:
        figures |= measure_series(material, series_of(examples))
    _write(out or package_folder / "evaluation", recipe, figures)
    if write_card:
        (package_folder / CARD_FILE).write_text(card(recipe, figures), "utf-8")
    return figures


def _is_asked(example: Example) -> bool:
    return example.part not in (TRAIN, SCORED)


def _record(folder: Path) -> dict[str, Any]:
    file = folder / TRAINING_FILE
    record: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return record


def _series_answers(folder: Path, model: Model, examples: list[Example], greys: Any) -> Answers:
    series = series_of(examples)
    return held_out_answers(folder, examples, series) or ask_series(model, greys, series)


def _write(out: Path, recipe: Recipe, figures: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / FIGURES_FILE).write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    pictures = draw_plots(figures, out)
    write_page(recipe, figures, pictures, out / "evaluation.html")
