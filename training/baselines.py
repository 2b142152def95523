"""Trivial baselines: what a model must beat to have shown that it looks at the finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.collection import Example
from training.evaluate import Flags, Floats, logistic_scores, thumbnails


def thumbnail(greys: NDArray[np.uint8], train: NDArray[np.intp], positive: Flags) -> Floats:
    """Score every picture by a logistic regression on 16 x 16 thumbnails.

    Parameters
    ----------
    greys
        Prepared pictures, shape (images, n, n).
    train
        Positions that it learns from.
    positive
        Whether each of all images is positive; used at ``train`` only.
    """
    small = thumbnails(greys)
    return logistic_scores(small[train], positive[train], small)


def fact(
    name: str, examples: Sequence[Example], train: NDArray[np.intp], positive: Flags
) -> Floats:
    """Score every example by how often its view, sex or source is positive in training."""
    values = np.array([each.fact(name) for each in examples])
    seen = values[train]
    rates = {value: positive[train][seen == value].mean() for value in set(seen.tolist())}
    return np.array([rates.get(value, 0.5) for value in values])


def across_folds(folds: NDArray[np.int64], score: Callable[[NDArray[np.intp]], Floats]) -> Floats:
    """Score each fold by a baseline that learned from the others; ``score`` takes what to learn."""
    result = np.empty(len(folds))
    for fold in np.unique(folds):
        result[folds == fold] = score(np.flatnonzero(folds != fold))[folds == fold]
    return result


def position(order: Floats, folds: NDArray[np.int64], positive: Flags) -> Floats:
    """Score slices by where they lie in their series, 0 caudal to 1 cranial."""
    inputs = np.stack([order, order**2, order**3], 1)
    return across_folds(
        folds, lambda learn: logistic_scores(inputs[learn], positive[learn], inputs, penalty=0.1)
    )


def age(years: Floats, folds: NDArray[np.int64], positive: Flags) -> Floats:
    """Score studies by the patient's age; an unknown one counts as the mean."""
    known = np.where(np.isfinite(years), years, np.nanmean(years))
    inputs = np.stack([known, known**2], 1)
    return across_folds(
        folds, lambda learn: logistic_scores(inputs[learn], positive[learn], inputs, penalty=0.1)
    )
