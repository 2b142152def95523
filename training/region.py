"""Finds the region to look at, e.g. the lungs, and cuts the picture to it (needs torch).

What lies outside (letters, borders, devices, the shape of the frame) tells where an image comes
from, and a classifier that sees it learns the source instead of the disease. The small network
here is trained from masks; it becomes part of the exported graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.backbone import MobileNetV2

_CHANNELS = 48
_MARGIN = 0.04  # of the region's size, added on each side
_LEAST = 10  # rows and columns that a region must have; else the whole picture is taken
_THICK = 4  # pixels of a row or column that belong to the region


def _block(kernel: int) -> nn.Sequential:
    """A depthwise and a pointwise convolution."""
    return nn.Sequential(
        nn.Conv2d(_CHANNELS, _CHANNELS, kernel, padding=kernel // 2, groups=_CHANNELS),
        nn.Conv2d(_CHANNELS, _CHANNELS, 1),
        nn.ReLU(),
    )


class RegionNet(nn.Module):
    """The first blocks of a backbone with a light decoder (after Ronneberger et al., "U-Net").

    Parameters
    ----------
    backbone
        Its first 14 blocks are taken, and change in training.
    side
        Pixels of the square picture that it sees.
    """

    def __init__(self, backbone: MobileNetV2, side: int) -> None:
        super().__init__()
        blocks = list(backbone)
        self.side = side
        self.quarter = nn.Sequential(*blocks[:4])  # 24 channels
        self.eighth = nn.Sequential(*blocks[4:7])  # 32
        self.sixteenth = nn.Sequential(*blocks[7:14])  # 96
        self.narrow = nn.ModuleList(nn.Conv2d(size, _CHANNELS, 1) for size in (96, 32, 24))
        self.decode = nn.ModuleList(_block(kernel) for kernel in (5, 3, 3))
        self.last = nn.Conv2d(_CHANNELS, 1, 3, padding=1)

    def forward(self, grey: Tensor) -> Tensor:
        """Return logits (images, 1, side, side) for grey (images, 1, side, side), 0..1."""
        scaled = ((grey - 0.5) / 0.5).expand(-1, 3, -1, -1)
        quarter = self.quarter(scaled.contiguous(memory_format=torch.channels_last))
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        result = self.decode[0](self.narrow[0](sixteenth))
        result = self.decode[1](_enlarged(result, 2) + self.narrow[1](eighth))
        result = self.decode[2](_enlarged(result, 2) + self.narrow[2](quarter))
        return _enlarged(self.last(result), 4)

    def find(self, grey: Tensor) -> Tensor:
        """Return the region, 0..1, (images, 1, side, side), in pictures of any square size."""
        found = torch.sigmoid(self(resized(grey, self.side)))
        return functional.max_pool2d(found, 5, 1, 2)  # a rim, where opacities touch the wall


def _enlarged(image: Tensor, times: int) -> Tensor:
    return functional.interpolate(image, scale_factor=times, mode="bilinear", align_corners=False)


def resized(image: Tensor, side: int) -> Tensor:
    """Resize square pictures by averaging; sizes that divide evenly, so that a graph can say it."""
    if image.shape[-1] == side:
        return image
    if image.shape[-1] % side == 0:
        return functional.avg_pool2d(image, image.shape[-1] // side)
    return functional.interpolate(image, size=(side, side), mode="bilinear", align_corners=False)


def frame_of(region: Tensor) -> Tensor:
    """Return the box around each region: left, top, right, bottom, (images, 4), in 0..1.

    The margin may reach beyond the picture. A region too small to be one gives the whole picture.
    """
    inside = (region > 0.5).float()
    side = region.shape[-1]
    index = torch.arange(side, dtype=region.dtype, device=region.device)
    edges = []
    for axis in (2, 3):  # columns, then rows
        thick = (inside.sum(axis)[:, 0] >= _THICK).float()
        first = (index * thick + side * (1.0 - thick)).amin(1)
        last = ((index + 1.0) * thick).amax(1)
        size = last - first
        edges.append(((first - _MARGIN * size) / side, (last + _MARGIN * size) / side, size))
    (left, right, width), (top, bottom, height) = edges
    found = ((width >= _LEAST) & (height >= _LEAST)).to(region.dtype)[:, None]
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=region.dtype, device=region.device)
    return found * torch.stack([left, top, right, bottom], 1) + (1.0 - found) * whole


def cut(grey: Tensor, region: Tensor, frame: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cut pictures to a frame, and set their grey by what is inside the region.

    Parameters
    ----------
    grey
        Shape (images, 1, n, n), 0..1.
    region
        Shape (images, 1, m, m), 0..1.
    frame
        As ``frame_of`` gives it.
    side
        Pixels of the result.

    Returns
    -------
    tuple
        The picture, 0..1, black outside the region, grey 0.5 at the mean inside it and 0.2 per
        standard deviation; and the region. Both (images, 1, side, side). Then the tone of each,
        (images, 5): mean and deviation inside the region before that, the region's share of the
        picture, width and height of the frame.
    """
    grid = _grid(frame, side)
    picture = functional.grid_sample(grey, grid, align_corners=False)
    inner = functional.grid_sample(region, grid, align_corners=False)
    weight = (inner > 0.5).to(grey.dtype)
    count = weight.sum((2, 3), keepdim=True) + 1.0
    mean = (picture * weight).sum((2, 3), keepdim=True) / count
    spread = ((picture - mean) ** 2 * weight).sum((2, 3), keepdim=True) / count
    deviation = torch.sqrt(spread) + 0.03
    shown = (0.5 + (picture - mean) / (5.0 * deviation)).clamp(0.0, 1.0) * inner
    share = (region > 0.5).to(grey.dtype).mean((2, 3))
    size = torch.stack([frame[:, 2] - frame[:, 0], frame[:, 3] - frame[:, 1]], 1)
    return shown, inner, torch.cat([mean.flatten(1), deviation.flatten(1), share, size], 1)


def uncut(activation: Tensor, frame: Tensor, side: int) -> Tensor:
    """Lay maps over a frame back over the whole picture, (images, classes, side, side)."""
    left, top, right, bottom = frame.unbind(1)
    width, height = right - left, bottom - top
    back = torch.stack(
        [-left / width, -top / height, (1.0 - left) / width, (1.0 - top) / height], 1
    )
    return functional.grid_sample(activation, _grid(back, side), align_corners=False)


def _grid(frame: Tensor, side: int) -> Tensor:
    """Where each pixel of a cut is taken from, (images, side, side, 2), in -1..1."""
    step = (torch.arange(side, dtype=frame.dtype, device=frame.device) + 0.5) / side
    across = frame[:, 0:1] + (frame[:, 2:3] - frame[:, 0:1]) * step
    down = frame[:, 1:2] + (frame[:, 3:4] - frame[:, 1:2]) * step
    columns = across[:, None, :].expand(-1, side, -1)
    rows = down[:, :, None].expand(-1, -1, side)
    return torch.stack([columns, rows], 3) * 2.0 - 1.0
