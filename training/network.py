"""The chest classifier: a backbone, a linear head, and what the exported graph adds (needs torch).

Because the head is linear in the pooled features, the class activation map of Zhou et al.
("Learning Deep Features for Discriminative Localization") is exact: the mean of a class's evidence
map, plus its bias, is its logit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.backbone import FEATURES, MobileNetV2


class Classifier(nn.Module):
    """A backbone with a linear head on its pooled features.

    Parameters
    ----------
    backbone
        Gives (images, 1280, h, w).
    classes
        Number of classes.
    dropout
        Part of the pooled features dropped in training, 0..1.
    """

    def __init__(self, backbone: MobileNetV2, classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, shape (images, classes)."""
        return self.head(self.dropout(self.backbone(image).mean((2, 3))))

    def evidence(self, features: Tensor) -> Tensor:
        """Return each class's evidence map, (images, classes, h, w), against the classes' mean.

        A softmax does not change when the same value is added to all logits, so only the part of
        the head's weights that differs from their mean says anything.
        """
        weight = self.head.weight - self.head.weight.mean(0, keepdim=True)
        return functional.conv2d(features, weight[:, :, None, None])


class Exported(nn.Module):
    """What ``model.onnx`` computes: calibrated probabilities and activation maps.

    Parameters
    ----------
    classifier
        The trained network.
    temperature
        Divides the logits, so that probabilities are calibrated.
    strong
        Evidence that counts as strong. A map is divided by its own maximum, or by this where the
        maximum is weaker, so that a class without evidence keeps a faint map.
    """

    def __init__(self, classifier: Classifier, temperature: float, strong: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature = temperature
        self.strong = strong

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return probability (images, classes) and activation (images, classes, h, w) in 0..1."""
        features = self.classifier.backbone(image)
        logits = self.classifier.head(features.mean((2, 3)))
        evidence = torch.relu(self.classifier.evidence(features))
        greatest = evidence.amax((2, 3), keepdim=True).clamp(min=self.strong)
        return torch.softmax(logits / self.temperature, 1), evidence / greatest
