"""Reads what of a study fits a model: its images one by one, or a series as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import PixelError
from inference.files import read_file
from inference.manifest import Manifest
from inference.pixels import displayed
from inference.reading import Pictures, read_studies
from inference.runtime import Model
from inference.series import counted
from inference.series_reading import read_volume
from inference.volume import Volume, volume_of
from sr.findings import NotAssessed, Reading
from sr.reasons import Reason


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a model sees of a study.

    Attributes
    ----------
    sources
        The images, with Pixel Data.
    content
        Their pictures in the model's window, or the slices of the series.
    not_assessed
        Images that could not be decoded, and why.
    """

    sources: tuple[Dataset, ...]
    content: Pictures | Volume
    not_assessed: tuple[NotAssessed, ...] = ()


def load(manifest: Manifest, paths: Iterable[Path]) -> Seen:
    """Read archived files and decode them.

    An image that cannot be read is left out, if another one can. Of a series each slice counts.

    Raises
    ------
    PixelError
        No image can be read, or one of a series cannot, or that is no stack of slices.
    ArchiveError
        The archive does not answer.
    """
    sources, lost = [], []
    for path in paths:
        try:
            sources.append(read_file(path))
        except PixelError as error:
            if manifest.series is not None:
                raise
            lost.append(error)
    if not sources:
        raise lost[0]
    sources.sort(key=_place_in_study)
    seen = decode(manifest, sources)
    unread = counted([each.reason for each in lost])
    return replace(seen, not_assessed=(*unread, *seen.not_assessed))


def decode(manifest: Manifest, sources: Sequence[Dataset]) -> Seen:
    """Turn images into what the model sees of them.

    Raises
    ------
    PixelError
        No image can be decoded, or one of a series cannot, or that is no stack of slices.
    """
    window = manifest.prepare.window
    if manifest.series is not None and window is not None:
        volume = volume_of(sources, manifest.series.spacing_mm, window)
        return Seen(sources=tuple(sources), content=volume)
    pictures: dict[str, NDArray[np.uint8]] = {}
    decoded: list[Dataset] = []
    reasons: list[Reason] = []
    for each in sources:
        try:
            pictures[str(each.SOPInstanceUID)] = displayed(each, window)
        except PixelError as error:
            if len(reasons) + 1 == len(sources):
                raise
            reasons.append(error.reason)
        else:
            decoded.append(each)
    return Seen(sources=tuple(decoded), content=pictures, not_assessed=counted(reasons))


def read(model: Model, seen: Seen) -> Reading:
    """Read what was decoded.

    Raises
    ------
    ModelError
        The runtime failed.
    """
    return read_together(model, [seen])[0]


def read_together(model: Model, several: Sequence[Seen]) -> list[Reading]:
    """Read several studies; of those that are read image by image, images share runs.

    Raises
    ------
    ModelError
        The runtime failed, on whichever study.
    """
    volumes = [each.content for each in several if isinstance(each.content, Volume)]
    pictures = [each.content for each in several if not isinstance(each.content, Volume)]
    # A model reads images or series, so one of the two is empty.
    readings = [read_volume(model, each) for each in volumes] or read_studies(model, pictures)
    return [
        replace(reading, not_assessed=each.not_assessed)
        for each, reading in zip(several, readings, strict=True)
    ]


def shown(manifest: Manifest, seen: Seen, reading: Reading) -> Pictures:
    """Return the pictures of the reading's images, in the files' own windows.

    Raises
    ------
    PixelError
        An image cannot be decoded.
    """
    if manifest.prepare.window is None and not isinstance(seen.content, Volume):
        return seen.content
    wanted = {each.sop_instance_uid for each in reading.images}
    return {
        str(each.SOPInstanceUID): displayed(each)
        for each in seen.sources
        if each.SOPInstanceUID in wanted
    }


def _place_in_study(image: Dataset) -> tuple[int, int, str]:
    """Order of images as a viewer shows them; what states no number comes first."""
    uid = str(image.SOPInstanceUID)
    try:
        return int(image.get("SeriesNumber") or 0), int(image.get("InstanceNumber") or 0), uid
    except (ValueError, TypeError):  # values are parsed on access
        return 0, 0, uid
