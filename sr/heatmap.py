"""Heat maps: where they peak, what they outline, and how they are laid over a picture."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sr.contours import Polyline, level_parts

VISIBLE_FROM = 0.35  # activation below this is not shown
CONTOUR_AT = 0.6
MOST_CONTOURS = 3  # in a report; the overlay draws all
_OPACITY = 0.45  # at activation 1
_MAP_SIDE = 256  # pixels; beyond this a bicubic map holds no more detail
_STRONG = round(255 * CONTOUR_AT)  # the step of grey from which on the contour lies around it
_CONTOUR = (238, 238, 238)

# Plasma without its darkest third, which would look like lung: perceptually uniform, and told
# apart in every common colour blindness.
_COLOURS = (
    (139, 10, 165),
    (185, 50, 137),
    (219, 92, 104),
    (244, 136, 73),
    (254, 188, 43),
    (240, 249, 33),
)


def peak(heatmap: NDArray[np.float32]) -> tuple[float, float] | None:
    """Return where a heat map peaks: down and across, 0..1; None if nothing of it is shown."""
    known = np.nan_to_num(heatmap, nan=0.0)
    row, column = np.unravel_index(int(np.argmax(known)), known.shape)
    if not known[row, column] > VISIBLE_FROM:
        return None
    return (float(row) + 0.5) / known.shape[0], (float(column) + 0.5) / known.shape[1]


def contours(heatmap: NDArray[np.float32], rows: int, columns: int) -> list[Polyline]:
    """Return closed polylines around the strong activations, as the overlay draws them.

    Parameters
    ----------
    heatmap
        Activation 0..1, shape (h, w); its edges are the edges of the image.
    rows, columns
        Size of the image that the polylines are for.

    Returns
    -------
    list
        The largest first, at most ``MOST_CONTOURS``; shape (n, 2) each: column, row.
    """
    # The same steps of grey as the overlay's, of which the weakest inside is the first strong one.
    activation = np.asarray(_coarse(heatmap), np.float64)
    parts = level_parts(activation, _STRONG - 0.5, rows, columns)
    return [each.outline for each in parts[:MOST_CONTOURS]]


def blend(body: Image.Image, heatmap: NDArray[np.float32]) -> None:
    """Lay a heat map and its contour over ``body``, in place, where activation is shown."""
    coarse = _coarse(heatmap)
    seen = coarse.point(_opacity_table()).getbbox()
    if seen is None:
        return
    activation, corner = _enlarged(coarse, seen, body.size)
    colour = activation.copy()
    colour.putpalette(palette().tobytes())
    body.paste(colour.convert("RGB"), corner, activation.point(_opacity_table()))
    body.paste(_CONTOUR, corner, _contour(activation, width=max(2, max(body.size) // 500)))


def _coarse(heatmap: NDArray[np.float32]) -> Image.Image:
    """Return the heat map as a smooth 8-bit picture whose edges are the map's edges."""
    known = np.nan_to_num(heatmap.astype(np.float32, copy=False), nan=0.0)
    smooth = Image.fromarray(known).resize((_MAP_SIDE, _MAP_SIDE), Image.Resampling.BICUBIC)
    return Image.fromarray(np.rint(np.clip(np.asarray(smooth), 0.0, 1.0) * 255.0).astype(np.uint8))


def _enlarged(
    coarse: Image.Image, seen: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[Image.Image, tuple[int, int]]:
    """Enlarge the part of the map around ``seen`` to its place in a picture of ``size``.

    Returns
    -------
    tuple
        The part, in the picture's pixels, and where its top left corner lies.
    """
    across, down = size[0] / coarse.width, size[1] / coarse.height
    # One more pixel of the map on each side, so that the fading edge is whole.
    left = max(0, math.floor((seen[0] - 1) * across))
    top = max(0, math.floor((seen[1] - 1) * down))
    right = min(size[0], math.ceil((seen[2] + 1) * across))
    bottom = min(size[1], math.ceil((seen[3] + 1) * down))
    part = coarse.resize(
        (right - left, bottom - top),
        Image.Resampling.BILINEAR,
        box=(left / across, top / down, right / across, bottom / down),
    )
    return part, (left, top)


@lru_cache(maxsize=1)
def _opacity_table() -> tuple[int, ...]:
    return tuple(int(each) for each in np.rint(255 * _OPACITY * _visible_share() ** 0.7))


@lru_cache(maxsize=1)
def palette() -> NDArray[np.uint8]:
    """Return 256 colours, shape (256, 3): the visible activations use the whole colour table."""
    anchors = np.linspace(0.0, 1.0, len(_COLOURS))
    channels = [np.interp(_visible_share(), anchors, each) for each in zip(*_COLOURS, strict=True)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def _visible_share() -> NDArray[np.float64]:
    """Return for each of 256 activations how far it lies above what is shown, 0..1."""
    steps = np.linspace(0.0, 1.0, 256)
    return np.clip((steps - VISIBLE_FROM) / (1.0 - VISIBLE_FROM), 0.0, 1.0)


def _contour(activation: Image.Image, *, width: int) -> Image.Image:
    """Return the outline of the strong activations as an opacity mask, ``width`` pixels wide."""
    inside = np.asarray(activation) >= _STRONG
    edge = np.zeros(inside.shape, np.bool_)
    edge[width:] |= inside[width:] ^ inside[:-width]
    edge[:, width:] |= inside[:, width:] ^ inside[:, :-width]
    # The blur takes the steps out of the line.
    return Image.fromarray(edge.astype(np.uint8) * 220).filter(ImageFilter.BoxBlur(1))
