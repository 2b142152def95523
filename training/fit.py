"""Fits a classifier: the head first on frozen features, then the whole network (needs torch)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inference.pixels import Preparation
from training.augment import augment
from training.calibrate import log_loss, softmax
from training.network import Classifier


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Prepared images with what the network should say of them.

    Attributes
    ----------
    greys
        Shape (images, rows, columns), 0..1.
    targets
        Wanted probability of each class, shape (images, classes).
    weights
        How often an image is drawn relative to others in training, and how much it counts in
        validation, shape (images,).
    """

    greys: NDArray[np.float16]
    targets: NDArray[np.float32]
    weights: NDArray[np.float64]

    @property
    def content(self) -> NDArray[np.float32]:
        """Half height and half width of each picture within its square, (images, 2), 0..1."""
        size = self.greys.shape[1]
        lit = self.greys > 0
        return np.stack([lit.any(2).sum(1), lit.any(1).sum(1)], 1).astype(np.float32) / size

    @property
    def labels(self) -> NDArray[np.int64]:
        """Index of the likeliest class of each image."""
        return self.targets.argmax(1).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how fast to learn.

    Attributes
    ----------
    epochs, patience
        At most this many passes; stop after ``patience`` without a better validation loss.
    batch
        Images per step.
    rate, head_rate
        Greatest learning rates of the backbone and the head (AdamW, cosine decay).
    decay
        Weight decay.
    averaging
        Part of the running average of the weights kept at each step, 0..1.
    frozen
        Leading blocks of the backbone left as they are.
    head_passes
        Passes over the examples that the first head is fitted on.
    seed
        Of every random number.
    """

    epochs: int = 12
    patience: int = 5
    batch: int = 24
    rate: float = 5e-5
    head_rate: float = 5e-4
    decay: float = 0.02
    averaging: float = 0.98
    frozen: int = 7
    head_passes: int = 2
    seed: int = 20


def model_input(greys: Tensor, preparation: Preparation) -> Tensor:
    """Normalise (images, 1, rows, columns) grey 0..1 and repeat it over the channels."""
    normal = (greys - preparation.mean) / preparation.std
    image = normal.expand(-1, preparation.channels, -1, -1)
    return image.contiguous(memory_format=torch.channels_last)  # half the time on a CPU


def batches(greys: NDArray[np.float16], preparation: Preparation, size: int) -> Iterator[Tensor]:
    """Yield the network's input for consecutive images."""
    for start in range(0, len(greys), size):
        part = torch.from_numpy(greys[start : start + size].astype(np.float32))
        yield model_input(part[:, None], preparation)


@torch.no_grad()
def features(
    classifier: Classifier, greys: NDArray[np.float16], preparation: Preparation
) -> Tensor:
    """Pooled features of unchanged images, shape (images, features)."""
    classifier.eval()
    parts = [classifier.backbone(b).mean((2, 3)) for b in batches(greys, preparation, 32)]
    return torch.cat(parts)


def logits_of(
    classifier: Classifier, greys: NDArray[np.float16], preparation: Preparation
) -> NDArray[np.float64]:
    """Logits of unchanged images, shape (images, classes)."""
    with torch.no_grad():
        result = classifier.head(features(classifier, greys, preparation))
    return np.asarray(result.double().numpy())


def fit_head(
    classifier: Classifier, examples: Examples, preparation: Preparation, plan: Plan
) -> None:
    """Set the head to a logistic regression on the frozen backbone's features.

    The features are those of changed images, ``plan.head_passes`` times as many as there are
    examples, so that the head is a fair start for ``fine_tune``.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    classifier.eval()
    inputs, wanted = [], []
    with torch.no_grad():
        for _ in range(plan.head_passes):
            for greys, targets in _drawn(examples, plan.batch, generator):
                inputs.append(classifier.backbone(model_input(greys, preparation)).mean((2, 3)))
                wanted.append(targets)
    _regress(classifier.head, torch.cat(inputs), torch.cat(wanted))


def _regress(head: nn.Linear, inputs: Tensor, targets: Tensor, penalty: float = 1e-2) -> None:
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=200)

    def loss() -> Tensor:
        optimiser.zero_grad()
        total = functional.cross_entropy(head(inputs), targets)
        total = total + penalty * head.weight.square().sum()
        total.backward()
        return total

    optimiser.step(loss)


def fine_tune(
    classifier: Classifier,
    train: Examples,
    val: Examples,
    preparation: Preparation,
    plan: Plan,
) -> Classifier:
    """Train the whole network and return the averaged weights with the best validation loss.

    Parameters
    ----------
    classifier
        Starting point; changed.
    train, val
        Examples; ``val`` decides when to stop.
    preparation
        Normalises the images.
    plan
        How to learn.
    """
    torch.manual_seed(plan.seed)
    generator = torch.Generator().manual_seed(plan.seed)
    optimiser = _optimiser(classifier, plan)
    steps = plan.epochs * (len(train.greys) // plan.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [plan.rate, plan.head_rate], total_steps=steps, pct_start=0.15
    )
    average, best = copy.deepcopy(classifier), copy.deepcopy(classifier)
    least, waited = float("inf"), 0
    for epoch in range(plan.epochs):
        classifier.train()
        learned = 0.0
        for greys, targets in _drawn(train, plan.batch, generator):
            logits = classifier(model_input(greys, preparation))
            loss = functional.cross_entropy(logits, targets)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(classifier.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            learned += float(loss)
            _follow(average, classifier, plan.averaging)
        logits_val = logits_of(average, val.greys, preparation)
        seen = log_loss(softmax(logits_val), val.labels, val.weights)
        learned *= plan.epochs / steps
        print(f"epoch {epoch}: train {learned:.4f} val {seen:.4f}", flush=True)
        waited += 1
        if seen < least:
            least, waited = seen, 0
            best.load_state_dict(average.state_dict())
        if waited >= plan.patience:
            break
    return best


def _optimiser(classifier: Classifier, plan: Plan) -> torch.optim.Optimizer:
    for block in list(classifier.backbone)[: plan.frozen]:
        block.requires_grad_(False)
    body = [p for p in classifier.backbone.parameters() if p.requires_grad]
    groups = [{"params": body}, {"params": list(classifier.head.parameters())}]
    return torch.optim.AdamW(groups, lr=plan.rate, weight_decay=plan.decay)


def _drawn(
    examples: Examples, size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of changed batches, each image drawn as often as its weight says."""
    count = len(examples.greys) // size * size
    weights = torch.from_numpy(examples.weights)
    content = torch.from_numpy(examples.content)
    order = torch.multinomial(weights, count, replacement=True, generator=generator).numpy()
    for start in range(0, count, size):
        chosen = order[start : start + size]
        greys = torch.from_numpy(examples.greys[chosen].astype(np.float32))[:, None]
        changed = augment(greys, content[chosen], generator)
        yield changed, torch.from_numpy(examples.targets[chosen])


@torch.no_grad()
def _follow(average: Classifier, classifier: Classifier, kept: float) -> None:
    for old, new in zip(average.parameters(), classifier.parameters(), strict=True):
        old.lerp_(new, 1.0 - kept)
