"""Turns scores into calibrated probabilities and an operating point, on validation data only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class CalibrationError(ValueError):
    """The validation data cannot carry the choice, e.g. it holds no abnormal image."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Where a probability of "abnormal" becomes an answer.

    Attributes
    ----------
    threshold
        From this probability, 0..1, on an image is called abnormal.
    band
        Between these two probabilities, which enclose ``threshold``, the answer is
        "indeterminate".
    """

    threshold: float
    band: tuple[float, float]


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Return probabilities, same shape as ``logits`` (images, classes)."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_loss(probability: Floats, labels: Labels, weights: Floats | None = None) -> float:
    """Weighted mean of ``-log(probability of the label)``, nats."""
    picked = probability[np.arange(len(labels)), labels]
    return float(np.average(-np.log(np.clip(picked, 1e-9, 1.0)), weights=weights))


def fit_temperature(logits: Floats, labels: Labels, weights: Floats | None = None) -> float:
    """Find the temperature, 0.25..8, with the least log loss (Guo et al., 2017).

    Parameters
    ----------
    logits
        Shape (images, classes).
    labels
        Index of the true class, shape (images,).
    weights
        Weight of each image; None for equal ones.

    Raises
    ------
    CalibrationError
        There are no images.
    """
    if not len(labels):
        raise CalibrationError("no validation images to fit a temperature on")
    temperatures = np.exp(np.linspace(np.log(0.25), np.log(8.0), 400))
    losses = [log_loss(softmax(logits, float(t)), labels, weights) for t in temperatures]
    return float(temperatures[int(np.argmin(losses))])


def threshold_for_sensitivity(scores: Floats, positive: NDArray[np.bool_], target: float) -> float:
    """Return the greatest threshold at which at least ``target`` of the positives score as high.

    Raises
    ------
    CalibrationError
        No image is positive, or ``target`` is outside 0..1.
    """
    found = np.sort(scores[positive])
    if not found.size or not 0.0 <= target <= 1.0:
        raise CalibrationError(f"{found.size} positive images, target sensitivity {target}")
    missed = int(np.floor((1.0 - target) * found.size + 1e-9))
    return float(found[min(missed, found.size - 1)])


def threshold_for_specificity(scores: Floats, positive: NDArray[np.bool_], target: float) -> float:
    """Return the least observed score below which at least ``target`` of the negatives lie.

    Raises
    ------
    CalibrationError
        No image is negative, or ``target`` is outside 0..1.
    """
    negatives = scores[~positive]
    if not negatives.size or not 0.0 <= target <= 1.0:
        raise CalibrationError(f"{negatives.size} negative images, target specificity {target}")
    for candidate in np.sort(scores):
        if float(np.mean(negatives < candidate)) >= target:
            return float(candidate)
    return 1.0


def choose(
    scores: Floats, positive: NDArray[np.bool_], *, sensitivity: float, specificity: float
) -> OperatingPoint:
    """Choose the operating point and the band around it.

    Parameters
    ----------
    scores
        Probability of "abnormal" of each validation image, 0..1.
    positive
        Whether it is abnormal.
    sensitivity
        Wanted at the threshold. The band begins where half of the remaining misses are found.
    specificity
        Wanted at the upper end of the band.
    """
    threshold = threshold_for_sensitivity(scores, positive, sensitivity)
    low = threshold_for_sensitivity(scores, positive, (1.0 + sensitivity) / 2.0)
    high = threshold_for_specificity(scores, positive, specificity)
    # Rounded down, so that the image the threshold was chosen by still reaches it.
    threshold, low = (float(np.floor(value * 1e4)) / 1e4 for value in (threshold, low))
    return OperatingPoint(threshold=threshold, band=(low, max(round(high, 4), threshold)))
