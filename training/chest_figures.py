"""What the chest classifier is measured on: easy tests, hard tests, and trivial baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training import data
from training.calibrate import OperatingPoint
from training.data import Radiograph
from training.evaluate import (
    RESAMPLES,
    Figure,
    Flags,
    Floats,
    auc_figure,
    bootstrap,
    calibration_error,
    logistic_scores,
    rate_figure,
    thumbnails,
)

NORMAL, PNEUMONIA, COVID = range(3)
Wanted = Callable[[Radiograph], bool]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The collection with the model's probabilities.

    Attributes
    ----------
    rows
        All images, those of training included.
    probability
        Shape (images, classes), 0..1; not a number where no figure needs it.
    greys
        Prepared pictures, shape (images, rows, columns), for the thumbnail baseline.
    """

    rows: Sequence[Radiograph]
    probability: Floats
    greys: NDArray[np.float16]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A yes-or-no question that an area under the curve answers.

    Attributes
    ----------
    name
        Key of the figure.
    among
        The images it is asked of; none is of training.
    positive
        Whether the answer is yes.
    score
        0: probability of "not normal"; else probability of that class.
    """

    name: str
    among: Wanted
    positive: Wanted
    score: int = 0


def _abnormal(row: Radiograph) -> bool:
    return row.label != NORMAL


def _covid(row: Radiograph) -> bool:
    return row.label == COVID


def _in_test(source: str = "", view: str = "") -> Wanted:
    return lambda row: (
        row.split == data.TEST and source in ("", row.source) and view in ("", row.view)
    )


def _adjudicated(trained: set[str]) -> Wanted:
    return lambda row: (
        row.folder == "Pneumonia"
        and row.reader in ("Lung Opacity", "Normal")
        and row.group not in trained
    )


def questions(rows: Sequence[Radiograph]) -> list[Question]:
    """Return every question, the hard ones last."""
    trained = {row.group for row in rows if row.split == data.TRAIN}
    return [
        Question(name="abnormal", among=_in_test(), positive=_abnormal),
        Question(name="abnormal_pa", among=_in_test(view="PA"), positive=_abnormal),
        Question(name="abnormal_ap", among=_in_test(view="AP"), positive=_abnormal),
        Question(name="nih_pneumonia", among=_in_test("nih"), positive=_abnormal),
        Question(name="covid", among=_in_test(), positive=_covid, score=COVID),
        Question(name="covid_one_source", among=_in_test("ieee8023"), positive=_covid, score=COVID),
        Question(
            name="adjudicated",
            among=_adjudicated(trained),
            positive=lambda row: row.reader == "Lung Opacity",
        ),
        Question(
            name="children",
            among=lambda row: row.split == "external_paediatric",
            positive=_abnormal,
        ),
    ]


def measure(
    scored: Scored, point: OperatingPoint, count: int = RESAMPLES
) -> dict[str, Figure | str]:
    """Return every figure by name; ``*_n`` says on how many images it stands.

    The baseline of a question, ``*_thumbnail``, is a logistic regression on 16 x 16 thumbnails
    of the training split. Intervals stand on ``count`` resamples.
    """
    figures: dict[str, Figure | str] = {}
    trivial = {False: _trivial(scored, _abnormal), True: _trivial(scored, _covid)}
    for question in questions(scored.rows):
        at = data.select(scored.rows, question.among)
        positive = _flags(scored.rows, at, question.positive)
        groups = [scored.rows[index].group for index in at]
        figures[f"{question.name}_n"] = f"{positive.sum()} / {(~positive).sum()}"
        scores = _scores(scored.probability[at], question.score)
        figures[question.name] = auc_figure(scores, positive, groups, count)
        baseline = trivial[question.score == COVID][at]
        figures[f"{question.name}_thumbnail"] = auc_figure(baseline, positive, groups, count)
    return figures | _rates(scored, point, count) | _overall(scored, count)


def _trivial(scored: Scored, positive: Wanted) -> Floats:
    """Score every image by the thumbnail baseline."""
    small = thumbnails(scored.greys)
    train = data.select(scored.rows, lambda row: row.split == data.TRAIN)
    return logistic_scores(small[train], _flags(scored.rows, train, positive), small)


def _scores(probability: Floats, score: int) -> Floats:
    return np.asarray(1.0 - probability[:, NORMAL] if score == 0 else probability[:, score])


def _flags(rows: Sequence[Radiograph], at: Sequence[int], wanted: Wanted) -> Flags:
    return np.array([wanted(rows[index]) for index in at], dtype=bool)


def _rates(scored: Scored, point: OperatingPoint, count: int) -> dict[str, Figure | str]:
    """How often each kind of image is called abnormal, and how often the answer is open."""
    test = _in_test()
    kinds: dict[str, Wanted] = {
        "normal": lambda row: test(row) and row.label == NORMAL,
        "abnormal": lambda row: test(row) and row.label != NORMAL,
        "pneumonia": lambda row: test(row) and row.label == PNEUMONIA,
        "opacity_by_experts": lambda row: test(row) and row.reader == "Lung Opacity",
        "covid": lambda row: test(row) and row.label == COVID,
        "openist": lambda row: row.split == "external",
        "children_normal": lambda row: row.split == "external_paediatric" and not _abnormal(row),
        "children_pneumonia": lambda row: row.split == "external_paediatric" and _abnormal(row),
    }
    low, high = point.band
    result: dict[str, Figure | str] = {}
    for name, wanted in kinds.items():
        at = data.select(scored.rows, wanted)
        scores = _scores(scored.probability[at], 0)
        groups = [scored.rows[index].group for index in at]
        result[f"called_{name}_n"] = str(len(at))
        result[f"called_{name}"] = rate_figure(scores, point.threshold, groups, count)
        result[f"firm_{name}"] = f"{np.mean(scores >= high):.3f}"
        result[f"cleared_{name}"] = f"{np.mean(scores < low):.3f}"
        result[f"open_{name}"] = f"{np.mean((scores >= low) & (scores < high)):.3f}"
    return result


def _overall(scored: Scored, count: int) -> dict[str, Figure | str]:
    at = data.select(scored.rows, _in_test())
    labels = np.array([scored.rows[index].label for index in at])
    right = scored.probability[at].argmax(1) == labels
    groups = [scored.rows[index].group for index in at]
    abnormal = _scores(scored.probability[at], 0)
    table = np.zeros((3, 3), int)
    np.add.at(table, (labels, scored.probability[at].argmax(1)), 1)
    return {
        "accuracy": bootstrap(lambda chosen: float(right[chosen].mean()), groups, count),
        "confusion": str(table.tolist()),
        "calibration_error": f"{calibration_error(abnormal, labels > 0):.3f}",
    }
