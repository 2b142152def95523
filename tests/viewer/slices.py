"""Slices as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset

from tests.dicomfiles import as_file


def written(folder: Path, slices: Sequence[Dataset]) -> list[Path]:
    """Write slices as DICOM files into a folder and return their paths."""
    folder.mkdir()
    paths = [folder / f"{number}.dcm" for number in range(len(slices))]
    for path, each in zip(paths, slices, strict=True):
        path.write_bytes(as_file(each))
    return paths
