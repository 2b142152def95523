"""Random changes to a batch of pictures (needs torch).

Each change takes away something a network could use instead of the anatomy: the crop, the
exposure, the sharpness of a source, the exact outline of the region.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.recipe import AugmentSection


def augment(
    picture: Tensor, region: Tensor, how: AugmentSection, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return changed copies of pictures and their regions.

    Parameters
    ----------
    picture
        Shape (images, channels, rows, columns), 0..1.
    region
        Shape (images, 1, rows, columns), 0..1; it moves with the picture.
    how
        How far to go.
    generator
        Of every random number.
    """
    both = torch.cat([picture, region], 1)
    moved = functional.grid_sample(both, _grid(both, how, generator), align_corners=False)
    inside = _erase(moved[:, -1:], how, generator)
    greys = recolour(moved[:, :-1], how, generator)
    return greys * (inside if how.erase else 1.0), inside


def move(picture: Tensor, how: AugmentSection, generator: torch.Generator) -> Tensor:
    """Return pictures moved, all channels alike: rotated, scaled, shifted, perhaps mirrored."""
    return functional.grid_sample(picture, _grid(picture, how, generator), align_corners=False)


def recolour(picture: Tensor, how: AugmentSection, generator: torch.Generator) -> Tensor:
    """Return pictures with other exposure, sharpness and noise."""
    for change in (_tone, _sharpen, _soften, _noisy):
        picture = change(picture, how, generator)
    return picture.clamp(0.0, 1.0)


def _uniform(count: int, reach: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=generator) * 2.0 - 1.0) * reach


def _grid(like: Tensor, how: AugmentSection, generator: torch.Generator) -> Tensor:
    """Where each new pixel is taken from."""
    count = len(like)
    angle = _uniform(count, math.radians(how.rotate_degrees), generator)
    zoom = _uniform(count, how.scale, generator).exp()
    stretch = _uniform(count, how.stretch, generator).exp()
    across, down = (_uniform(count, how.shift, generator) for _ in range(2))
    turned = torch.rand(count, generator=generator) < (0.5 if how.mirror else 0.0)
    mirror = torch.where(turned, -1.0, 1.0)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    rows = torch.stack([cosine * zoom * stretch * mirror, -sine * zoom, across], 1)
    columns = torch.stack([sine * zoom * stretch * mirror, cosine * zoom, down], 1)
    matrix = torch.stack([rows, columns], 1)
    return functional.affine_grid(matrix, list(like.shape), align_corners=False)


def _tone(greys: Tensor, how: AugmentSection, generator: torch.Generator) -> Tensor:
    count = len(greys)
    shape = (-1, 1, 1, 1)
    gamma = _uniform(count, how.gamma, generator).exp().view(shape)
    contrast = _uniform(count, how.contrast, generator).exp().view(shape)
    brightness = _uniform(count, how.brightness, generator).view(shape)
    toned = greys.clamp(min=1e-4) ** gamma if how.gamma else greys
    return (toned - 0.5) * contrast + 0.5 + brightness


def _sharpen(greys: Tensor, how: AugmentSection, generator: torch.Generator) -> Tensor:
    """Weaken or strengthen fine detail in one picture of two, as processing at the source does."""
    if not how.sharpen:
        return greys
    smooth = functional.avg_pool2d(functional.pad(greys, (4, 4, 4, 4), mode="reflect"), 9, 1)
    strength = _uniform(len(greys), how.sharpen, generator).exp()
    strength = strength * (torch.rand(len(greys), generator=generator) < 0.5)
    return greys + (greys - smooth) * strength.view(-1, 1, 1, 1)


def _soften(greys: Tensor, how: AugmentSection, generator: torch.Generator) -> Tensor:
    """Lower the resolution of some batches to 40..100 %."""
    if float(torch.rand(1, generator=generator)) >= how.soften:
        return greys
    size = greys.shape[-1]
    small = int(torch.randint(2 * size // 5, size, (1,), generator=generator))
    coarse = functional.interpolate(greys, size=small, mode="bilinear", antialias=True)
    return functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)


def _noisy(greys: Tensor, how: AugmentSection, generator: torch.Generator) -> Tensor:
    strength = torch.rand(len(greys), generator=generator).view(-1, 1, 1, 1) * how.noise
    return greys + strength * torch.randn(greys.shape, generator=generator)


def _erase(region: Tensor, how: AugmentSection, generator: torch.Generator) -> Tensor:
    """Take a box of 10..35 % per side out of some regions."""
    rows, columns = region.shape[2:]
    result = region.clone()
    for image in result[:, 0]:
        chance = torch.rand(5, generator=generator).tolist()
        if chance[0] < how.erase:
            height, width = (
                int((0.1 + 0.25 * chance[1]) * rows),
                int((0.1 + 0.25 * chance[2]) * columns),
            )
            top, left = int(chance[3] * (rows - height)), int(chance[4] * (columns - width))
            image[top : top + height, left : left + width] = 0.0
    return result
