"""The chest radiograph collection: its rows, its splits by patient, its prepared pictures.

The collection is a folder with ``manifest.csv`` (one row per image) and the images it names.
``split`` is by patient; rows whose text label an expert reader contradicts are in ``conflict_*``
splits and are never trained on, nor are the external and paediatric ones.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.pixels import Preparation, prepare

CLASSES = ("normal", "pneumonia", "covid")
TRAIN, VAL, TEST = "train", "val", "test"
_CONFLICT = "conflict_"


class CollectionError(ValueError):
    """The collection cannot be used; the message says which file or column, and why."""


@dataclass(frozen=True, kw_only=True)
class Radiograph:
    """One row of the collection's manifest.

    Attributes
    ----------
    file
        Path of the image, relative to the collection.
    label
        Index into ``CLASSES``.
    split
        As in the manifest: train, val, test, or a split that is never trained on.
    group
        The patient, merged across sources.
    source, view
        Where the image comes from, and its projection, as in the manifest.
    reader
        Class given by expert readers, empty where none looked.
    folder
        For NIH images, the text label that selected them.
    """

    file: str
    label: int
    split: str
    group: str
    source: str
    view: str
    reader: str
    folder: str


def read_collection(folder: Path) -> list[Radiograph]:
    """Read ``manifest.csv``.

    Parameters
    ----------
    folder
        The collection.

    Returns
    -------
    list[Radiograph]
        In the order of the file.

    Raises
    ------
    CollectionError
        The manifest is missing, lacks a column, or names an unknown class.
    """
    path = folder / "manifest.csv"
    if not path.is_file():
        raise CollectionError(f"{path} does not exist; --data must name the collection's folder")
    with path.open(newline="", encoding="utf-8") as stream:
        return [_radiograph(row) for row in csv.DictReader(stream)]


def _radiograph(row: dict[str, str]) -> Radiograph:
    try:
        return Radiograph(
            file=row["file"],
            label=CLASSES.index(row["class"]),
            split=row["split"],
            group=row["group_id"],
            source=row["source"],
            view=row["view"],
            reader=row["rsna_reader_class"],
            folder=row["nih_folder"],
        )
    except KeyError as error:
        raise CollectionError(f"manifest.csv has no column {error}") from error
    except ValueError as error:
        raise CollectionError(f"{row['file']}: class must be one of {CLASSES}") from error


def select(rows: Iterable[Radiograph], wanted: Callable[[Radiograph], bool]) -> list[int]:
    """Return the positions of the rows for which ``wanted`` holds."""
    return [position for position, row in enumerate(rows) if wanted(row)]


def side(split: str) -> str:
    """Return the side of the training barrier a split lies on: ``conflict_test`` is ``test``."""
    return split.removeprefix(_CONFLICT)


def groups_on_two_sides(rows: Iterable[Radiograph]) -> set[str]:
    """Return the patients whose images lie in more than one split; must be empty."""
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        sides[row.group].add(side(row.split))
    return {group for group, seen in sides.items() if len(seen) > 1}


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read an exported radiograph as grey, shape (rows, columns), white is dense."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.uint8)


def prepared(
    folder: Path, rows: Sequence[Radiograph], preparation: Preparation, cache: Path | None = None
) -> NDArray[np.float16]:
    """Prepare every picture as the node does, and keep one channel in grey 0..1.

    Parameters
    ----------
    folder
        The collection.
    rows
        Images to prepare.
    preparation
        The model's ``[prepare]``.
    cache
        Folder for the result, reused when the same files are prepared in the same way; None to
        prepare every time.

    Returns
    -------
    NDArray[np.float16]
        Shape (images, rows, columns), 0..1; float16 rounds grey by less than 0.0003.
    """
    name = hashlib.sha256(repr(([row.file for row in rows], preparation)).encode()).hexdigest()
    kept = cache / f"prepared-{name[:16]}.npy" if cache else None
    if kept and kept.is_file():
        return np.asarray(np.load(kept, allow_pickle=False), dtype=np.float16)
    greys = np.empty((len(rows), preparation.rows, preparation.columns), np.float16)
    for position, row in enumerate(rows):
        tensor = prepare(read_picture(folder / row.file), preparation)[0]
        greys[position] = tensor * preparation.std + preparation.mean
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, greys)
    return greys


def contradicted(rows: Iterable[Radiograph], label: int) -> float:
    """How often expert readers contradict a text label on the training side, 0..1.

    Parameters
    ----------
    rows
        The collection; ``conflict_train`` rows are counted here and used for nothing else.
    label
        0: readers saw an opacity where the text has no finding. 1: readers saw a normal image
        where the text says pneumonia.
    """
    opposite = "Lung Opacity" if label == 0 else "Normal"
    read = [
        row.reader
        for row in rows
        if row.label == label and row.folder and row.reader and side(row.split) == TRAIN
    ]
    return read.count(opposite) / len(read) if read else 0.0
