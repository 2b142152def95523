"""Fits scores on named scales to a trained network's features, judged by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.collection import Example, read_rows
from training.errors import CollectionError
from training.recipe import RecipeScore

Floats = NDArray[np.float64]
_PENALTIES = np.logspace(1, 5, 17)


@dataclass(frozen=True, kw_only=True)
class Rated:
    """The images that bear a score.

    Attributes
    ----------
    at
        Their positions in the collection, shape (n,).
    values
        Their scores, shape (n,).
    folds
        Number of the fold of each, shape (n,).
    groups
        The patient of each.
    """

    at: NDArray[np.intp]
    values: Floats
    folds: NDArray[np.int64]
    groups: list[str]


@dataclass(frozen=True, kw_only=True)
class FittedScore:
    """A linear score, and what it says of images of other folds than it was fitted on.

    Attributes
    ----------
    weight, bias
        The score is ``features @ weight + bias``; shape (features,).
    values, folded, constant, folds, groups
        True scores, scores from cross-validation, and the mean of the other folds, all (n,).
    """

    weight: Floats
    bias: float
    values: Floats
    folded: Floats
    constant: Floats
    groups: list[str]


def rated(score: RecipeScore, folder: Path, examples: Sequence[Example]) -> Rated:
    """Find the images that bear a score.

    Raises
    ------
    CollectionError
        The file lacks a column, names an image that no ``[[data]]`` has, holds something else
        than numbers, or has one fold only.
    """
    file = folder / score.files
    rows = read_rows(file, score.image, score.column, score.fold, score.group)
    places = {each.path: at for at, each in enumerate(examples)}
    try:
        at = np.array([places[file.parent / row[score.image]] for row in rows], dtype=np.intp)
    except KeyError as error:
        raise CollectionError(f"{file}: no [[data]] has the image {error}") from error
    numbers = [_numbers(score, row) for row in rows]
    folds = np.array([fold for fold, _ in numbers])
    if len(set(folds.tolist())) < 2:
        raise CollectionError(f"{file}: one fold only; cross-validation needs two")
    values = np.array([value for _, value in numbers])
    return Rated(at=at, values=values, folds=folds, groups=[row[score.group] for row in rows])


def _numbers(score: RecipeScore, row: dict[str, str]) -> tuple[int, float]:
    """Fold and value of a row."""
    try:
        return int(row[score.fold]), float(row[score.column])
    except ValueError as error:
        raise CollectionError(
            f"{row[score.image]}: {score.column} or {score.fold} is no number"
        ) from error


def fit_score(score: RecipeScore, images: Rated, features: Floats) -> FittedScore:
    """Fit a ridge regression, and judge it on folds by patient.

    Parameters
    ----------
    score
        Its scale.
    images
        What to fit.
    features
        Of the images, shape (n, features).
    """
    folded, constant = np.empty_like(images.values), np.empty_like(images.values)
    for fold in np.unique(images.folds):
        held = images.folds == fold
        fitted = _ridge().fit(features[~held], images.values[~held])
        folded[held] = np.clip(fitted.predict(features[held]), score.lowest, score.highest)
        constant[held] = np.median(images.values[~held])
    scaler, ridge = (step for _, step in _ridge().fit(features, images.values).steps)
    weight = ridge.coef_ / scaler.scale_
    return FittedScore(
        weight=np.asarray(weight),
        bias=float(ridge.intercept_ - weight @ scaler.mean_),
        values=images.values,
        folded=folded,
        constant=constant,
        groups=images.groups,
    )


def _ridge() -> object:
    return make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))
