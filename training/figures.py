"""Every figure of an evaluation, as plain values that JSON can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from training.errors import EvaluationError
from training.evaluate import (
    Figure,
    Flags,
    Floats,
    auc,
    auc_figure,
    bootstrap,
    calibration_error,
    precision_area,
    rate_figure,
)

PREVALENCES = (0.05, 0.2, 0.5)
_CURVE = 200  # points of a curve that are kept
_BINS = 10
_LEAST = 10  # images of each kind below which a group has no area


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One yes-or-no question put to some images or studies.

    Attributes
    ----------
    score
        What the model says, probability of yes, 0..1, shape (n,).
    positive
        The truth, shape (n,).
    groups
        The patient of each.
    """

    score: Floats
    positive: Flags
    groups: Sequence[str]

    def only(self, at: NDArray[np.intp]) -> Asked:
        """Return the question put to some of them."""
        groups = [self.groups[i] for i in at]
        return Asked(score=self.score[at], positive=self.positive[at], groups=groups)

    @property
    def decidable(self) -> bool:
        """Whether there are enough of both kinds for an area under the curve."""
        yes = int(self.positive.sum())
        return yes >= _LEAST and len(self.positive) - yes >= _LEAST


def plain(figure: Figure) -> list[float]:
    """Return value, lower and upper end, rounded."""
    return [round(each, 4) for each in (figure.value, figure.low, figure.high)]


def area(asked: Asked, score: Floats | None = None) -> list[float]:
    """Area under the ROC curve with its interval, of the model or of another score."""
    return plain(auc_figure(asked.score if score is None else score, asked.positive, asked.groups))


def advantage(asked: Asked, other: Floats) -> list[float]:
    """Area of the model minus that of another score on the same resamples, with interval."""
    return plain(
        bootstrap(
            lambda at: (
                auc(asked.score[at], asked.positive[at]) - auc(other[at], asked.positive[at])
            ),
            asked.groups,
        )
    )


def overall(asked: Asked, threshold: float, band: tuple[float, float] | None) -> dict[str, Any]:
    """Everything about one yes-or-no answer at an operating point."""
    score, positive = asked.score, asked.positive
    yes, no = np.flatnonzero(positive), np.flatnonzero(~positive)
    if not len(yes) or not len(no):
        raise EvaluationError(f"{len(yes)} abnormal and {len(no)} normal: both are needed")
    sensitivity = rate_figure(score[yes], threshold, [asked.groups[i] for i in yes])
    alarms = rate_figure(score[no], threshold, [asked.groups[i] for i in no])
    return {
        "n": [len(yes), len(no)],
        "auc": area(asked),
        "average_precision": plain(
            bootstrap(lambda at: precision_area(score[at], positive[at]), asked.groups)
        ),
        "threshold": threshold,
        "sensitivity": plain(sensitivity),
        "specificity": [round(1.0 - each, 4) for each in (alarms.value, alarms.high, alarms.low)],
        "accuracy": plain(
            bootstrap(
                lambda at: float(np.mean((score[at] >= threshold) == positive[at])), asked.groups
            )
        ),
        "predictive_values": [
            _predictive(sensitivity.value, alarms.value, each) for each in PREVALENCES
        ],
        "calibration_error": round(calibration_error(score, positive), 4),
        "answers": {
            "yes": answers(score[yes], threshold, band),
            "no": answers(score[no], threshold, band),
        },
        "curves": _curves(score, positive),
    }


def answers(score: Floats, threshold: float, band: tuple[float, float] | None) -> dict[str, float]:
    """Part of the images that get each answer of the node."""
    low, high = band or (threshold, threshold)
    open_ = (score >= low) & (score < high)
    return {
        "abnormal": round(float(np.mean((score >= threshold) & ~open_)), 4),
        "indeterminate": round(float(np.mean(open_)), 4),
        "normal": round(float(np.mean((score < threshold) & ~open_)), 4),
    }


def _predictive(sensitivity: float, alarms: float, prevalence: float) -> dict[str, float | None]:
    """Positive and negative predictive value where this part of all studies is abnormal.

    None where nothing is called so.
    """
    hit, alarm = sensitivity * prevalence, alarms * (1.0 - prevalence)
    miss, clear = (1.0 - sensitivity) * prevalence, (1.0 - alarms) * (1.0 - prevalence)
    return {
        "prevalence": prevalence,
        "ppv": round(hit / (hit + alarm), 4) if hit + alarm else None,
        "npv": round(clear / (clear + miss), 4) if clear + miss else None,
    }


def _curves(score: Floats, positive: Flags) -> dict[str, list[list[float]]]:
    """Return the ROC, precision-recall and calibration curves as lists of points."""
    false, true, _ = roc_curve(positive, score)
    precision, recall, _ = precision_recall_curve(positive, score)
    bins = np.minimum((score * _BINS).astype(int), _BINS - 1)
    calibration = [
        [
            float(score[bins == b].mean()),
            float(positive[bins == b].mean()),
            float((bins == b).sum()),
        ]
        for b in np.unique(bins)
    ]
    return {
        "roc": _thinned(false, true),
        "precision_recall": _thinned(recall, precision),
        "calibration": [[round(value, 4) for value in point] for point in calibration],
    }


def _thinned(x: Floats, y: Floats) -> list[list[float]]:
    at = np.unique(np.linspace(0, len(x) - 1, min(len(x), _CURVE)).astype(int))
    return [[round(float(x[i]), 4), round(float(y[i]), 4)] for i in at]


def confusion(labels: NDArray[np.int64], chances: Floats) -> list[list[int]]:
    """Count images by true class (rows) and likeliest class (columns)."""
    table = np.zeros((chances.shape[1],) * 2, int)
    np.add.at(table, (labels, chances.argmax(1)), 1)
    result: list[list[int]] = table.tolist()
    return result


def error_figures(
    values: Floats, predicted: Floats, constant: Floats, groups: Sequence[str]
) -> dict[str, Any]:
    """Mean absolute error of a score, and of saying the same of every image."""

    def mean_error(said: Floats) -> list[float]:
        return plain(bootstrap(lambda at: float(np.abs(said[at] - values[at]).mean()), groups))

    varies = values.std() > 0 and predicted.std() > 0
    return {
        "n": len(values),
        "mae": mean_error(predicted),
        "mae_constant": mean_error(constant),
        "correlation": round(float(np.corrcoef(values, predicted)[0, 1]), 3) if varies else None,
    }
