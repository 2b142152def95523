"""Makes the ``cxr-covid`` package: train, calibrate, choose the operating point, export, measure.

Run ``python -m training.chest --data DIR --weights NPZ --out inference/zoo/cxr-covid``.
Needs torch and onnx (extra: train).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inference.pixels import Preparation
from training import data
from training.backbone import load
from training.calibrate import OperatingPoint, choose, fit_temperature, log_loss, softmax
from training.chest_card import card
from training.chest_figures import Scored, measure
from training.chest_manifest import manifest
from training.export import export_onnx, write_manifest
from training.fit import Examples, Plan, batches, fine_tune, fit_head, logits_of
from training.network import Classifier, Exported

PREPARATION = Preparation(rows=224, columns=224)
SENSITIVITY, SPECIFICITY = 0.95, 0.90


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What validation decided: temperature, operating point, and strong evidence."""

    temperature: float
    point: OperatingPoint
    strong: float


def targets(rows: Sequence[data.Radiograph], everything: Sequence[data.Radiograph]) -> NDArray:
    """Wanted probabilities of each row, shape (rows, classes).

    Where experts read the image, or the label does not come from a report's text, the label is
    certain. Elsewhere it is softened by how often experts contradicted that text label on the
    training side: a "Pneumonia" from a report's text is a normal image in one case of five.
    """
    wanted = np.eye(len(data.CLASSES), dtype=np.float32)[[row.label for row in rows]]
    wrong = {label: data.contradicted(everything, label) for label in (0, 1)}
    for target, row in zip(wanted, rows, strict=True):
        if row.folder and not row.reader:
            target[row.label] = 1.0 - wrong[row.label]
            target[1 - row.label] = wrong[row.label]
    return wanted


def weights(rows: Sequence[data.Radiograph]) -> NDArray[np.float64]:
    """Weight of each row: one over the root of how many share its class and source.

    So the few normal and pneumonia images of the source that holds all COVID-19 images are seen
    often enough for the network to learn that the source is not the disease.
    """
    cells = [(row.label, row.source) for row in rows]
    return np.array([cells.count(cell) ** -0.5 for cell in cells])


def examples(rows: Sequence[data.Radiograph], greys: NDArray[np.float16], split: str) -> Examples:
    """Collect one split."""
    at = data.select(rows, lambda row: row.split == split)
    chosen = [rows[index] for index in at]
    return Examples(greys=greys[at], targets=targets(chosen, rows), weights=weights(chosen))


def calibrate(classifier: Classifier, val: Examples) -> Calibration:
    """Fit the temperature and choose the operating point on the validation split."""
    logits = logits_of(classifier, val.greys, PREPARATION)
    temperature = fit_temperature(logits, val.labels)
    abnormal = 1.0 - softmax(logits, temperature)[:, 0]
    point = choose(abnormal, val.labels > 0, sensitivity=SENSITIVITY, specificity=SPECIFICITY)
    peaks = []
    with torch.no_grad():
        for batch in batches(val.greys, PREPARATION, 32):
            peaks.append(classifier.evidence(classifier.backbone(batch)).amax((2, 3)).numpy())
    own = np.concatenate(peaks)[np.arange(len(val.labels)), val.labels]
    return Calibration(temperature=temperature, point=point, strong=float(np.median(own)))


def build(arguments: argparse.Namespace) -> None:
    """Make the package from the parsed command line."""
    rows = data.read_collection(arguments.data)
    if crossing := data.groups_on_two_sides(rows):
        raise data.CollectionError(f"{len(crossing)} patients lie in more than one split")
    greys = data.prepared(arguments.data, rows, PREPARATION, arguments.cache)
    train, val = (examples(rows, greys, split) for split in (data.TRAIN, data.VAL))
    classifier = fitted(arguments, train, val)
    classifier.eval()
    calibration = calibrate(classifier, val)
    exported = Exported(classifier, calibration.temperature, calibration.strong)
    write_package(arguments, exported, calibration, rows, greys)


def fitted(arguments: argparse.Namespace, train: Examples, val: Examples) -> Classifier:
    """Fit the head and then the network, or take the weights of an earlier run."""
    torch.manual_seed(arguments.seed)
    classifier = Classifier(load(arguments.weights), len(data.CLASSES))
    classifier = classifier.to(memory_format=torch.channels_last)
    if arguments.trained:
        classifier.load_state_dict(torch.load(arguments.trained, weights_only=True))
        return classifier
    plan = Plan(epochs=arguments.epochs, seed=arguments.seed)
    fit_head(classifier, train, PREPARATION, plan)
    loss = log_loss(softmax(logits_of(classifier, val.greys, PREPARATION)), val.labels, val.weights)
    print(f"head: val {loss:.4f}", flush=True)
    if plan.epochs:
        classifier = fine_tune(classifier, train, val, PREPARATION, plan)
    if arguments.keep:
        torch.save(classifier.state_dict(), arguments.keep)
    return classifier


def write_package(
    arguments: argparse.Namespace,
    exported: Exported,
    calibration: Calibration,
    rows: Sequence[data.Radiograph],
    greys: NDArray[np.float16],
) -> None:
    """Write ``model.onnx``, ``model.toml`` and ``CARD.md``, and print what was measured."""
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    example = next(batches(greys[:2], PREPARATION, 2))
    digest = export_onnx(exported, example, out / "model.onnx")
    probability = np.full((len(rows), len(data.CLASSES)), np.nan)
    at = data.select(rows, lambda row: row.split not in (data.TRAIN, "paediatric_pretrain"))
    logits = logits_of(exported.classifier, greys[at], PREPARATION)
    probability[at] = softmax(logits, calibration.temperature)
    point = calibration.point
    facts = _facts(arguments, calibration, rows)
    write_manifest(manifest(digest, PREPARATION, point, facts), out / "model.toml")
    figures = measure(Scored(rows=rows, probability=probability, greys=greys), point)
    (out / "CARD.md").write_text(card(figures, point, facts), encoding="utf-8")
    print(json.dumps({name: str(figure) for name, figure in figures.items()}, indent=1))


def _facts(
    arguments: argparse.Namespace, calibration: Calibration, rows: Sequence[data.Radiograph]
) -> dict[str, object]:
    count = {
        f"{split}_n": len(data.select(rows, lambda row, split=split: row.split == split))
        for split in (data.TRAIN, data.VAL, data.TEST)
    }
    return {
        "seed": arguments.seed,
        "epochs": arguments.epochs,
        "temperature": round(calibration.temperature, 4),
        "date": datetime.now(UTC).date().isoformat(),
        "wrong_normal": f"{data.contradicted(rows, 0):.2f}",
        "wrong_pneumonia": f"{data.contradicted(rows, 1):.2f}",
        **count,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and make the package."""
    parser = argparse.ArgumentParser(prog="python -m training.chest", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the collection's folder")
    parser.add_argument("--weights", type=Path, required=True, help="backbone, .npz")
    parser.add_argument("--out", type=Path, required=True, help="folder of the package")
    parser.add_argument("--cache", type=Path, help="folder to keep prepared pictures in")
    parser.add_argument("--keep", type=Path, help="file to keep torch weights in")
    parser.add_argument("--trained", type=Path, help="kept torch weights; only calibrate and write")
    parser.add_argument("--epochs", type=int, default=Plan.epochs, help="0 trains only the head")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    build(arguments)


if __name__ == "__main__":
    main()
