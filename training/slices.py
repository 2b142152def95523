"""Trains a model that reads a series of slices, and judges it by cross-validation (needs torch)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import backbone
from training.augment import move, recolour
from training.calibrate import choose, fit_platt
from training.collection import Example, select
from training.errors import CollectionError
from training.graphs import SeriesGraph, mean_evidence, mirrored, neighbours
from training.images import learning_groups
from training.loop import History, Stage, fine_tune
from training.network import Classifier, loss
from training.package import Trained
from training.pictures import prepared
from training.recipe import Recipe, digest
from training.record import UNORDERED, pooled, series_of, slice_name
from training.region import resized
from training.work import Work, batches

Series = list[NDArray[np.intp]]
_POSITIVE = 0.4  # part of the slices drawn that show the finding


def train_slices(recipe: Recipe, examples: Sequence[Example], work: Work) -> Trained:
    """Cross-validate, then train on everything; calibrate on scores of the other folds.

    Raises
    ------
    CollectionError
        A series has no fold, fewer than ``training.record.MOST`` slices, or two patients.
    """
    work.progress.say(f"preparing {len(examples)} slices")
    greys = _sized(prepared(examples, recipe.preparation, work.folder), recipe.network.side)
    series = series_of(examples)
    folds = sorted({examples[at[0]].fold for at in series})
    if len(folds) < 2 or folds[0] < 0:
        raise CollectionError("a series recipe needs a column of folds, two or more, numbered")
    scores, history = np.empty(len(examples)), {}
    for fold in folds:
        held = [at for at in series if examples[at[0]].fold == fold]
        rest = [at for at in series if examples[at[0]].fold != fold]
        networks, history[f"fold {fold}"] = _members(recipe, examples, greys, rest, work, fold)
        for at in held:
            scores[at] = slice_logits(networks, greys[at])
    networks, history["all"] = _members(recipe, examples, greys, series, work, None)
    ordered = select(examples, lambda each: each.part != UNORDERED)
    labels = np.array([each.label for each in examples]) > 0
    study = np.array([pooled(scores[at]) for at in series])
    urgent = np.array([labels[at].any() for at in series])
    slices = fit_platt(scores[ordered], labels[ordered])
    whole = fit_platt(study, urgent)
    wanted = recipe.operating_point
    point = choose(
        whole(study), urgent, sensitivity=wanted.sensitivity, specificity=wanted.specificity
    )
    strong = _strong(networks, greys, labels)
    graph = SeriesGraph(networks, recipe.preparation, recipe.network.side, slices, whole, strong)
    return Trained(
        exported=graph.eval(),
        outputs={"probability": "1", "slice_probability": "N", "activation": "N"},
        example=_tensor(recipe, greys[series[0]]),
        point=point,
        calibration=whole,
        chosen=f"chosen in cross-validation for sensitivity {wanted.sensitivity:g}",
        history=history,
        facts={
            "folds": {
                "files": [slice_name(each) for each in examples],
                "slice_logits": scores.round(4).tolist(),
                "slice_calibration": vars(slices),
            },
            "studies": len(series),
            "urgent": int(urgent.sum()),
        },
    )


def _sized(greys: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    if greys.shape[-1] == side:
        return greys
    parts = [resized(torch.from_numpy(greys[at])[:, None].float(), side) for at in
             batches(np.arange(len(greys)))]  # fmt: skip
    return torch.cat(parts)[:, 0].round().to(torch.uint8).numpy()


def _tensor(recipe: Recipe, greys: NDArray[np.uint8]) -> Tensor:
    """The node's tensor of prepared slices; where sizes differ, an enlarged one."""
    how = recipe.preparation
    tensor = torch.from_numpy(greys)[:, None].float() / 255.0
    if tensor.shape[-1] != how.columns:
        tensor = nn.functional.interpolate(tensor, size=(how.rows, how.columns), mode="bilinear")
    return ((tensor - how.mean) / how.std).expand(-1, how.channels, -1, -1).contiguous()


def _members(
    recipe: Recipe,
    examples: Sequence[Example],
    greys: NDArray[np.uint8],
    series: Series,
    work: Work,
    fold: int | None,
) -> tuple[list[Classifier], History]:
    """Train every member on some series; return them, and the history of the first."""
    trained = []
    for member in range(recipe.fit.members):
        fit = recipe.fit.model_copy(update={"seed": recipe.fit.seed + member, "members": 1})
        own = recipe.model_copy(update={"fit": fit})
        trained.append(_train(own, examples, greys, series, work, fold))
    return [network for network, _ in trained], trained[0][1]


def _train(
    recipe: Recipe,
    examples: Sequence[Example],
    greys: NDArray[np.uint8],
    series: Series,
    work: Work,
    fold: int | None,
) -> tuple[Classifier, History]:
    """Train on some series, for a fixed number of epochs; ``fold`` is the one left out."""
    fit = recipe.fit
    stacked = {int(at): members for members in series for at in members}
    usable = [members for members in series if examples[members[0]].part != UNORDERED]
    at = np.concatenate(usable)
    found = np.array([examples[i].label > 0 for i in at])
    weights = torch.from_numpy(_weights(examples, at, found))
    steps = max(fit.draws // fit.batch, 1)
    targets = torch.tensor([each.target for each in examples])

    def draw(generator: torch.Generator) -> Iterable[tuple[Tensor, ...]]:
        drawn = torch.multinomial(weights, steps * fit.batch, replacement=True, generator=generator)
        for start in range(0, len(drawn), fit.batch):
            chosen = at[drawn[start : start + fit.batch].numpy()]
            picture = torch.stack([_with_neighbours(greys, stacked[int(i)], i) for i in chosen])
            moved = move(picture.float() / 255.0, recipe.augment, generator)
            yield recolour(moved, recipe.augment, generator), targets[chosen]

    def learn(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        picture, wanted = batch
        ones = torch.ones_like(picture[:, 0, 0, 0])
        whole = torch.ones_like(picture[:, :1])
        return loss(network(picture, whole), wanted, ones, ones, focal=fit.focal)

    torch.manual_seed(fit.seed)
    base = backbone.load(work.data / recipe.network.backbone)
    network: nn.Module = Classifier(base, len(recipe.classes), recipe.network.dropout)
    name = f"seed {fit.seed}, " + ("all" if fold is None else f"without fold {fold}")
    history = History()
    for part, epochs in (("head", 1), ("network", fit.epochs)):
        stage = Stage(
            name=f"{name}, {part}",
            draw=draw,
            steps=steps,
            loss=learn,
            validate=None,
            groups=learning_groups(network, recipe, head_only=part == "head"),
            fit=fit.model_copy(update={"epochs": epochs}),
            checkpoint=_checkpoint(work.folder, recipe, fold, part),
        )
        if epochs:
            network, history = fine_tune(network, stage, work.progress)
    if not isinstance(network, Classifier):
        raise TypeError("the loop returns the network that it was given")
    return network, history


def _checkpoint(folder: Path, recipe: Recipe, fold: int | None, part: str) -> Path:
    return folder / f"{part}-{digest(recipe, fold)}.pt"


def _weights(
    examples: Sequence[Example], at: NDArray[np.intp], found: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How often a slice is drawn: a patient with a large finding must not outweigh the others."""
    owners = [examples[i].group for i in at]
    count: defaultdict[str, int] = defaultdict(int)
    for owner, positive in zip(owners, found, strict=True):
        count[owner] += int(positive)
    each = np.array([count[owner] ** -0.5 if positive else 1.0 for owner, positive
                     in zip(owners, found, strict=True)])  # fmt: skip
    each[found] *= _POSITIVE / each[found].sum()
    each[~found] *= (1.0 - _POSITIVE) / each[~found].sum()
    return each


def _with_neighbours(greys: NDArray[np.uint8], members: NDArray[np.intp], at: int) -> Tensor:
    """Return a slice between its neighbours, (3, rows, columns), as ``graphs.neighbours``."""
    place = int(np.flatnonzero(members == at)[0])
    before, after = members[max(place - 1, 0)], members[min(place + 1, len(members) - 1)]
    return torch.from_numpy(greys[[before, at, after]])


def slice_logits(networks: Sequence[Classifier], greys: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Logits of the slices of one series in order: mean of networks and of mirror images."""
    picture = neighbours(torch.from_numpy(greys)[:, None].float() / 255.0)
    logits = np.zeros(len(picture))
    with torch.no_grad():
        for network, at in product(networks, batches(np.arange(len(picture)))):
            network.eval()
            logits[at] += mirrored(network, picture[at])[:, 0].double().numpy()
    return logits / len(networks)


def _strong(
    networks: Sequence[Classifier], greys: NDArray[np.uint8], labels: NDArray[np.bool_]
) -> float:
    """What nine slices of ten with the finding have as their strongest evidence, or more."""
    shown = np.flatnonzero(labels)[:: max(int(labels.sum()) // 64, 1)]
    slices = torch.from_numpy(greys[shown])[:, None].float() / 255.0
    with torch.no_grad():
        found = mean_evidence(networks, slices.expand(-1, 3, -1, -1))
    return max(float(found[:, 1].amax((1, 2)).quantile(0.1)), 1e-3)
