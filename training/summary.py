"""A short description of a picture, on which scores such as extent and opacity are fitted.

Few numbers, because few images bear scores: how abnormal the region is, as a whole and in six
parts; how dense it is there; how bright, uneven and large the region is. Needs torch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from training.network import Classifier

# Upper, middle and lower third; left and right half of the frame, softly divided.
_THIRDS = ((0.0, 0.45), (0.25, 0.75), (0.55, 1.0))
_HALVES = ((0.0, 0.5), (0.5, 1.0))


def describe(
    classifier: Classifier, found: Tensor, weight: Tensor, picture: Tensor, tone: Tensor
) -> Tensor:
    """Return the description, shape (images, 19 + tone's columns).

    Parameters
    ----------
    classifier
        Its first head says how abnormal each place is.
    found, weight
        From ``Classifier.features``.
    picture
        What the classifier saw, (images, 1, rows, columns), black outside the region.
    tone
        From ``training.region.cut``, (images, values).
    """
    head = classifier.head
    row = functional.conv2d(found, head.weight[:1, :, None, None]) + head.bias[0]
    grey = functional.avg_pool2d(picture, picture.shape[-1] // found.shape[-1])
    likely = torch.sigmoid(row)
    whole = (likely * weight).sum((2, 3)) / weight.sum((2, 3))
    cells = [_cells(each * weight, weight) for each in (row, likely)]
    return torch.cat([whole, *cells, _cells(grey, weight), tone], 1)


def _cells(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of weighted values in each part of the region, (images, 6)."""
    down = _parts(_THIRDS, values)
    across = _parts(_HALVES, values)
    total = down @ values[:, 0] @ across.transpose(0, 1)
    share = down @ weight[:, 0] @ across.transpose(0, 1)
    return (total / share).flatten(1)


def _parts(spans: tuple[tuple[float, float], ...], like: Tensor) -> Tensor:
    """How much of each row (or column) of a square map belongs to each span, (spans, n)."""
    size = like.shape[-1]
    first = torch.arange(size, dtype=like.dtype, device=like.device) / size
    rows = [
        ((first + 1.0 / size).clamp(max=high) - first.clamp(min=low)).clamp(min=0.0) * size
        for low, high in spans
    ]
    return torch.stack(rows)
