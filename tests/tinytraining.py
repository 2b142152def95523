"""Recipes, images and a backbone so small that a whole training takes seconds.

Bright pictures are abnormal. The backbone has the real shape and random weights.
"""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray
from PIL import Image

from training.collection import Example
from training.recipe import Recipe

SIDE = 64  # pixels; the least that a network takes
ABNORMAL = "opacity"


def image_recipe(**changes: Any) -> dict[str, Any]:
    """A recipe for a folder per class below ``DATA/pictures``; ``changes`` go over its sections."""
    return _merged(
        {
            "package": _package("tiny-chest"),
            "accepts": {"modality": ["CR", "DX"], "body_part": ["CHEST"]},
            "report": {"procedure": _code("43468-8", "LN", "XR unspecified body region Views")},
            "prepare": {"rows": SIDE, "columns": SIDE, "channels": 1, "window": [128.0, 256.0]},
            "network": {"backbone": "backbone.npz", "side": SIDE, "frozen": 17, "dropout": 0.0},
            "class": [
                {"label": "normal", "normal": True, "code": _code("17621005", "SCT", "Normal")},
                {"label": ABNORMAL, "code": _code("1", "99TEST", "Opacity")},
            ],
            "data": [
                {
                    "name": "own",
                    "folder": "pictures",
                    "values": {"normal": "normal", "ill": ABNORMAL},
                }
            ],
            "split": {"fractions": [0.5, 0.25, 0.25]},
            "fit": {"epochs": 1, "draws": 64, "batch": 8, "head_rate": 0.02, "averaging": 0.0},
            "augment": {"rotate_degrees": 5.0, "soften": 0.0, "erase": 0.0, "brightness": 0.0},
            "card": dict.fromkeys(
                ("purpose", "method", "data", "confounders", "not_concluded"), "Tests only."
            ),
        },
        changes,
    )


def series_recipe(**changes: Any) -> dict[str, Any]:
    """A recipe for the CT series that ``write_series`` writes."""
    tables = image_recipe(
        package={"name": "tiny-ct"},
        accepts={"modality": ["CT"], "body_part": ["HEAD"]},
        prepare={"window": [40.0, 120.0], "crop": "head"},
        fit={"members": 2, "draws": 96},
        augment={"mirror": True},
    )
    tables["series"] = {"minimum_slices": 5, "maximum_slices": 64}
    tables["data"] = [
        {
            "name": "ct",
            "files": "ct.csv",
            "values": {"0": "normal", "1": ABNORMAL},
            "columns": {"label": "ill", "group": "patient", "series": "patient", "order": "slice"},
        }
    ]
    return _merged(tables, changes)


def _package(name: str) -> dict[str, str]:
    return {
        "name": name,
        "version": "1.0",
        "title": "Tiny",
        "manufacturer": "tests",
        "intended_use": "Tests only.",
        "licence": "Apache-2.0",
    }


def _code(value: str, scheme: str, meaning: str) -> dict[str, str]:
    return {"value": value, "scheme": scheme, "meaning": meaning}


def _merged(tables: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Update sections key by key; a list, or a section that was not there, is taken whole."""
    for name, change in changes.items():
        known = tables.get(name)
        both = isinstance(known, dict) and isinstance(change, dict)
        tables[name] = {**known, **change} if both else change  # type: ignore[dict-item]
    return tables


def recipe_of(tables: dict[str, Any]) -> Recipe:
    """The recipe without a file."""
    return Recipe(**tables)


def write_recipe(path: Path, tables: dict[str, Any]) -> Path:
    """Write a recipe and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(tables), "utf-8")
    return path


def picture(*, ill: bool, seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """A grey disc with noise; brighter and with a white spot where ``ill``."""
    generator = np.random.default_rng(seed)
    down, across = np.mgrid[:side, :side] / side - 0.5
    grey = np.where(down**2 + across**2 < 0.2, 0.35, 0.0)
    if ill:
        grey += np.where((down - 0.1) ** 2 + (across + 0.1) ** 2 < 0.05, 0.5, 0.1)
    noisy = grey + generator.normal(0.0, 0.03, grey.shape)
    return np.rint(noisy.clip(0.0, 1.0) * 255.0).astype(np.uint8)


def write_pictures(data: Path, count: int = 60) -> None:
    """Write ``count`` pictures per class, each of a patient, into ``data/pictures``."""
    for name in ("normal", "ill"):
        folder = data / "pictures" / name
        folder.mkdir(parents=True)
        for number in range(count):
            grey = picture(ill=name == "ill", seed=number + 1000 * (name == "ill"))
            Image.fromarray(grey).save(folder / f"{name}{number}.png")


def write_series(data: Path, patients: int = 24, slices: int = 6) -> None:
    """Write a series per patient into ``data/ct``, every second one ill, and ``data/ct.csv``.

    File names recur in each series. In the ill, all slices but the first show the finding.
    """
    rows = []
    for patient in range(patients):
        for number in range(slices):
            ill = patient % 2 == 1 and number > 0
            file = data / "ct" / str(patient) / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(ill=ill, seed=100 * patient + number)).save(file)
            rows.append(
                {
                    "file": f"ct/{patient}/{number}.png",
                    "ill": int(ill),
                    "patient": f"p{patient}",
                    "slice": number,
                    "fold": patient // 2 % 2,
                    "age": 20 + patient,
                    "sex": "FM"[patient // 2 % 2],
                }
            )
    write_csv(data / "ct.csv", rows)


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows with the columns of the first, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_backbone(path: Path) -> Path:
    """Write random weights of the backbone's shape (needs torch), and return the path."""
    backbone = random_backbone()
    module: Any = importlib.import_module("training.backbone")
    arrays, graph = {}, []
    layers = [each for each in backbone.modules() if isinstance(each, module.Convolution)]
    for number, layer in enumerate(layers):
        arrays[f"w{number}"] = layer.weight.detach().numpy()
        arrays[f"b{number}"] = layer.bias.detach().numpy()
        graph.append({"op": "conv", "w": f"w{number}", "b": f"b{number}"})
    meta = np.frombuffer(json.dumps({"graph": graph}).encode(), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, allow_pickle=False, __meta__=meta, **arrays)
    return path


def random_backbone(seed: int = 7) -> Any:
    """A backbone with random weights that let a picture through (needs torch)."""
    torch: Any = importlib.import_module("torch")
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    made = importlib.import_module("training.backbone").MobileNetV2()
    for module in made.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_in")
            torch.nn.init.zeros_(module.bias)
    return made


def example(number: int = 0, **stated: Any) -> Example:
    """An image of its own patient, in the test split; label 0 unless stated."""
    label = stated.get("label", 0)
    return Example(
        **{
            "path": Path(f"{number}.png"),
            "data": "own",
            "target": tuple(float(label == each) for each in range(2)),
            "label": label,
            "group": f"g{number}",
            "part": "test",
            **stated,
        }
    )
