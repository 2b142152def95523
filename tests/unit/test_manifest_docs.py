"""The manifest's page: its examples are manifests, and every key of a manifest is on it."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from inference.manifest import Manifest
from inference.package import read_package
from inference.runtime import Model
from wetread.config import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
WHOLE, FOLDERS, *EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
COMMON = """
[model]
name = "example"
version = "1.0"
title = "Example"
manufacturer = "docs"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
intended_use = "Documentation."
licence = "Apache-2.0"

[accepts]
modality = ["MG"]
body_part = ["BREAST"]

[report]
procedure = { value = "43468-8", scheme = "LN", meaning = "XR unspecified body region Views" }

[prepare]
rows = 512
columns = 512
channels = 1
window = [40, 120]

[runtime]
input = "image"
"""


def first_words(example: str) -> str:
    return example.partition("\n")[0]


@pytest.mark.parametrize("example", EXAMPLES, ids=first_words)
def test_every_example_is_a_manifest(example: str) -> None:
    content = tomllib.loads(COMMON + example)
    if set(tomllib.loads(example)) in ({"urgency"}, {"translations"}):
        content |= tomllib.loads(EXAMPLES[0])
    manifest = Manifest(**content)
    dumped = manifest.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert dumped == content


def test_the_package_made_step_by_step_is_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    folder = tmp_path / "hand-fracture"
    folder.mkdir()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=folder, check=True)
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert "0" * 64 in WHOLE
    (folder / "model.toml").write_text(WHOLE.replace("0" * 64, digest), "utf-8")
    (folder / "CARD.md").write_text("# A card\n", "utf-8")
    model = Model(read_package(folder))
    outputs = model.run(np.zeros((3, 1, 256, 256), np.float32))
    assert outputs["probability"].shape == (3, 2)
    folders = Settings(**tomllib.loads(FOLDERS)).models.folders
    assert f"wetread models check {folders[0]}/{folder.name}" in PAGE


def test_there_is_an_example_of_every_kind() -> None:
    shown = {key for example in EXAMPLES for key in tomllib.loads(example)}
    assert shown == {
        "series", "classification", "score", "grade", "detection", "segmentation", "urgency",
        "translations",
    }  # fmt: skip


def keys(section: type[BaseModel]) -> set[str]:
    """Every key of a section and of those below it, as it is written in TOML."""
    found: set[str] = set()
    for name, field in section.model_fields.items():
        found.add(field.alias or name)
        for inner in sections_in(field.annotation):
            found |= keys(inner)
    return found


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for inner in getattr(annotation, "__args__", ()) for each in sections_in(inner)]


def test_every_key_is_on_the_page() -> None:
    spoken = set(re.findall(r"\w+", PAGE))
    assert keys(Manifest) - spoken == set()
