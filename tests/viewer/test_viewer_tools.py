"""What the other tests rest on: the viewer that was fetched, and the comparison of pictures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tools import viewer_files
from tools.viewer_files import NotFetchedError, pages
from tools.viewer_pixels import Picture, colour_likeness, likeness


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An npm that packs whatever lies in the file returned, or fails if there is none."""
    program, packed = tmp_path / "npm", tmp_path / "packed"
    program.write_text(f'#!/bin/sh\ncp "{packed}" package.tgz\n', "utf-8")
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _: str(program))
    return packed


def test_pages_that_are_not_those_once_stated_are_refused(npm: Path, tmp_path: Path) -> None:
    npm.write_bytes(b"something else")
    with pytest.raises(NotFetchedError, match="expected sha512-"):
        pages(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_pages_that_cannot_be_fetched(npm: Path, tmp_path: Path) -> None:
    assert not npm.exists()
    with pytest.raises(NotFetchedError, match="npm got no @ohif/app"):
        pages(tmp_path / "cache")


def test_without_npm_the_reason_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(NotFetchedError, match="apt-get install nodejs npm"):
        pages(tmp_path)


def test_an_npm_that_hangs(monkeypatch: pytest.MonkeyPatch, npm: Path, tmp_path: Path) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("npm", 300)

    monkeypatch.setattr("subprocess.run", hang)
    with pytest.raises(NotFetchedError, match="in 300 s"):
        pages(tmp_path / "cache")


def test_pages_that_are_there_are_not_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    there = tmp_path / f"ohif-{viewer_files.VERSION}"
    there.mkdir()
    assert pages(tmp_path) == there


def coloured(seed: int) -> Picture:
    """A picture of 300 rows and 200 columns, of coarse squares."""
    squares = np.random.default_rng(seed).integers(0, 256, (6, 4, 3), np.uint8)
    return squares.repeat(50, axis=0).repeat(50, axis=1)


def test_likeness_tells_a_picture_from_others_and_from_nothing() -> None:
    picture = coloured(1)
    shown = np.zeros((600, 1000, 3), np.uint8)
    assert likeness(shown, picture) == colour_likeness(shown, picture) == 0
    shown[:, 300:700] = picture.repeat(2, axis=0).repeat(2, axis=1)
    assert likeness(shown, picture) > 0.99
    assert colour_likeness(shown, picture) > 0.99
    assert likeness(shown, coloured(2)) < 0.5
    grey = picture.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
    assert likeness(shown, grey) > 0.99
    assert colour_likeness(shown, grey) == 0
