"""Reads archived files, and tells a bad file from an archive that is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from inference.errors import ArchiveError, PixelError


def read_file(path: Path, elements: list[str] | None = None) -> Dataset:
    """Read an archived instance, or only some ``elements`` of it and no pixels.

    Raises
    ------
    PixelError
        The file is gone, or no DICOM file.
    ArchiveError
        The file cannot be opened or read now; trying again may help.
    """
    return _read(path, {"specific_tags": elements, "stop_before_pixels": elements is not None})


def read_header(path: Path) -> Dataset:
    """Read an archived instance without its pixels; raises what ``read_file`` raises."""
    return _read(path, {"stop_before_pixels": True})


def _read(path: Path, options: dict[str, Any]) -> Dataset:
    try:
        return dcmread(path, **options)
    except Exception as error:  # the parser meets a peer's bytes and may raise anything
        kind = type(error).__name__
        away = isinstance(error, OSError) and error.errno is not None
        if away and not isinstance(error, FileNotFoundError):
            raise ArchiveError(f"the archive does not answer ({kind})") from error
        raise PixelError("archived file cannot be read ({kind})", kind=kind) from error
