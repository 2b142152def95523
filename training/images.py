"""Trains a model that reads image by image (needs torch)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import backbone, region
from training.augment import augment
from training.calibrate import choose, fit_platt
from training.collection import Example, sampling_weights, select
from training.errors import CollectionError
from training.graphs import ImageGraph, see
from training.loop import History, Stage, fine_tune
from training.network import Classifier, loss
from training.package import Trained, score_output
from training.pictures import prepared
from training.recipe import TEST, TRAIN, VAL, Recipe, digest
from training.region_fit import train_region
from training.scores import FittedScore, fit_score, rated
from training.summary import describe
from training.work import Work, batches

_HEAD_EPOCHS = 1


def train_images(recipe: Recipe, examples: Sequence[Example], work: Work) -> Trained:
    """Train region, classifier and scores, calibrate, and choose the operating point.

    Raises
    ------
    CollectionError
        A split is empty, or validation holds no normal or no abnormal image.
    """
    work.progress.say(f"preparing {len(examples)} pictures")
    greys = prepared(examples, recipe.preparation, work.folder)
    finder, history = None, {}
    if recipe.region is not None:
        finder, history["region"] = train_region(recipe, recipe.region, examples, greys, work)
    pictures, tones = cut_pictures(recipe, finder, greys)
    train, val = (_part(examples, part) for part in (TRAIN, VAL))
    classifier, steps = train_classifier(recipe, examples, pictures, work, (train, val))
    history |= steps
    judged = val[[examples[at].label >= 0 for at in val]]
    logits = logits_of(classifier, pictures[judged])
    abnormal = np.array([examples[at].label > 0 for at in judged])
    calibration = fit_platt(logits[:, 0], abnormal)
    wanted = recipe.operating_point
    point = choose(
        calibration(logits[:, 0]),
        abnormal,
        sensitivity=wanted.sensitivity,
        specificity=wanted.specificity,
    )
    scores = _scores(recipe, examples, classifier, (pictures, tones), work)
    strong = strong_evidence(classifier, pictures[judged], [examples[at].label for at in judged])
    graph = ImageGraph(
        classifier, finder, recipe.preparation, recipe.network.side, calibration, strong, scores
    )
    return Trained(
        exported=graph.eval(),
        outputs=dict.fromkeys(_outputs(recipe), "N"),
        example=_example(recipe, greys[val[:2]]),
        point=point,
        calibration=calibration,
        chosen=f"chosen on validation for sensitivity {wanted.sensitivity:g}",
        history=history,
        facts={
            "images": {part: len(_part(examples, part)) for part in (TRAIN, VAL, TEST)},
            "scores": [_score_facts(each) for each in scores],
        },
    )


def _outputs(recipe: Recipe) -> list[str]:
    return ["probability", "activation", *map(score_output, range(len(recipe.scores)))]


def _part(examples: Sequence[Example], part: str) -> NDArray[np.intp]:
    at = select(examples, lambda each: each.part == part)
    if not len(at):
        raise CollectionError(f"no image is in the split {part!r}; see [split]")
    return at


def _example(recipe: Recipe, greys: NDArray[np.uint8]) -> Tensor:
    """The node's tensor of prepared pictures."""
    how = recipe.preparation
    tensor = (torch.from_numpy(greys)[:, None].float() / 255.0 - how.mean) / how.std
    return tensor.expand(-1, how.channels, -1, -1).contiguous()


def cut_pictures(
    recipe: Recipe,
    finder: region.RegionNet | None,
    greys: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return each picture as the classifier sees it with its region, (images, 2, side, side).

    And the tone of each, (images, 5), see ``training.region.cut``.
    """
    side = recipe.network.side
    result = np.empty((len(greys), 2, side, side), np.uint8)
    tones = np.empty((len(greys), 5), np.float32)
    for part in batches(np.arange(len(greys))):
        grey = torch.from_numpy(greys[part])[:, None].float() / 255.0
        with torch.no_grad():
            picture, inner, tone, _ = see(grey, finder, side)
        both = torch.cat([picture, inner], 1)
        result[part] = (both * 255.0).round().to(torch.uint8).numpy()
        tones[part] = tone.numpy()
    return result, tones


# -- classifier --


def train_classifier(
    recipe: Recipe,
    examples: Sequence[Example],
    pictures: NDArray[np.uint8],
    work: Work,
    parts: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> tuple[Classifier, dict[str, History]]:
    """Train the head on the frozen backbone, then all but the first blocks of it."""
    fit, (train, val) = recipe.fit, parts
    torch.manual_seed(fit.seed)
    base = backbone.load(work.data / recipe.network.backbone)
    network: nn.Module = Classifier(base, len(recipe.classes), recipe.network.dropout)
    targets = torch.tensor([each.target for each in examples])
    kinds = torch.tensor([float(each.kinds) for each in examples])
    screens = torch.tensor([float(each.screens) for each in examples])
    weights = torch.from_numpy(sampling_weights([examples[at] for at in train]))
    steps = max(fit.draws // fit.batch, 1)

    def draw(generator: torch.Generator) -> Iterable[tuple[Tensor, ...]]:
        drawn = torch.multinomial(weights, steps * fit.batch, replacement=True, generator=generator)
        for start in range(0, len(drawn), fit.batch):
            at = train[drawn[start : start + fit.batch].numpy()]
            both = torch.from_numpy(pictures[at]).float() / 255.0
            changed = augment(both[:, :1], both[:, 1:], recipe.augment, generator)
            yield (*changed, targets[at], screens[at], kinds[at])

    def learn(net: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        picture, inner, *wanted = batch
        return loss(net(picture, inner), *wanted, focal=fit.focal, share=fit.kinds)

    def validate(net: nn.Module) -> float:
        logits = torch.from_numpy(logits_of(net, pictures[val])).float()
        return float(loss(logits, targets[val], screens[val], kinds[val], share=fit.kinds))

    history: dict[str, History] = {}
    for name, epochs in (("head", _HEAD_EPOCHS), ("network", fit.epochs)):
        stage = Stage(
            name=name,
            draw=draw,
            steps=steps,
            loss=learn,
            validate=validate,
            groups=learning_groups(network, recipe, head_only=name == "head"),
            fit=fit.model_copy(update={"epochs": epochs}),
            checkpoint=work.folder / f"{name}-{digest(recipe)}.pt",
        )
        if epochs:
            network, history[name] = fine_tune(network, stage, work.progress)
    if not isinstance(network, Classifier):
        raise TypeError("the loop returns the network that it was given")
    return network, history


def learning_groups(
    network: nn.Module, recipe: Recipe, *, head_only: bool
) -> list[dict[str, object]]:
    """Freeze what is not to learn, and return what is, with its greatest learning rate."""
    fit = recipe.fit
    for number, block in enumerate(network.backbone):
        block.requires_grad_(not head_only and number >= recipe.network.frozen)
    groups = [{"params": list(network.head.parameters()), "lr": fit.head_rate}]
    body = [each for each in network.backbone.parameters() if each.requires_grad]
    return [*groups, {"params": body, "lr": fit.rate}] if body else groups


def logits_of(network: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Logits of unchanged pictures, shape (images, heads)."""
    return _over(pictures, lambda picture, inner: network(picture, inner), network)


def _over(pictures: NDArray[np.uint8], function: object, network: nn.Module) -> NDArray[np.float64]:
    network.eval()
    place = next(network.parameters()).device
    rows = []
    with torch.no_grad():
        for part in batches(np.arange(len(pictures))):
            both = torch.from_numpy(pictures[part]).to(place).float() / 255.0
            rows.append(function(both[:, :1], both[:, 1:]).cpu().double().numpy())
    return np.concatenate(rows)


def strong_evidence(
    classifier: Classifier, pictures: NDArray[np.uint8], labels: Sequence[int]
) -> float:
    """What nine images of ten have as their strongest evidence for their own class, or more.

    A map is divided by its own maximum, or by this where the maximum is weaker, so that a class
    without evidence keeps a faint map.
    """

    def peak(picture: Tensor, inner: Tensor) -> Tensor:
        return classifier.evidence(*classifier.features(picture, inner)).amax((2, 3))

    peaks = _over(pictures, peak, classifier)
    return max(float(np.quantile(peaks[np.arange(len(labels)), labels], 0.1)), 1e-3)


# -- scores --


def _scores(
    recipe: Recipe,
    examples: Sequence[Example],
    classifier: Classifier,
    seen: tuple[NDArray[np.uint8], NDArray[np.float32]],
    work: Work,
) -> list[FittedScore]:
    fitted = []
    for score in recipe.scores:
        images = rated(score, work.data, examples)
        summary = _summaries(classifier, seen[0][images.at], seen[1][images.at])
        fitted.append(fit_score(score, images, summary))
    return fitted


def _summaries(
    classifier: Classifier, pictures: NDArray[np.uint8], tones: NDArray[np.float32]
) -> NDArray[np.float64]:
    both = torch.from_numpy(pictures).float() / 255.0
    with torch.no_grad():
        found, weight = classifier.features(both[:, :1], both[:, 1:])
        summary = describe(classifier, found, weight, both[:, :1], torch.from_numpy(tones))
    return np.asarray(summary.double().numpy())


def _score_facts(score: FittedScore) -> dict[str, object]:
    """What the card needs of a score's cross-validation."""
    return {
        "values": score.values.tolist(),
        "folded": score.folded.round(3).tolist(),
        "constant": score.constant.round(3).tolist(),
        "groups": score.groups,
    }
