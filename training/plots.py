"""Plots of an evaluation as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_SIZE = (4.6, 4.2)  # inches
_BLUE, _GREY = "#1f5fa8", "#999999"


def draw_plots(figures: dict[str, Any], out: Path) -> dict[str, str]:
    """Draw ROC, precision-recall, calibration and training history.

    Returns
    -------
    dict[str, str]
        Title to file name within ``out``.
    """
    mpl.use("Agg")
    curves = figures["curves"]
    prevalence = figures["n"][0] / sum(figures["n"])
    drawn = {
        "ROC curve": ("roc.png", _roc(curves["roc"], figures)),
        "Precision and recall": ("precision-recall.png", _precision(curves, prevalence)),
        "Calibration": ("calibration.png", _calibration(curves["calibration"], figures)),
    }
    for name, history in figures["history"].items():
        if history["train"]:
            file = f"history-{name.replace(' ', '-')}.png"
            drawn[f"Training: {name}"] = (file, _history(history))
    for file, figure in drawn.values():
        figure.savefig(out / file, dpi=120)
    return {title: file for title, (file, _) in drawn.items()}


def _axes(across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    return figure, axes


def _roc(points: list[list[float]], figures: dict[str, Any]) -> Figure:
    figure, axes = _axes("1 - specificity", "sensitivity")
    value, low, high = figures["auc"]
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":")
    axes.plot(*zip(*points, strict=True), color=_BLUE,
              label=f"AUC {value:.3f} [{low:.3f}-{high:.3f}]")  # fmt: skip
    axes.plot(1 - figures["specificity"][0], figures["sensitivity"][0], "o", color="#d55e00",
              label=f"operating point {figures['threshold']:.3f}")  # fmt: skip
    axes.legend(loc="lower right", fontsize=8)
    return figure


def _precision(curves: dict[str, Any], prevalence: float) -> Figure:
    figure, axes = _axes("recall (sensitivity)", "precision (PPV)")
    axes.axhline(prevalence, color=_GREY, linestyle=":", label="prevalence here")
    axes.plot(*zip(*curves["precision_recall"], strict=True), color=_BLUE)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower left", fontsize=8)
    return figure


def _calibration(bins: list[list[float]], figures: dict[str, Any]) -> Figure:
    figure, axes = _axes("stated probability of abnormal", "part that is abnormal")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":")
    stated, true, count = zip(*bins, strict=True)
    axes.plot(stated, true, "o-", color=_BLUE, markersize=5,
              label=f"expected calibration error {figures['calibration_error']:.3f}")  # fmt: skip
    for x, y, n in zip(stated, true, count, strict=True):
        axes.annotate(f"{n:.0f}", (x, y), textcoords="offset points", xytext=(4, -9), fontsize=7)
    axes.legend(loc="upper left", fontsize=8)
    return figure


def _history(history: dict[str, Any]) -> Figure:
    figure, axes = _axes("epoch", "loss")
    epochs = range(1, len(history["train"]) + 1)
    axes.plot(epochs, history["train"], "o-", color=_BLUE, label="training, changed images")
    if history["val"]:
        axes.plot(epochs, history["val"], "o-", color="#d55e00", label="validation")
        axes.axvline(history["best"] + 1, color=_GREY, linestyle=":", label="kept")
    axes.legend(fontsize=8)
    return figure
