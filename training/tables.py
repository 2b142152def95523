"""The figures of an evaluation as tables of text: for the card, the page and the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """A table with a title; every cell is text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def interval(figure: Sequence[float] | None) -> str:
    """Write a figure with its 95 % interval: ``0.874 [0.820-0.920]``."""
    return "" if not figure else f"{figure[0]:.3f} [{figure[1]:.3f}-{figure[2]:.3f}]"


def signed(figure: Sequence[float]) -> str:
    """Write a difference with its interval."""
    return f"{figure[0]:+.3f} [{figure[1]:+.3f} to {figure[2]:+.3f}]"


def share(value: float | None, places: int = 3) -> str:
    """Write a bare figure; nothing where it is not defined."""
    return "" if value is None else f"{value:.{places}f}"


def counts(n: Sequence[int] | int) -> str:
    """Write how many are positive and negative."""
    return str(n) if isinstance(n, int) else f"{n[0]} / {n[1]}"


def tables(figures: dict[str, Any]) -> list[Table]:
    """Return all tables, in the order of their weight."""
    found = [_overall(figures), _baselines(figures)]
    if "slices" in figures:
        found.append(_slices(figures["slices"]))
    if figures.get("questions"):
        found += _questions(figures["questions"])
    if figures.get("scores"):
        found.append(_scores(figures["scores"]))
    found += [_answers(figures), _predictive(figures)]
    if "classes" in figures:
        found.append(_confusion(figures["classes"]))
    if figures.get("groups"):
        found.append(_groups(figures["groups"]))
    return [each for each in found if each.rows]


def _overall(figures: dict[str, Any]) -> Table:
    rows = [("abnormal / normal", counts(figures["n"]))]
    for key, name in (
        ("auc", "area under the ROC curve"),
        ("average_precision", "average precision"),
        ("sensitivity", f"sensitivity at {figures['threshold']:.4f}"),
        ("specificity", f"specificity at {figures['threshold']:.4f}"),
        ("accuracy", "accuracy"),
    ):
        rows.append((name, interval(figures[key])))
    if "within_sex" in figures:
        rows.insert(2, ("the same, compared within one sex", interval(figures["within_sex"])))
    if "within_folds" in figures:
        rows.insert(2, ("the same within each fold, mean", f"{figures['within_folds']:.3f}"))
    for name, figure in figures.get("nested", {}).items():
        rows.append((f"{name}, threshold chosen on the other folds", interval(figure)))
    rows.append(("expected calibration error", f"{figures['calibration_error']:.3f}"))
    return Table("Abnormal against normal", ("figure", "value [95 %]"), rows)


def _baselines(figures: dict[str, Any]) -> Table:
    rows = [("this model", interval(figures["auc"]), "")]
    rows += [
        (f"{name} alone", interval(each["auc"]), signed(each["advantage"]))
        for name, each in figures["baselines"].items()
    ]
    return Table("Beside trivial baselines", ("scored by", "AUC", "model is better by"), rows)


def _slices(slices: dict[str, Any]) -> Table:
    rows = [(f"this model ({counts(slices['n'])})", interval(slices["auc"]), "")]
    rows += [
        (f"{name} alone", interval(each["auc"]), signed(each["advantage"]))
        for name, each in slices["baselines"].items()
    ]
    return Table("Single slices", ("scored by", "AUC", "model is better by"), rows)


def _questions(questions: list[dict[str, Any]]) -> list[Table]:
    areas = [
        (each["title"], counts(each["n"]), interval(each["auc"]), interval(each["thumbnail"]),
         each["reference"])
        for each in questions if "auc" in each
    ]  # fmt: skip
    rates = [
        (each["title"], counts(each["n"]), interval(each["called_abnormal"]),
         *(f"{each['answers'][key]:.3f}" for key in ("abnormal", "indeterminate", "normal")))
        for each in questions if "auc" not in each
    ]  # fmt: skip
    return [
        Table("Hard tests", ("question", "yes / no", "AUC", "thumbnail", "reference"), areas),
        Table(
            "How often images are called abnormal",
            ("images", "n", "at or above the threshold", "abnormal", "indeterminate", "normal"),
            rates,
        ),
    ]


def _scores(scores: list[dict[str, Any]]) -> Table:
    rows = [
        (f"{each['name']} ({each['lowest']:g}-{each['highest']:g})", str(each["n"]),
         interval(each["mae"]), interval(each["mae_constant"]), share(each["correlation"], 2))
        for each in scores
    ]  # fmt: skip
    head = (
        "score, cross-validated",
        "n",
        "mean absolute error",
        "saying the median",
        "correlation",
    )
    return Table("Scores", head, rows)


def _answers(figures: dict[str, Any]) -> Table:
    rows = [
        (name, *(f"{figures['answers'][key][answer]:.3f}"
                 for answer in ("abnormal", "indeterminate", "normal")))
        for key, name in (("yes", "abnormal"), ("no", "normal"))
    ]  # fmt: skip
    return Table(
        "What the node answers",
        ("truly", "called abnormal", "indeterminate", "called normal"),
        rows,
    )


def _predictive(figures: dict[str, Any]) -> Table:
    rows = [
        (f"{100 * each['prevalence']:.0f} %", share(each["ppv"]), share(each["npv"]))
        for each in figures["predictive_values"]
    ]
    return Table("Predictive values at the operating point", ("prevalence", "PPV", "NPV"), rows)


def _confusion(classes: dict[str, Any]) -> Table:
    rows = [
        (label, *map(str, row))
        for label, row in zip(classes["labels"], classes["confusion"], strict=True)
    ]
    title = f"Likeliest class (accuracy {interval(classes['accuracy'])})"
    return Table(title, ("truly", *classes["labels"]), rows)


def _groups(groups: list[dict[str, Any]]) -> Table:
    rows = [
        (f"{each['by']} {each['value']}", counts(each["n"]), interval(each.get("auc")),
         interval(each.get("thumbnail")),
         *(share(each.get("called", {}).get(key)) for key in ("yes", "no")))
        for each in groups
    ]  # fmt: skip
    head = ("group", "abnormal / normal", "AUC", "thumbnail", "abnormal called abnormal",
            "normal called abnormal")  # fmt: skip
    return Table("Within groups", head, rows)


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join("| " + " | ".join(map(_cell, cells)) + " |" for cells in lines)


def _cell(text: str) -> str:
    """Text that ends neither its cell nor its row."""
    return " ".join(text.split()).replace("|", "\\|")
