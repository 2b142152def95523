"""Trains the network that finds the region to look at, from masks (needs torch)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training import backbone, region
from training.augment import augment
from training.collection import Example, matches, read_rows
from training.errors import CollectionError
from training.loop import History, Stage, device, fine_tune
from training.pictures import prepared
from training.recipe import TRAIN, VAL, AugmentSection, FitSection, Recipe, RegionSection, digest
from training.work import Work, batches


def train_region(
    recipe: Recipe,
    section: RegionSection,
    examples: Sequence[Example],
    greys: NDArray[np.uint8],
    work: Work,
) -> tuple[region.RegionNet, History]:
    """Train the network that finds the region, on the images that have a mask."""
    at, masks = _masks(recipe, section, examples, work)
    parts = np.array([examples[i].part for i in at])
    side = section.side
    small = region.resized(torch.from_numpy(greys[at])[:, None].float() / 255.0, side)
    wanted = region.resized(torch.from_numpy(masks)[:, None].float() / 255.0, side)
    learn, judge = (np.flatnonzero(parts == part) for part in (TRAIN, VAL))
    if not len(learn) or not len(judge):
        raise CollectionError("[region]: no image with a mask is in training, or in validation")
    size, how = min(16, len(learn)), _wider(recipe.augment)

    def draw(generator: torch.Generator) -> Iterable[tuple[Tensor, ...]]:
        order = learn[torch.randperm(len(learn), generator=generator).numpy()]
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            picture, mask = augment(small[chosen], wanted[chosen], how, generator)
            black = torch.rand(size, generator=generator) < section.blacken
            picture[black] = picture[black] * mask[black]
            yield picture, mask

    def validate(network: nn.Module) -> float:
        with torch.no_grad():
            found = [network(small[part].to(device())).cpu() for part in batches(judge)]
        return float(_mask_loss(torch.cat(found), wanted[judge]))

    torch.manual_seed(recipe.fit.seed)
    network = region.RegionNet(backbone.load(work.data / recipe.network.backbone), side)
    fit = recipe.fit.model_copy(
        update={"epochs": section.epochs, "patience": section.epochs, "averaging": 0.9}
    )
    stage = Stage(
        name="region",
        draw=draw,
        steps=len(learn) // size,
        loss=lambda net, batch: _mask_loss(net(batch[0]), batch[1]),
        validate=validate,
        groups=[{"params": list(network.parameters()), "lr": 2e-3}],
        fit=fit,
        checkpoint=work.folder / f"region-{digest(_depends(recipe))}.pt",
    )
    best, history = fine_tune(network, stage, work.progress)
    if not isinstance(best, region.RegionNet):
        raise TypeError("the loop returns the network that it was given")
    return best, history


def _depends(recipe: Recipe) -> Recipe:
    """The recipe without what only the classifier depends on, so that a region is kept."""
    unset = FitSection(seed=recipe.fit.seed)
    return recipe.model_copy(update={"fit": unset, "data": [], "split": None, "series": None})


def _wider(augmentation: AugmentSection) -> AugmentSection:
    """Wider changes than for the classifier: the frame is not cut yet, and nothing is erased."""
    return augmentation.model_copy(
        update={
            "rotate_degrees": 20.0, "scale": 0.35, "stretch": 0.15, "shift": 0.15, "mirror": True,
            "gamma": 0.6, "contrast": 0.3, "brightness": 0.12, "erase": 0.0,
        }
    )  # fmt: skip


def _masks(
    recipe: Recipe, section: RegionSection, examples: Sequence[Example], work: Work
) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Return the positions of the images with a mask, and the masks prepared as the images."""
    file = work.data / section.files
    places = {each.path: at for at, each in enumerate(examples)}
    found: dict[int, Path] = {}
    for row in read_rows(file, section.mask, "file", *section.where):
        wanted = row[section.mask] and matches(row, section.where)
        if wanted and file.parent / row["file"] in places:
            found[places[file.parent / row["file"]]] = file.parent / row[section.mask]
    if not found:
        raise CollectionError(f"{file}: no row has a {section.mask!r}")
    shown = [replace(examples[at], path=path) for at, path in found.items()]
    # A window: the mask's black and white stay what they are.
    how = replace(recipe.preparation, window=(0.0, 2.0))
    return np.array(list(found), dtype=np.intp), prepared(shown, how, work.folder)


def _mask_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy plus one minus the soft Dice coefficient."""
    share = torch.sigmoid(logits)
    overlap = 2.0 * (share * wanted).sum((1, 2, 3))
    dice = overlap / (share.sum((1, 2, 3)) + wanted.sum((1, 2, 3)) + 1.0)
    return functional.binary_cross_entropy_with_logits(logits, wanted) + 1.0 - dice.mean()
