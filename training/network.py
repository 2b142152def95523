"""The classifier: a backbone, linear heads on its pooled features, and exact activation maps.

One head says how abnormal the picture is; where there are several abnormal classes, more say which
of them it would be. So the question that the pictures answer (is there an opacity?) is kept apart
from the one that they hardly do (of what cause?), and each learns from the images fit for it.

Because the heads are linear in the pooled features, the class activation map of Zhou et al.
("Learning Deep Features for Discriminative Localization") is exact: the mean of a map, plus its
bias, is its logit. Needs torch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.backbone import FEATURES, MobileNetV2

_OUTSIDE = 0.02  # weight of features outside the region, so that an empty one divides by something


class Classifier(nn.Module):
    """A backbone with linear heads on features pooled over the region of interest.

    Parameters
    ----------
    backbone
        Gives (images, 1280, h, w).
    classes
        Number of classes, the normal one first; at least two.
    dropout
        Part of the pooled features dropped in training, 0..1.
    """

    def __init__(self, backbone: MobileNetV2, classes: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(FEATURES, 1 if classes == 2 else classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def features(self, picture: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
        """Return the feature map (images, 1280, h, w) and its weights (images, 1, h, w).

        Parameters
        ----------
        picture
            Shape (images, 1 or 3, rows, columns), 0..1.
        region
            Where to look, shape (images, 1, rows, columns), 0..1.
        """
        scaled = ((picture - 0.5) / 0.5).expand(-1, 3, -1, -1)
        # Half the time on a CPU.
        found = self.backbone(scaled.contiguous(memory_format=torch.channels_last))
        step = picture.shape[-1] // found.shape[-1]
        return found, functional.avg_pool2d(region, step) + _OUTSIDE

    def pooled(self, picture: Tensor, region: Tensor) -> Tensor:
        """Return the features' mean over the region, shape (images, 1280)."""
        found, weight = self.features(picture, region)
        return (found * weight).sum((2, 3)) / weight.sum((2, 3))

    def forward(self, picture: Tensor, region: Tensor) -> Tensor:
        """Return logits (images, 1 or classes): abnormal first, then each abnormal class."""
        result: Tensor = self.head(self.dropout(self.pooled(picture, region)))
        return result

    def evidence(self, found: Tensor, weight: Tensor) -> Tensor:
        """Return how much each place speaks for each class, (images, classes, h, w), 0 and up.

        Evidence for the normal class is what speaks against abnormality; that for an abnormal
        class is what speaks for abnormality, plus for this class against the mean of them.
        """
        rows = self.head.weight[:, :, None, None]
        against_mean = rows[1:] - rows[1:].mean(0, keepdim=True) if len(rows) > 1 else rows[:0]
        kinds = rows[:1] + against_mean if len(rows) > 1 else rows
        raw = functional.conv2d(found, torch.cat([-rows[:1], kinds]))
        return torch.relu(raw) * (weight - _OUTSIDE).clamp(0.0, 1.0)


def probabilities(logits: Tensor, scale: float, shift: float) -> Tensor:
    """Turn logits into calibrated probabilities of all classes, shape (images, classes).

    Parameters
    ----------
    logits
        As ``Classifier`` gives them.
    scale, shift
        The probability of "abnormal" is ``sigmoid(scale * logit + shift)`` (Platt, 1999).
    """
    abnormal = torch.sigmoid(scale * logits[:, :1] + shift)
    kinds = torch.softmax(logits[:, 1:], 1) if logits.shape[1] > 1 else torch.ones_like(abnormal)
    return torch.cat([1.0 - abnormal, abnormal * kinds], 1)


def loss(
    logits: Tensor,
    targets: Tensor,
    screens: Tensor,
    kinds: Tensor,
    *,
    focal: float = 0.0,
    share: float = 0.5,
) -> Tensor:
    """Return the mean loss of a batch.

    Parameters
    ----------
    logits
        As ``Classifier`` gives them.
    targets
        Wanted probability of each class, shape (images, classes).
    screens
        1 where an image teaches to tell normal from abnormal, else 0, shape (images,).
    kinds
        1 where an image teaches to tell the abnormal classes apart, else 0, shape (images,).
    focal
        Exponent of the focal loss (Lin et al., 2017) on "abnormal"; 0 is cross-entropy.
    share
        Weight of telling the abnormal classes apart.
    """
    wanted = (1.0 - targets[:, 0]) * 0.96 + 0.02  # smoothed: no picture is certain
    each = functional.binary_cross_entropy_with_logits(logits[:, 0], wanted, reduction="none")
    if focal:
        each = each * (torch.sigmoid(logits[:, 0]) - wanted).abs() ** focal
    total = (each * screens).sum() / screens.sum().clamp(min=1.0)
    if logits.shape[1] > 1:
        wanted = targets[:, 1:] / targets[:, 1:].sum(1, keepdim=True).clamp(min=1e-6)
        entropy = -(wanted * torch.log_softmax(logits[:, 1:], 1)).sum(1)
        weight = kinds * (1.0 - targets[:, 0])
        total = total + share * (entropy * weight).sum() / weight.sum().clamp(min=1.0)
    return total
