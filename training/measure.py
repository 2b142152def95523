"""What an evaluation measures: the test split, groups within it, the recipe's questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.manifest import ClassificationSection
from training import baselines
from training.answers import Answers
from training.calibrate import threshold_for_sensitivity
from training.collection import Example, dealt_fold, matches, select
from training.errors import EvaluationError
from training.evaluate import Flags, Floats, auc, bootstrap, rate_figure
from training.figures import (
    Asked,
    advantage,
    answers,
    area,
    confusion,
    error_figures,
    overall,
    plain,
)
from training.recipe import TEST, TRAIN, QuestionSection, Recipe
from training.record import UNORDERED

_AGES = ((0, 18), (18, 40), (40, 60), (60, 130))
_GROUPED_BY = ("source", "view", "sex", "age")
_FOLDS = 5  # for the baselines of a collection that has none
_FEW = 5  # images below which a group is not shown


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that figures are made of.

    Attributes
    ----------
    recipe, section
        What to ask, and the operating point.
    examples
        All images, those of training included.
    greys
        Prepared pictures, for the thumbnail baseline.
    given
        What the model says.
    """

    recipe: Recipe
    section: ClassificationSection
    examples: Sequence[Example]
    greys: NDArray[np.uint8]
    given: Answers

    @property
    def abnormal(self) -> Floats:
        """Probability of "abnormal" of each image."""
        return np.asarray(1.0 - self.given.classes[:, 0])

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each image; -1 of a mixture."""
        return np.array([each.label for each in self.examples])

    def groups(self, at: NDArray[np.intp]) -> list[str]:
        """The patient of each image."""
        return [self.examples[i].group for i in at]

    def asked(self, at: NDArray[np.intp], positive: Flags, score: Floats) -> Asked:
        """Put a question to some images."""
        return Asked(score=score[at], positive=positive[at], groups=self.groups(at))


def measure_images(material: Material, scored: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return every figure of a model that reads image by image.

    Parameters
    ----------
    material
        The collection and what the model says of it.
    scored
        Cross-validated scores from ``training.json``, one entry per ``[[score]]``; with another
        number of them, as under a recipe that the package was not trained by, none is measured.
    """
    test = select(material.examples, lambda each: each.part == TEST and each.label >= 0)
    if not len(test):
        raise EvaluationError("no image is in the split 'test'; see [split]")
    positive = material.labels > 0
    point = material.section
    asked = material.asked(test, positive, material.abnormal)
    figures = overall(asked, point.threshold, point.indeterminate)
    trivial = _trivial(material, positive)
    figures["baselines"] = {
        name: {"auc": area(asked, score[test]), "advantage": advantage(asked, score[test])}
        for name, score in trivial.items()
    }
    chances, labels = material.given.classes[test], material.labels[test]
    right = chances.argmax(1) == labels
    figures["classes"] = {
        "labels": material.recipe.labels,
        "confusion": confusion(labels, chances),
        "accuracy": plain(bootstrap(lambda at: float(right[at].mean()), material.groups(test))),
    }
    figures["groups"] = _by_group(material, test, positive, trivial["thumbnail"])
    figures["questions"] = [_answer(material, each) for each in material.recipe.questions]
    figures["scores"] = _scores(material.recipe, scored)
    return figures


def _scores(recipe: Recipe, scored: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if len(scored) != len(recipe.scores):
        return []
    return [
        {"name": score.code.meaning, "lowest": score.lowest, "highest": score.highest}
        | error_figures(*(np.array(record[key]) for key in ("values", "folded", "constant")),
                        groups=record["groups"])
        for score, record in zip(recipe.scores, scored, strict=True)
    ]  # fmt: skip


def measure_series(material: Material, series: Sequence[NDArray[np.intp]]) -> dict[str, Any]:
    """Return every figure of a model that reads series: of studies, and of slices."""
    examples, point = material.examples, material.section
    positive = material.labels > 0
    first = [examples[at[0]] for at in series]
    urgent = np.array([positive[at].any() for at in series])
    owners = [each.group for each in first]
    asked = Asked(score=material.given.studies, positive=urgent, groups=owners)
    figures = overall(asked, point.threshold, point.indeterminate)
    folds = _folds(first)
    years = np.array([_years(each) for each in first])
    middle = np.array([at[len(at) // 2] for at in series])
    trivial = {} if np.isnan(years).all() else {"age": baselines.age(years, folds, urgent)}
    if any(each.fact("sex") for each in first):
        trivial["sex"] = baselines.across_folds(
            folds, lambda learn: baselines.fact("sex", first, learn, urgent)
        )
    trivial["thumbnail of the middle slice"] = baselines.across_folds(
        folds, lambda learn: baselines.thumbnail(material.greys[middle], learn, urgent)
    )
    figures["baselines"] = {
        name: {"auc": area(asked, score), "advantage": advantage(asked, score)}
        for name, score in trivial.items()
    }
    figures["slices"] = _slices(material, series, positive)
    figures["held_out"] = material.given.held_out
    figures["groups"] = _study_groups(first, asked)
    sexes = np.array([each.fact("sex") for each in first])
    if len(set(sexes.tolist())) > 1:
        figures["within_sex"] = within(asked, sexes)
    if material.given.held_out:
        figures["within_folds"] = _within_folds(asked, folds)
        figures["nested"] = nested(asked, folds, material.recipe.operating_point.sensitivity)
    return figures


def within(asked: Asked, strata: NDArray[np.str_]) -> list[float]:
    """Area over the pairs of one stratum only, so that knowing the stratum is worth nothing."""

    def stratified(at: NDArray[np.int64]) -> float:
        parts = [at[strata[at] == value] for value in np.unique(strata)]
        pairs = [int(asked.positive[each].sum() * (~asked.positive[each]).sum()) for each in parts]
        if not any(pairs):
            raise EvaluationError("no stratum has both answers")
        areas = [
            auc(asked.score[each], asked.positive[each]) if count else 0.0
            for each, count in zip(parts, pairs, strict=True)
        ]
        return float(np.average(areas, weights=pairs))

    return plain(bootstrap(stratified, asked.groups))


def _within_folds(asked: Asked, folds: NDArray[np.int64]) -> float:
    """Mean over the folds of the area within each: the networks of two folds differ in level."""
    parts = [asked.only(np.flatnonzero(folds == fold)) for fold in np.unique(folds)]
    areas = [auc(each.score, each.positive) for each in parts if 0 < each.positive.mean() < 1]
    return round(float(np.mean(areas)), 4)


def nested(asked: Asked, folds: NDArray[np.int64], sensitivity: float) -> dict[str, Any]:
    """Judge each fold at the threshold that the other folds would have chosen.

    The package's own threshold was chosen on the very scores that it is judged by here; this is
    what the choice is worth on studies that had no part in it.
    """
    called = np.empty(len(folds), dtype=bool)
    for fold in np.unique(folds):
        held = folds == fold
        chosen = threshold_for_sensitivity(asked.score[~held], asked.positive[~held], sensitivity)
        called[held] = asked.score[held] >= chosen
    result = {}
    for name, flags, right in (
        ("sensitivity", asked.positive, called),
        ("specificity", ~asked.positive, ~called),
    ):
        at = np.flatnonzero(flags)
        owners = [asked.groups[i] for i in at]
        result[name] = plain(rate_figure(right[at].astype(float), 0.5, owners))
    return result


def _folds(examples: Sequence[Example]) -> NDArray[np.int64]:
    """Folds for the baselines; patients are dealt out where the collection has none."""
    stated = np.array([each.fold for each in examples])
    if (stated >= 0).all() and len(set(stated.tolist())) > 1:
        return stated
    return np.array([dealt_fold(each.group, _FOLDS) for each in examples])


def _slices(
    material: Material, series: Sequence[NDArray[np.intp]], positive: Flags
) -> dict[str, Any]:
    """How well single slices are told apart, beside their position alone."""
    ordered = [at for at in series if material.examples[at[0]].part != UNORDERED]
    at = np.concatenate(ordered)
    place = np.concatenate([np.linspace(0.0, 1.0, len(each)) for each in ordered])
    folds = _folds([material.examples[i] for i in at])
    by_place = baselines.position(place, folds, positive[at])
    small = baselines.across_folds(
        folds, lambda learn: baselines.thumbnail(material.greys[at], learn, positive[at])
    )
    asked = material.asked(at, positive, material.abnormal)
    return {
        "n": [int(positive[at].sum()), int((~positive[at]).sum())],
        "auc": area(asked),
        "baselines": {
            name: {"auc": area(asked, score), "advantage": advantage(asked, score)}
            for name, score in (("slice position", by_place), ("thumbnail", small))
        },
    }


def _trivial(material: Material, positive: Flags) -> dict[str, Floats]:
    train = select(material.examples, lambda each: each.part == TRAIN and each.label >= 0)
    if not len(train) or positive[train].all() or not positive[train].any():
        raise EvaluationError("the baselines need normal and abnormal images in training")
    found = {"thumbnail": baselines.thumbnail(material.greys, train, positive)}
    for name in ("view", "sex"):
        if any(each.fact(name) for each in material.examples):
            found[name] = baselines.fact(name, material.examples, train, positive)
    return found


def _by_group(
    material: Material, test: NDArray[np.intp], positive: Flags, trivial: Floats
) -> list[dict[str, Any]]:
    """Figures within each source, view, sex and age of the test split."""
    rows: list[dict[str, Any]] = []
    for name in _GROUPED_BY:
        values = np.array([_value(material.examples[at], name) for at in test])
        for value in sorted(set(values.tolist()) - {""}):
            at = test[values == value]
            asked = material.asked(at, positive, material.abnormal)
            row = _group_row(name, value, asked, material.section.threshold)
            if row and asked.decidable:
                row["thumbnail"] = area(asked, trivial[at])
            rows += [row] if row else []
    return rows


def _study_groups(first: Sequence[Example], asked: Asked) -> list[dict[str, Any]]:
    rows = []
    for name in ("sex", "age"):
        values = np.array([_value(each, name) for each in first])
        for value in sorted(set(values.tolist()) - {""}):
            rows.append(_group_row(name, value, asked.only(np.flatnonzero(values == value)), None))
    return [row for row in rows if row]


def _group_row(name: str, value: str, asked: Asked, threshold: float | None) -> dict[str, Any]:
    if len(asked.positive) < _FEW:
        return {}
    yes = int(asked.positive.sum())
    row: dict[str, Any] = {"by": name, "value": value, "n": [yes, len(asked.positive) - yes]}
    if asked.decidable:
        row["auc"] = area(asked)
    if threshold is not None:
        row["called"] = {
            key: round(float(np.mean(asked.score[flags] >= threshold)), 4)
            for key, flags in (("yes", asked.positive), ("no", ~asked.positive))
            if flags.any()
        }
    return row


def _value(example: Example, name: str) -> str:
    """Value of a column to group by; ages in spans."""
    if name != "age":
        return example.fact(name)
    years = _years(example)
    for low, high in _AGES:
        if low <= years < high:
            return f"{low}-{high - 1}"
    return ""


def _years(example: Example) -> float:
    try:
        return float(example.fact("age"))
    except ValueError:
        return float("nan")


def _answer(material: Material, question: QuestionSection) -> dict[str, Any]:
    """Answer one of the recipe's questions."""
    trained = {each.group for each in material.examples if each.part == TRAIN}
    at = select(
        material.examples,
        lambda each: (
            each.data == question.data
            and each.group not in trained
            and matches(each.columns, question.where)
        ),
    )
    if not len(at):
        raise EvaluationError(f"question {question.title!r}: no image fits")
    section = material.section
    row: dict[str, Any] = {"title": question.title, "reference": question.reference}
    if not question.yes:
        score = material.abnormal[at]
        return row | {
            "n": len(at),
            "called_abnormal": plain(rate_figure(score, section.threshold, material.groups(at))),
            "answers": answers(score, section.threshold, section.indeterminate),
        }
    yes = np.array([matches(each.columns, question.yes) for each in material.examples])
    score, kind = material.abnormal, material.labels > 0
    if question.score != "abnormal":
        number = material.recipe.labels.index(question.score)
        score, kind = material.given.classes[:, number], material.labels == number
    asked = material.asked(at, yes, score)
    if asked.positive.all() or not asked.positive.any():
        raise EvaluationError(
            f"question {question.title!r}: {asked.positive.sum()} of {len(at)} images are a yes"
        )
    trivial = _trivial(material, kind)["thumbnail"][at]
    return row | {
        "n": [int(yes[at].sum()), int((~yes[at]).sum())],
        "auc": area(asked),
        "thumbnail": area(asked, trivial),
        "advantage": advantage(asked, trivial),
    }
