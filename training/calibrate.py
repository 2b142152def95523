"""Turns scores into calibrated probabilities and an operating point, on validation data only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from training.errors import CalibrationError

Floats = NDArray[np.float64]


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


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The probability of "abnormal" is ``sigmoid(scale * logit + shift)`` (Platt, 1999)."""

    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, logits: Floats) -> Floats:
        """Return probabilities, 0..1, same shape as ``logits``."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.scale * logits + self.shift))))


def fit_platt(logits: Floats, positive: NDArray[np.bool_]) -> Calibration:
    """Find the scale and shift with the least log loss.

    Parameters
    ----------
    logits
        Of "abnormal", shape (images,).
    positive
        Whether each image is abnormal.

    Raises
    ------
    CalibrationError
        The images are all abnormal, or none is; or greater logits do not mean more abnormal.
    """
    if positive.all() or not positive.any():
        raise CalibrationError(f"{positive.sum()} of {len(positive)} images are abnormal")
    # A faint penalty, so that a perfect separation does not ask for certainty.
    fitted = LogisticRegression(C=10.0).fit(logits[:, None], positive)
    scale, shift = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if scale <= 0:
        raise CalibrationError("the network's scores do not rise with abnormality")
    return Calibration(scale=scale, shift=shift)


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
