"""Random changes to a batch of prepared radiographs (needs torch).

Each change takes away something a network could use instead of the lungs: the crop and the aspect
of a source and so its margins, its contrast, its sharpness, the marker in a corner.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def augment(greys: Tensor, content: Tensor, generator: torch.Generator) -> Tensor:
    """Return a changed copy of a batch.

    Parameters
    ----------
    greys
        Shape (images, 1, rows, columns), square, values 0..1.
    content
        Half height and half width of the picture within the square, shape (images, 2), 0..1; the
        rest is the margin that the aspect left.
    generator
        Of every random number.
    """
    warped = _reframe(greys, content, generator)
    return _erase(_soften(_tone(warped, generator), generator), generator)


def _reframe(greys: Tensor, content: Tensor, generator: torch.Generator) -> Tensor:
    """Cut each picture to a new aspect, turn, zoom, shift and mirror it, and frame it again.

    The new aspect (width / height 0.75..1.45) does not depend on the old one, so the margin says
    nothing about where the image comes from. Zoom 0.75..1.1, turn 12 degrees, stretch 10 %.
    """
    count = len(greys)
    aspect = _uniform(count, math.log(0.75), math.log(1.45), generator).exp()
    frame = torch.stack([(1.0 / aspect).clamp(max=1.0), aspect.clamp(max=1.0)], 1)
    # The largest cut of the new aspect that lies within the picture.
    cut = frame * (content / frame).amin(1, keepdim=True)
    spare = content - cut
    zoom = _uniform(count, math.log(0.75), math.log(1.1), generator).exp()[:, None]
    stretch = _uniform(count, -0.1, 0.1, generator).exp()
    size = cut * zoom * torch.stack([stretch, 1.0 / stretch], 1)
    wobble = _uniform(2 * count, -0.06, 0.06, generator).view(count, 2)
    centre = spare * _uniform(2 * count, -1.0, 1.0, generator).view(count, 2) + wobble
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    grid = _grid(size / frame, centre, mirror, _uniform(count, -12.0, 12.0, generator), greys)
    return functional.grid_sample(greys, grid, align_corners=False) * _mask(frame, greys)


def _grid(scale: Tensor, centre: Tensor, mirror: Tensor, degrees: Tensor, like: Tensor) -> Tensor:
    """Where each new pixel is taken from; ``scale`` and ``centre`` are (images, 2), row first."""
    angle = degrees * (math.pi / 180.0)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    rows, columns = scale[:, 0], scale[:, 1] * mirror
    across = torch.stack([cosine * columns, -sine * rows, centre[:, 1]], 1)
    down = torch.stack([sine * columns, cosine * rows, centre[:, 0]], 1)
    matrix = torch.stack([across, down], 1)
    return functional.affine_grid(matrix, list(like.shape), align_corners=False)


def _mask(frame: Tensor, like: Tensor) -> Tensor:
    """One inside a centred frame of half height and half width 0..1, zero in its margin."""
    rows = torch.linspace(-1.0, 1.0, like.shape[2]).abs()[None, :] <= frame[:, :1]
    columns = torch.linspace(-1.0, 1.0, like.shape[3]).abs()[None, :] <= frame[:, 1:]
    return (rows[:, None, :, None] & columns[:, None, None, :]).float()


def _tone(greys: Tensor, generator: torch.Generator) -> Tensor:
    """Change gamma (0.6..1.7), contrast (0.8..1.2) and brightness (0.08)."""
    count = len(greys)
    gamma = _uniform(count, math.log(0.6), math.log(1.7), generator).exp().view(-1, 1, 1, 1)
    contrast = _uniform(count, 0.8, 1.2, generator).view(-1, 1, 1, 1)
    brightness = _uniform(count, -0.08, 0.08, generator).view(-1, 1, 1, 1)
    toned = greys.clamp(min=1e-4) ** gamma
    return ((toned - 0.5) * contrast + 0.5 + brightness).clamp(0.0, 1.0)


def _soften(greys: Tensor, generator: torch.Generator) -> Tensor:
    """Lower the resolution of one batch in two, then add noise of up to 0.04."""
    size = greys.shape[-1]
    if float(torch.rand(1, generator=generator)) < 0.5:
        small = int(torch.randint(size // 2, size, (1,), generator=generator))
        greys = functional.interpolate(greys, size=small, mode="bilinear", antialias=True)
        greys = functional.interpolate(greys, size=size, mode="bilinear", align_corners=False)
    strength = _uniform(len(greys), 0.0, 0.04, generator).view(-1, 1, 1, 1)
    return greys + strength * torch.randn(greys.shape, generator=generator)


def _erase(greys: Tensor, generator: torch.Generator) -> Tensor:
    """Cover a box of up to 35 % per side with the picture's mean on one image in three."""
    rows, columns = greys.shape[2:]
    result = greys.clone()
    for image in result[:, 0]:
        chance = torch.rand(5, generator=generator).tolist()
        if chance[0] < 0.33:
            height, width = (int((0.1 + 0.25 * part) * rows) for part in chance[1:3])
            top = int(chance[3] * (rows - height))
            left = int(chance[4] * (columns - width))
            image[top : top + height, left : left + width] = image.mean()
    return result
