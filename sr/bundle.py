"""Everything that one reading sends back: which objects, and what to send where one is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from sr.document import encoded
from sr.findings import Reading
from sr.identity import Kind
from sr.overlay import build_overlay
from sr.report import build_report, fallback_reports
from sr.text import build_text_report


@dataclass(frozen=True, kw_only=True)
class ResultObject:
    """One object to deliver.

    Attributes
    ----------
    kind
        Measurement report, text report or overlay.
    number
        Counts the objects of a kind, from 1; only overlays have more than one.
    rank
        0 for the object to send, 1 and up for what to send instead when a destination refuses
        the class of the one before.
    dataset
        The object, to be written in Explicit VR Little Endian (``sr.document.to_bytes``).
    """

    kind: Kind
    number: int
    rank: int
    dataset: Dataset


@dataclass(frozen=True)
class Results:
    """All objects of one reading, in the order in which they are to be sent."""

    objects: tuple[ResultObject, ...]

    def alternatives(self, kind: Kind, number: int = 1) -> tuple[ResultObject, ...]:
        """Return one result's object and its fallbacks, the preferred first."""
        return tuple(each for each in self.objects if (each.kind, each.number) == (kind, number))


def build_results(
    sources: Sequence[Dataset],
    pictures: Mapping[str, NDArray[np.uint8]],
    reading: Reading,
    *,
    when: datetime,
    predecessors: Sequence[Dataset] = (),
) -> Results:
    """Build the default set: measurement report, text report, one overlay per pictured image.

    Parameters
    ----------
    sources
        Headers of all images that were read, for a model that reads a series all its slices; Pixel
        Data is not needed. The UIDs of the reports depend on all of them.
    pictures
        Displayed greyscale pictures by SOP Instance UID, as ``build_overlay`` takes them. An
        image without a picture gets no overlay.
    reading
        What the model says.
    when
        When it was said, with time zone. The same arguments give the same bytes.
    predecessors
        Reports of earlier readings of this study that these replace.

    Raises
    ------
    SourceError
        The sources do not belong to one study, lack an image of the reading, or are smaller than
        its boxes say; or a picture is not a greyscale uint8 matrix.
    """
    report = encoded(build_report(sources, reading, when=when, predecessors=predecessors))
    text = build_text_report(sources, reading, when=when, predecessors=predecessors)
    objects = [
        ResultObject(kind=Kind.REPORT, number=1, rank=rank, dataset=each)
        for rank, each in enumerate([report, *fallback_reports(report)])
    ]
    objects.append(ResultObject(kind=Kind.TEXT, number=1, rank=0, dataset=text))
    for index, image in enumerate(reading.images):
        picture = pictures.get(image.sop_instance_uid)
        if picture is not None:
            overlay = build_overlay(sources, picture, reading, index, when=when)
            objects.append(
                ResultObject(kind=Kind.OVERLAY, number=index + 1, rank=0, dataset=overlay)
            )
    return Results(tuple(objects))
