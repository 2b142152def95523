"""Prepared pictures of a collection, made with the node's own code, and kept between runs."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from inference.crop import head_box
from inference.errors import PixelError
from inference.pixels import Preparation, displayed, prepare
from training.collection import Example
from training.errors import CollectionError


def read_picture(path: Path, preparation: Preparation) -> NDArray[np.uint8]:
    """Read an image as a viewer shows it: grey, shape (rows, columns), white is dense.

    A DICOM file goes through the node's own window or LUT; a PNG or JPEG file is taken to be
    exported in it.

    Raises
    ------
    CollectionError
        The file cannot be read as an image, or has more than 8 bits and says no window.
    """
    try:
        if path.suffix.lower() == ".dcm":
            return displayed(dcmread(path), preparation.window)
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):  # converting would clip all above 255 to white
                raise CollectionError(f"{path}: more than 8 bits per pixel; export it in a window")
            return np.asarray(image.convert("L"), dtype=np.uint8)
    except PixelError as error:
        raise CollectionError(f"{path}: {error}") from error
    except (OSError, ValueError, InvalidDicomError, Image.DecompressionBombError) as error:
        raise CollectionError(f"{path}: cannot be read ({type(error).__name__})") from error


def prepared(
    examples: Sequence[Example], preparation: Preparation, cache: Path | None = None
) -> NDArray[np.uint8]:
    """Prepare every picture as the node does, and keep one channel.

    Parameters
    ----------
    examples
        Images to prepare; those of one series share the box around the head.
    preparation
        The package's ``[prepare]``.
    cache
        Folder for the result, reused while the same files are prepared in the same way; None to
        prepare every time.

    Returns
    -------
    NDArray[np.uint8]
        Shape (images, rows, columns); 255 is grey 1 of the node's tensor, rounded to 1/255.

    Raises
    ------
    CollectionError
        An image is missing or cannot be read.
    """
    files = [(str(each.path), size_of(each.path)) for each in examples]
    name = hashlib.sha256(repr((files, preparation)).encode()).hexdigest()[:16]
    kept = cache / f"prepared-{name}.npy" if cache else None
    if kept and kept.is_file():
        return np.asarray(np.load(kept, allow_pickle=False))
    greys = np.empty((len(examples), preparation.rows, preparation.columns), np.uint8)
    for positions in _together(examples):
        pictures = [read_picture(examples[at].path, preparation) for at in positions]
        box = head_box(pictures) if preparation.crop == "head" else None
        for at, picture in zip(positions, pictures, strict=True):
            tensor = prepare(picture, preparation, box)[0]
            greys[at] = np.rint((tensor * preparation.std + preparation.mean) * 255.0)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")  # whole or not at all, should it be killed now
        with part.open("wb") as stream:
            np.save(stream, greys)
        part.replace(kept)
    return greys


def size_of(path: Path) -> int:
    """Return the size of an image file, bytes.

    Raises
    ------
    CollectionError
        There is no such file.
    """
    if not path.is_file():
        raise CollectionError(f"{path} does not exist")
    return path.stat().st_size


def _together(examples: Sequence[Example]) -> list[list[int]]:
    """Positions of images that are prepared together: a series, else each by itself."""
    series: defaultdict[object, list[int]] = defaultdict(list)
    for position, each in enumerate(examples):
        series[(each.data, each.series) if each.series else position].append(position)
    return list(series.values())
