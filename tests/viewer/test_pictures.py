"""The pictures in the documents are there, are shown, and are no burden to load."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tools.pictures import DOCS

ROOT = DOCS.parent


@pytest.mark.parametrize(
    ("page", "pictures"),
    [
        (ROOT / "README.md", ["docs/viewer.png"]),
        (DOCS / "results.md", ["viewer.png", "overlay.png"]),
    ],
)
def test_the_documents_show_the_pictures(page: Path, pictures: list[str]) -> None:
    text = page.read_text("utf-8")
    for picture in pictures:
        assert f"]({picture})" in text or f'<img src="{picture}"' in text
    assert "make pictures" in text


@pytest.mark.parametrize("name", ["viewer.png", "overlay.png"])
def test_a_picture_is_no_burden_to_load(name: str) -> None:
    file = DOCS / name
    assert file.stat().st_size < 600_000
    with Image.open(file) as picture:
        assert 600 <= picture.width <= 1600
