"""Figures of merit with intervals by patient, and the baselines they must beat.

Nothing here needs torch: scores come in as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.errors import EvaluationError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with its 95 % interval.

    Attributes
    ----------
    value, low, high
        The figure on all images and the ends of its interval, same unit.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}-{self.high:.3f}]"


def auc(scores: Floats, positive: Flags) -> float:
    """Area under the ROC curve, 0..1, ties counted half.

    Raises
    ------
    EvaluationError
        All images are positive, or none is.
    """
    if positive.all() or not positive.any():
        raise EvaluationError(f"{positive.sum()} of {len(positive)} images are positive")
    # A fiftieth of scikit-learn's time, of which an evaluation takes 1,000 resamples of each area.
    others, found = np.sort(scores[~positive]), scores[positive]
    below, not_above = (np.searchsorted(others, found, each) for each in ("left", "right"))
    return float((below + not_above).mean() / (2.0 * len(others)))


def precision_area(scores: Floats, positive: Flags) -> float:
    """Average precision, 0..1: the area under the precision-recall curve.

    Raises
    ------
    EvaluationError
        All images are positive, or none is.
    """
    if positive.all() or not positive.any():
        raise EvaluationError(f"{positive.sum()} of {len(positive)} images are positive")
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # of those with one score
    hits = np.cumsum(positive[order])[last]
    return float(np.sum(np.diff(hits, prepend=0) * hits / (last + 1)) / hits[-1])


def rate(scores: Floats, threshold: float) -> float:
    """Part of the images, 0..1, that score at or above ``threshold``.

    Raises
    ------
    EvaluationError
        There are no images.
    """
    if not len(scores):
        raise EvaluationError("no images")
    return float(np.mean(scores >= threshold))


def resamples(groups: Sequence[str], count: int, seed: int) -> list[NDArray[np.int64]]:
    """Draw patients with replacement, and take all images of each one drawn.

    Parameters
    ----------
    groups
        Patient of each image.
    count
        Number of resamples.
    seed
        Of the generator.

    Returns
    -------
    list[NDArray[np.int64]]
        Positions of the images of each resample.
    """
    names, owner = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(owner == index) for index in range(len(names))]
    generator = np.random.default_rng(seed)
    return [
        np.concatenate([members[index] for index in generator.integers(0, len(names), len(names))])
        for _ in range(count)
    ]


def bootstrap(
    figure: Callable[[NDArray[np.int64]], float],
    groups: Sequence[str],
    count: int = RESAMPLES,
    seed: int = 20,
) -> Figure:
    """Measure ``figure`` on all images and its 95 % percentile interval over patients.

    Parameters
    ----------
    figure
        Takes positions of images; may raise ``EvaluationError`` on a resample of one class,
        which is then left out.
    groups
        Patient of each image.
    count, seed
        As in ``resamples``.
    """
    value = figure(np.arange(len(groups)))
    drawn = []
    for positions in resamples(groups, count, seed):
        try:
            drawn.append(figure(positions))
        except EvaluationError:
            continue
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(value=value, low=float(low), high=float(high))


def auc_figure(
    scores: Floats, positive: Flags, groups: Sequence[str], count: int = RESAMPLES
) -> Figure:
    """Area under the ROC curve with its interval by patient."""
    return bootstrap(lambda at: auc(scores[at], positive[at]), groups, count)


def rate_figure(
    scores: Floats, threshold: float, groups: Sequence[str], count: int = RESAMPLES
) -> Figure:
    """Part of the images at or above ``threshold``, with its interval by patient."""
    return bootstrap(lambda at: rate(scores[at], threshold), groups, count)


def calibration_error(scores: Floats, positive: Flags, bins: int = 10) -> float:
    """Expected calibration error, 0..1, over ``bins`` bins of equal width."""
    index = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = [
        abs(float(scores[index == b].mean() - positive[index == b].mean())) * np.mean(index == b)
        for b in np.unique(index)
    ]
    return float(np.sum(gaps))


def thumbnails(greys: NDArray[np.floating], size: int = 16) -> Floats:
    """Average square pictures, (images, n, n), to flat thumbnails (images, size * size)."""
    count, rows, _ = greys.shape
    block = rows // size
    cut = greys[:, : block * size, : block * size].astype(np.float64)
    means = cut.reshape(count, size, block, size, block).mean(axis=(2, 4))
    return np.asarray(means.reshape(count, -1))


def logistic_scores(
    inputs: Floats, positive: Flags, others: Floats, penalty: float = 10.0
) -> Floats:
    """Fit an L2-penalised logistic regression on standardised inputs, and score other images.

    Parameters
    ----------
    inputs, positive
        Training images, shape (images, values), and whether each is positive.
    others
        Images to score, shape (m, values).
    penalty
        Of half the squared weights.

    Returns
    -------
    Floats
        Probability of each of ``others``, shape (m,).

    Raises
    ------
    EvaluationError
        All training images are positive, or none is.
    """
    if positive.all() or not positive.any():
        raise EvaluationError(
            f"a baseline has {positive.sum()} of {len(positive)} positive to learn from"
        )
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=1.0 / penalty, max_iter=1000))
    return np.asarray(fitted.fit(inputs, positive).predict_proba(others)[:, 1])
