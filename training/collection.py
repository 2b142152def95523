"""The images of a recipe: which there are, what they show, whose they are, which side they are on.

A collection is a CSV file with a row per image, or a folder per class. Splits are by patient;
a patient on two sides is an error, never a warning.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import CollectionError
from training.recipe import TEST, TRAIN, VAL, DataSection, Recipe, SplitSection, Where

SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm")
SCORED = "scored"
_CONFLICT = "conflict_"
_FACTS = ("source", "view", "sex", "age")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One image and what is known of it.

    Attributes
    ----------
    path
        The image file.
    data
        Name of its collection in the recipe.
    target
        Wanted probability of each class, in the recipe's order.
    label
        Index of the class before any softening; -1 of a mixture.
    group
        The patient.
    part
        ``train``, ``val``, ``test``, or another value of the split column.
    fold
        Number of the fold for cross-validation; -1 if it has none.
    screens, kinds
        Whether it teaches to tell normal from abnormal, and the abnormal classes apart.
    weight
        How often it is drawn relative to others.
    series, order
        The series it belongs to, and its place there, caudal first.
    columns
        The row of the CSV file.
    facts
        ``source``, ``view``, ``sex`` and ``age``, from whichever column holds them.
    """

    path: Path
    data: str
    target: tuple[float, ...]
    label: int
    group: str
    part: str
    fold: int = -1
    screens: bool = True
    kinds: bool = True
    weight: float = 1.0
    series: str = ""
    order: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def fact(self, name: str) -> str:
        """Source, view, sex or age, empty if it is not known."""
        return self.facts.get(name, "")


def matches(columns: Mapping[str, str], where: Where) -> bool:
    """Whether a row has one of the wanted values in each named column."""
    return all(columns.get(name, "") in wanted for name, wanted in where.items())


def select(examples: Iterable[Example], wanted: Callable[[Example], bool]) -> NDArray[np.intp]:
    """Return the positions of the examples for which ``wanted`` holds."""
    return np.array([i for i, each in enumerate(examples) if wanted(each)], dtype=np.intp)


def read_rows(path: Path, *needed: str) -> list[dict[str, str]]:
    """Read a CSV file.

    Raises
    ------
    CollectionError
        The file is missing, empty or not UTF-8, or lacks a needed column.
    """
    if not path.is_file():
        raise CollectionError(f"{path} does not exist; --data must name the folder that holds it")
    try:
        # Spreadsheets write a byte order mark, which would become part of the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, restval=""))
    except UnicodeDecodeError as error:
        raise CollectionError(f"{path} is not UTF-8 text") from error
    if not rows:
        raise CollectionError(f"{path} has no rows")
    for name in needed:
        if name not in rows[0]:
            raise CollectionError(f"{path} has no column {name!r}")
    return rows


def read_collection(recipe: Recipe, folder: Path) -> list[Example]:
    """Read every image that the recipe names.

    Parameters
    ----------
    recipe
        What to read.
    folder
        ``--data``; the recipe's paths are relative to it.

    Raises
    ------
    CollectionError
        A file is missing, a column or value is unknown, or a patient is on two sides.
    """
    examples = [each for section in recipe.data for each in _read(recipe, section, folder)]
    scored = _scored_groups(recipe, folder)
    examples = [_set_aside(each, scored) for each in examples]
    crossing = groups_on_two_sides(examples)
    if crossing:
        raise CollectionError(f"{len(crossing)} patients lie in more than one split")
    return examples


def _read(recipe: Recipe, section: DataSection, folder: Path) -> Iterator[Example]:
    rows = _file_rows(section, folder) if section.files else _folder_rows(section, folder)
    taken = [row for row in rows if matches(row[1], section.where)]
    if not taken:
        raise CollectionError(f"data {section.name}: no image fits; see where, files and folder")
    for path, columns in taken:
        yield _example(recipe, section, path, columns)


def _file_rows(section: DataSection, folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    file = folder / section.files
    names, doubts = section.columns, [doubt.where for doubt in section.unsure]
    # A column misspelt in a condition would match no row, and nobody would notice.
    asked = [name for where in (section.where, section.screens, section.kinds, *doubts)
             for name in where]  # fmt: skip
    placed = [name for name in (names.series, names.order) if name]
    for row in read_rows(file, names.image, names.label, *placed, *asked):
        yield file.parent / row[names.image], row


def _folder_rows(section: DataSection, folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    root = folder / section.folder
    for name in section.values:
        if not (root / name).is_dir():
            raise CollectionError(f"{root / name} does not exist; one folder per class is expected")
        for path in sorted((root / name).rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                inner = path.relative_to(root / name)
                # A folder within the class's folder is a patient.
                patient = inner.parts[0] if len(inner.parts) > 1 else path.stem
                yield (
                    path,
                    {
                        section.columns.image: path.relative_to(root).as_posix(),
                        section.columns.label: name,
                        section.columns.group: patient,
                    },
                )


def _example(recipe: Recipe, section: DataSection, path: Path, columns: dict[str, str]) -> Example:
    names, value = section.columns, columns[section.columns.label]
    if value not in section.values:
        raise CollectionError(f"{path.name}: {names.label} {value!r} is not among [[data]] values")
    sure = _sure_target(recipe.labels, section.values[value])
    group = columns.get(names.group) or path.stem
    target, weight = _softened(recipe.labels, section, columns, sure)
    return Example(
        path=path,
        data=section.name,
        target=target,
        label=sure.index(1.0) if 1.0 in sure else -1,
        group=group,
        part=_part(recipe.split, columns.get(names.split, ""), group),
        fold=_fold(recipe.split, columns.get(names.fold, ""), group),
        screens=matches(columns, section.screens),
        kinds=matches(columns, section.kinds),
        weight=section.weight * weight,
        series=columns.get(names.series, "") if names.series else "",
        order=_order(columns[names.order], path) if names.order else 0,
        columns=columns,
        facts={name: columns.get(getattr(names, name), "") for name in _FACTS},
    )


def _fold(split: SplitSection, stated: str, group: str) -> int:
    if not stated and split.folds:
        return dealt_fold(group, split.folds)
    return int(stated) if stated.isdecimal() else -1


def dealt_fold(group: str, folds: int) -> int:
    """Deal a patient to one of so many folds, the same way every time."""
    return int(hashlib.sha256(f"fold {group}".encode()).hexdigest()[:8], 16) % folds


def _order(stated: str, path: Path) -> int:
    try:
        return int(stated)
    except ValueError as error:
        raise CollectionError(f"{path.name}: {stated!r} is no place in a series") from error


def _sure_target(labels: Sequence[str], meant: str | Mapping[str, float]) -> tuple[float, ...]:
    chances = {meant: 1.0} if isinstance(meant, str) else dict(meant)
    total = sum(chances.values())
    return tuple(chances.get(label, 0.0) / total for label in labels)


def _softened(
    labels: Sequence[str],
    section: DataSection,
    columns: Mapping[str, str],
    sure: tuple[float, ...],
) -> tuple[tuple[float, ...], float]:
    """Move the stated part of an unsure label between normal and abnormal; and its weight."""
    for doubt in section.unsure:
        label = labels.index(doubt.label) if doubt.label in labels else -1
        if label >= 0 and sure[label] == 1.0 and matches(columns, doubt.where):
            other = 1 if label == 0 else 0
            soft = list(sure)
            soft[label], soft[other] = 1.0 - doubt.wrong, doubt.wrong
            return tuple(soft), doubt.weight
    return sure, 1.0


def _part(split: SplitSection, stated: str, group: str) -> str:
    if not stated:
        return dealt(group, split.fractions)
    for part, values in ((TRAIN, split.train), (VAL, split.val), (TEST, split.test)):
        if stated in values:
            return part
    return stated


def dealt(group: str, fractions: tuple[float, float, float]) -> str:
    """Deal a patient to training, validation or test, the same way every time."""
    place = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF * sum(fractions)
    if place < fractions[0]:
        return TRAIN
    return VAL if place < fractions[0] + fractions[1] else TEST


def _scored_groups(recipe: Recipe, folder: Path) -> set[str]:
    return {
        row[score.group]
        for score in recipe.scores
        for row in read_rows(folder / score.files, score.group, score.column, score.image)
    }


def _set_aside(example: Example, scored: set[str]) -> Example:
    """Keep patients with scores out of training and validation (see ``RecipeScore``)."""
    if example.group in scored and example.part in (TRAIN, VAL):
        return replace(example, part=SCORED)
    return example


def side(part: str) -> str:
    """Return the side of the training barrier a part lies on: ``conflict_test`` is ``test``."""
    return part.removeprefix(_CONFLICT)


def groups_on_two_sides(examples: Iterable[Example]) -> set[str]:
    """Return the patients with images in training and elsewhere; must be empty."""
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for each in examples:
        sides[each.group].add(side(each.part))
    return {group for group, seen in sides.items() if len(seen) > 1}


def sampling_weights(examples: Sequence[Example]) -> NDArray[np.float64]:
    """Return how often each image is drawn: one over the root of how many share its kind.

    A kind is a class within a collection and a source, so that the few images of a class in one
    source are seen often enough for the network to learn that the source is not the disease.
    """
    cells = [(each.data, each.fact("source"), each.target) for each in examples]
    count: defaultdict[object, int] = defaultdict(int)
    for cell in cells:
        count[cell] += 1
    weights = [each.weight * count[c] ** -0.5 for each, c in zip(examples, cells, strict=True)]
    return np.array(weights)
