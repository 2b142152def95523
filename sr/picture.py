"""Draws the overlay: the picture, what the model marked on it, and bands of text around it.

No text but the labels of boxes lies on the anatomy, and no text identifies the patient. Pillow does
the work on full-size pictures with 8-bit tables; a 4,000-pixel radiograph takes tens of
milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr.findings import ImageReading, Normality, Reading
from sr.heatmap import blend, peak
from sr.legend import Caption, banner, legend
from sr.marks import draw_marks

SMALLEST_LONG_SIDE = 1024  # pixels; text on a smaller picture would not be legible
LARGEST_LONG_SIDE = 1536  # pixels; the source itself stays beside the overlay in full size
_NARROWEST = 640  # pixels; the canvas is not narrower, or the banner would not fit


@dataclass(frozen=True)
class Drawing:
    """A finished overlay.

    Attributes
    ----------
    pixels
        Shape (rows, columns, 3), uint8, RGB.
    top, left
        Where the source image's top left corner lies, overlay pixels.
    row_scale, column_scale
        Size of a source pixel in overlay pixels, vertically and horizontally.
    """

    pixels: NDArray[np.uint8]
    top: int
    left: int
    row_scale: float
    column_scale: float


def draw(picture: NDArray[np.uint8], caption: Caption) -> Drawing:
    """Draw the overlay of one image.

    Parameters
    ----------
    picture
        The image as a viewer displays it: shape (rows, columns), 0 black to 255 white.
    caption
        What the model says about it. The heat map is drawn unless the answer is normal.
    """
    rows, columns = picture.shape
    scale = _scale(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    body = _resized(Image.fromarray(picture), size).convert("RGB")
    image = caption.image
    shown = shows_heatmap(caption.reading, image)
    if shown and image.heatmap is not None:
        blend(body, image.heatmap)
    regions = caption.reading.numbered_regions(image)
    draw_marks(body, image, regions, (rows, columns), caption.words)
    width = max(size[0], _NARROWEST)
    above = banner(width, caption.banner or caption.words.disclaimer)
    parts = [above, _widened(body, width), legend(width, caption, with_scale=shown)]
    pixels = np.concatenate([np.asarray(part) for part in parts])
    left = (width - size[0]) // 2
    return Drawing(pixels, above.height, left, size[1] / rows, size[0] / columns)


def shows_heatmap(reading: Reading, image: ImageReading) -> bool:
    """Tell whether the overlay shows a heat map: there is one, and it reaches what is shown."""
    decision = reading.decision_on(image)
    if image.heatmap is None or (decision and decision.normality is Normality.NORMAL):
        return False
    return peak(image.heatmap) is not None


def _scale(rows: int, columns: int) -> float:
    longest = max(rows, columns)
    return min(max(longest, SMALLEST_LONG_SIDE), LARGEST_LONG_SIDE) / longest


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if size == image.size:
        return image
    enlarge = size[0] > image.size[0]
    method = Image.Resampling.BICUBIC if enlarge else Image.Resampling.BILINEAR
    return image.resize(size, method, reducing_gap=None if enlarge else 2.0)


def _widened(body: Image.Image, width: int) -> Image.Image:
    if body.width == width:
        return body
    canvas = Image.new("RGB", (width, body.height))
    canvas.paste(body, ((width - body.width) // 2, 0))
    return canvas
