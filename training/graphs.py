"""What ``model.onnx`` computes: from the node's tensor to calibrated answers (needs torch)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.pixels import Preparation
from training import region
from training.calibrate import Calibration
from training.network import Classifier, probabilities
from training.record import MOST
from training.scores import FittedScore
from training.summary import describe

_MAP_SIDE = 40  # of an activation map laid back over the whole picture
_FINER = 8  # times the cells of a feature map, for the outline of the head
_TISSUE = 0.06  # grey, 0..1; as in ``inference.crop``


class ImageGraph(nn.Module):
    """A model that reads image by image.

    Parameters
    ----------
    classifier
        The trained network.
    finder
        Finds the region to look at; None looks at the whole picture.
    preparation
        How the node prepares the tensor.
    side
        Pixels of what the classifier sees.
    calibration
        Of the probability of "abnormal".
    strong
        Evidence that counts as strong (see ``training.images.strong_evidence``).
    scores
        Linear scores on what ``training.summary`` tells of a picture.
    """

    def __init__(
        self,
        classifier: Classifier,
        finder: region.RegionNet | None,
        preparation: Preparation,
        side: int,
        calibration: Calibration,
        strong: float,
        scores: Sequence[FittedScore] = (),
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.finder = finder
        self.preparation = preparation
        self.side = side
        self.calibration = calibration
        self.strong = strong
        for number, score in enumerate(scores):
            weight = torch.from_numpy(score.weight).float()[:, None]
            self.register_buffer(f"weight_{number}", weight)
            self.register_buffer(f"bias_{number}", torch.tensor([score.bias]).float())
        self.count = len(scores)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return probability (n, classes), activation (n, classes, h, w), and each score (n, 1).

        Activation is 0..1 over the whole tensor.
        """
        grey = image[:, :1] * self.preparation.std + self.preparation.mean
        picture, inner, tone, frame = see(grey, self.finder, self.side)
        features, weight = self.classifier.features(picture, inner)
        pooled = (features * weight).sum((2, 3)) / weight.sum((2, 3))
        logits = self.classifier.head(pooled)
        chances = probabilities(logits, self.calibration.scale, self.calibration.shift)
        activation = relative(self.classifier.evidence(features, weight), self.strong)
        if self.finder is not None:
            activation = region.uncut(activation, frame, _MAP_SIDE)
        summary = describe(self.classifier, features, weight, picture, tone)
        scores = [
            summary @ getattr(self, f"weight_{number}") + getattr(self, f"bias_{number}")
            for number in range(self.count)
        ]
        return (chances, activation, *scores)


def see(
    grey: Tensor, finder: region.RegionNet | None, side: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what the classifier sees of whole pictures.

    Parameters
    ----------
    grey
        Shape (images, 1, n, n), 0..1.
    finder
        Finds the region; None takes the whole picture.
    side
        Pixels of the result.

    Returns
    -------
    tuple
        Picture, region, tone (``training.region.cut``) and frame (``training.region.frame_of``).
    """
    if finder is None:
        found = torch.ones_like(grey)
        frame = torch.zeros_like(grey[:, 0, 0, :4]) + torch.tensor([0.0, 0.0, 1.0, 1.0])
        picture = region.resized(grey, side)
        return picture, torch.ones_like(picture), region.cut(grey, found, frame, side)[2], frame
    found = finder.find(grey)
    frame = region.frame_of(found)
    return (*region.cut(grey, found, frame, side), frame)


def relative(evidence: Tensor, strong: float) -> Tensor:
    """Divide maps by their maximum, or by strong evidence where the maximum is weaker."""
    return evidence / evidence.amax((2, 3), keepdim=True).clamp(min=strong)


class SeriesGraph(nn.Module):
    """A model that reads a series of slices, caudal to cranial.

    Parameters
    ----------
    classifiers
        The trained networks; they see each slice with its neighbours as three channels.
    preparation
        How the node prepares the tensor.
    side
        Pixels of what the classifier sees.
    slices, study
        Calibration of a slice's and of the study's probability of "abnormal".
    strong
        Evidence that counts as strong.
    """

    def __init__(
        self,
        classifiers: Sequence[Classifier],
        preparation: Preparation,
        side: int,
        slices: Calibration,
        study: Calibration,
        strong: float,
    ) -> None:
        super().__init__()
        self.classifiers = nn.ModuleList(classifiers)
        self.preparation = preparation
        self.side = side
        self.slices = slices
        self.study = study
        self.strong = strong

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return probability (1, 2), slice probability (s, 2) and activation (s, 2, h, w)."""
        grey = image[:, :1] * self.preparation.std + self.preparation.mean
        picture = neighbours(region.resized(grey, self.side))
        logits = torch.stack([mirrored(each, picture) for each in self.classifiers]).mean(0)
        chances = probabilities(logits, self.slices.scale, self.slices.shift)
        study = probabilities(study_logit(logits), self.study.scale, self.study.shift)
        return study, chances, relative(mean_evidence(self.classifiers, picture), self.strong)


def mirrored(classifier: nn.Module, picture: Tensor) -> Tensor:
    """Return the mean of the logits of pictures and of their mirror images, (s, 1).

    It is steadier than either.
    """
    whole = torch.ones_like(picture[:, :1])
    return (classifier(picture, whole) + classifier(picture.flip(3), whole)) / 2.0


def mean_evidence(classifiers: Iterable[Classifier], picture: Tensor) -> Tensor:
    """Return the mean of the networks' evidence maps within the head, (s, 2, n, n).

    Parameters
    ----------
    classifiers
        The networks.
    picture
        Each slice between its neighbours, (s, 3, rows, columns).
    """
    whole = torch.ones_like(picture[:, :1])
    maps = [each.evidence(*each.features(picture, whole)) for each in classifiers]
    coarse = torch.stack(maps).mean(0)
    # A cell reaches into the air around the head, where nothing can speak for anything.
    fine = functional.interpolate(coarse, scale_factor=_FINER, mode="bilinear", align_corners=False)
    tissue = (picture[:, 1:2] > _TISSUE).to(picture.dtype)
    return fine * functional.avg_pool2d(tissue, picture.shape[-1] // fine.shape[-1])


def neighbours(slices: Tensor) -> Tensor:
    """Return each slice between the one before and the one after it, (s, 3, rows, columns)."""
    before = torch.cat([slices[:1], slices[:-1]])
    after = torch.cat([slices[1:], slices[-1:]])
    return torch.cat([before, slices, after], 1)


def study_logit(logits: Tensor) -> Tensor:
    """Pool slices to a study: the mean of the highest logits, each smoothed over its neighbours.

    So one odd slice does not decide.

    Parameters
    ----------
    logits
        Shape (slices, 1), in anatomical order; at least ``MOST`` slices.

    Returns
    -------
    Tensor
        Shape (1, 1).
    """
    line = logits.transpose(0, 1)[None]  # (1, 1, slices)
    padded = functional.pad(line, (1, 1), mode="replicate")
    smooth = (padded[..., :-2] + 2.0 * padded[..., 1:-1] + padded[..., 2:]) / 4.0
    return smooth.topk(MOST, dim=2).values.mean(2)
