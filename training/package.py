"""What training leaves behind: the package's files, with a card that has no figures yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tomli_w
import torch
from torch import nn

from inference.package import CARD_FILE, MANIFEST_FILE, MODEL_FILE, read_package
from inference.runtime import Model
from training.calibrate import Calibration, OperatingPoint
from training.export import check_export, export_onnx
from training.loop import History
from training.recipe import Recipe
from training.record import RECIPE_FILE, TRAINING_FILE


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model, ready to be written.

    Attributes
    ----------
    exported
        What ``model.onnx`` computes.
    outputs
        Names of its outputs, in order, and of their first axes.
    example
        An input for the check of the export.
    point, calibration
        What validation decided.
    chosen
        How the operating point was chosen, in words.
    history
        Of each stage, by name.
    facts
        Counts and figures that only training knows, for ``training.json``.
    """

    exported: nn.Module
    outputs: Mapping[str, str]
    example: torch.Tensor
    point: OperatingPoint
    calibration: Calibration
    chosen: str
    history: Mapping[str, History]
    facts: Mapping[str, Any]


def write_package(recipe: Recipe, recipe_file: Path, trained: Trained, out: Path) -> float:
    """Write ``model.onnx``, ``model.toml``, the recipe and ``training.json`` into ``out``.

    Returns
    -------
    float
        The greatest difference between what the network and the node's runtime compute.

    Raises
    ------
    ExportError
        That difference is over ``training.export.TOLERANCE``, or the graph is not valid.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    # Checked before it takes the place of an older one.
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as draft:
        difference = _write(recipe, recipe_file, trained, Path(draft))
        out.mkdir(exist_ok=True)
        for file in Path(draft).iterdir():
            file.replace(out / file.name)
    return difference


def _write(recipe: Recipe, recipe_file: Path, trained: Trained, folder: Path) -> float:
    digest = export_onnx(trained.exported, trained.example, trained.outputs, folder / MODEL_FILE)
    text = tomli_w.dumps(manifest(recipe, trained, digest), multiline_strings=False)
    (folder / MANIFEST_FILE).write_text(text, "utf-8")
    (folder / RECIPE_FILE).write_text(recipe_file.read_text("utf-8"), "utf-8")
    record = {
        "history": {name: vars(each) for name, each in trained.history.items()},
        "calibration": vars(trained.calibration),
        "operating_point": vars(trained.point),
        **trained.facts,
    }
    (folder / TRAINING_FILE).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    # The figures of a card that lay there were those of another graph.
    (folder / CARD_FILE).write_text(f"# {recipe.package.name}: not evaluated yet\n", "utf-8")
    found = Model(read_package(folder)).run(trained.example.numpy())
    return check_export(
        trained.exported, trained.example, {name: found[name] for name in trained.outputs}
    )


def manifest(recipe: Recipe, trained: Trained, sha256: str) -> dict[str, object]:
    """Return the manifest (see ``inference.manifest``)."""
    tables: dict[str, object] = {
        "model": {**_plain(recipe.package), "sha256": sha256},
        "accepts": _plain(recipe.accepts),
    }
    if recipe.series is not None:
        tables["series"] = _plain(recipe.series)
    tables |= {
        "report": _plain(recipe.report),
        "prepare": _plain(recipe.prepare),
        "runtime": {"input": "image", "batch": 8},
        "classification": _classification(recipe, trained),
    }
    if recipe.scores:
        tables["score"] = score_tables(recipe)
    if recipe.urgency is not None:
        tables["urgency"] = _plain(recipe.urgency)
    if recipe.translations:
        tables["translations"] = recipe.translations
    judged_on = "validation" if recipe.series is None else "the other folds' answers"
    return tables | {
        "training": {
            "recipe": RECIPE_FILE,
            "record": TRAINING_FILE,
            "date": datetime.now(UTC).date().isoformat(),
            "seed": recipe.fit.seed,
            "calibration": f"Platt scaling on {judged_on}, part of the graph",
        }
    }


def score_tables(recipe: Recipe) -> list[dict[str, object]]:
    """Return the manifest's ``[[score]]`` entries."""
    stated = {"code", "lowest", "highest", "when"}
    return [
        {"output": score_output(number), **each.model_dump(mode="json", include=stated)}
        for number, each in enumerate(recipe.scores)
    ]


def score_output(number: int) -> str:
    """Name of a score's output in the graph."""
    return f"score_{number}"


def _classification(recipe: Recipe, trained: Trained) -> dict[str, object]:
    table: dict[str, object] = {"output": "probability", "activation": "activation"}
    if recipe.series is not None:
        table["slice_output"] = "slice_probability"
    if recipe.operating_point.indeterminate:
        table["indeterminate"] = list(trained.point.band)
    return table | {
        "threshold": trained.point.threshold,
        "operating_point": trained.chosen,
        "class": [_plain(each) for each in recipe.classes],
    }


def _plain(section: Any) -> dict[str, Any]:
    """Return what a section states; the manifest has the same defaults for what it leaves out."""
    kept: dict[str, Any] = section.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return kept
