"""Reads what of a study fits a model: its images one by one, or a series as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.manifest import Manifest
from inference.pixels import displayed
from inference.reading import read_pictures
from inference.runtime import Model
from inference.series_reading import read_volume
from inference.volume import Volume, volume_of
from sr.findings import Reading

Pictures = Mapping[str, NDArray[np.uint8]]
"""Displayed pictures by SOP Instance UID, shape (Rows, Columns)."""


def decode(manifest: Manifest, sources: Sequence[Dataset]) -> Pictures | Volume:
    """Turn images into what the model sees of them.

    Raises
    ------
    PixelError
        An image cannot be decoded, or a series is no stack of slices.
    """
    window = manifest.prepare.window
    if manifest.series is not None and window is not None:
        return volume_of(sources, manifest.series.spacing_mm, window)
    return {str(each.SOPInstanceUID): displayed(each, window) for each in sources}


def read(model: Model, seen: Pictures | Volume) -> Reading:
    """Read what ``decode`` gave.

    Raises
    ------
    ModelError
        The runtime failed.
    """
    return read_volume(model, seen) if isinstance(seen, Volume) else read_pictures(model, seen)


def shown(
    manifest: Manifest, sources: Sequence[Dataset], seen: Pictures | Volume, reading: Reading
) -> Pictures:
    """Return the pictures of the reading's images, in the files' own windows.

    Raises
    ------
    PixelError
        An image cannot be decoded.
    """
    if manifest.prepare.window is None and not isinstance(seen, Volume):
        return seen
    wanted = {each.sop_instance_uid for each in reading.images}
    return {
        str(each.SOPInstanceUID): displayed(each)
        for each in sources
        if each.SOPInstanceUID in wanted
    }
