"""Everything that one reading sends back: which objects, and what to send where one is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from sr.activation import build_activation_maps
from sr.document import encoded
from sr.findings import Reading
from sr.identity import Kind
from sr.keyimages import build_key_images
from sr.overlay import build_overlay
from sr.pdf import build_pdf
from sr.presentation import build_presentations
from sr.report import build_report, fallback_reports
from sr.segmentation import build_segmentations
from sr.style import DEFAULT_KINDS, DEFAULT_STYLE, Style
from sr.text import build_text_report


@dataclass(frozen=True, kw_only=True)
class ResultObject:
    """One object to deliver.

    Attributes
    ----------
    kind
        What it is.
    number
        Counts the objects of a kind, from 1; overlays and presentation states may be several.
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


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What the objects of one reading are built from; see ``build_results``."""

    sources: Sequence[Dataset]
    pictures: Mapping[str, NDArray[np.uint8]]
    reading: Reading
    when: datetime
    style: Style
    predecessors: Sequence[Dataset]

    @cached_property
    def text(self) -> Dataset:
        """The text report, which is also the last form of the measurement report."""
        return build_text_report(
            self.sources,
            self.reading,
            when=self.when,
            style=self.style,
            predecessors=self.predecessors,
        )


def build_results(
    sources: Sequence[Dataset],
    pictures: Mapping[str, NDArray[np.uint8]],
    reading: Reading,
    *,
    when: datetime,
    kinds: Collection[Kind] = DEFAULT_KINDS,
    style: Style = DEFAULT_STYLE,
    predecessors: Sequence[Dataset] = (),
) -> Results:
    """Build what a reading sends back.

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
    kinds
        What is wanted. A kind that the reading gives no cause for (a segmentation without masks)
        is left out.
    style
        How the destination wants it.
    predecessors
        Reports of earlier readings of this study that these replace.

    Raises
    ------
    SourceError
        The sources do not belong to one study, lack an image of the reading, or are smaller than
        its boxes say; or a picture is not a greyscale uint8 matrix.
    """
    order = _Order(
        sources=sources,
        pictures=pictures,
        reading=reading,
        when=when,
        style=style,
        predecessors=predecessors,
    )
    built = (_BUILDERS[kind](order) for kind in Kind if kind in kinds)
    return Results(tuple(each for objects in built for each in objects))


def _reports(order: _Order) -> list[ResultObject]:
    """Return the measurement report, its simpler classes, and the text report as the last."""
    report = encoded(
        build_report(
            order.sources,
            order.reading,
            when=order.when,
            style=order.style,
            predecessors=order.predecessors,
        )
    )
    forms = [report, *fallback_reports(report), order.text]
    return [
        ResultObject(kind=Kind.REPORT, number=1, rank=rank, dataset=each)
        for rank, each in enumerate(forms)
    ]


def _text_reports(order: _Order) -> list[ResultObject]:
    return [ResultObject(kind=Kind.TEXT, number=1, rank=0, dataset=order.text)]


def _overlays(order: _Order) -> Iterator[ResultObject]:
    for index, image in enumerate(order.reading.images):
        picture = order.pictures.get(image.sop_instance_uid)
        if picture is not None:
            overlay = build_overlay(
                order.sources, picture, order.reading, index, when=order.when, style=order.style
            )
            yield ResultObject(kind=Kind.OVERLAY, number=index + 1, rank=0, dataset=overlay)


def _presentations(order: _Order) -> Iterator[ResultObject]:
    states = build_presentations(order.sources, order.reading, when=order.when, style=order.style)
    for number, each in enumerate(states, start=1):
        yield ResultObject(kind=Kind.PRESENTATION, number=number, rank=0, dataset=each)


def _key_images(order: _Order) -> Iterator[ResultObject]:
    selection = build_key_images(order.sources, order.reading, when=order.when, style=order.style)
    if selection is not None:
        yield ResultObject(kind=Kind.KEY_IMAGES, number=1, rank=0, dataset=selection)


def _segmentations(order: _Order) -> Iterator[ResultObject]:
    built = build_segmentations(order.sources, order.reading, when=order.when, style=order.style)
    for number, each in enumerate(built, start=1):
        yield ResultObject(kind=Kind.SEGMENTATION, number=number, rank=0, dataset=each)


def _activation_maps(order: _Order) -> Iterator[ResultObject]:
    built = build_activation_maps(order.sources, order.reading, when=order.when, style=order.style)
    for number, each in enumerate(built, start=1):
        yield ResultObject(kind=Kind.MAP, number=number, rank=0, dataset=each)


def _pdfs(order: _Order) -> list[ResultObject]:
    document = build_pdf(
        order.sources,
        order.pictures,
        order.reading,
        when=order.when,
        style=order.style,
        predecessors=order.predecessors,
    )
    return [ResultObject(kind=Kind.PDF, number=1, rank=0, dataset=document)]


_BUILDERS: Mapping[Kind, Callable[[_Order], Iterable[ResultObject]]] = {
    Kind.REPORT: _reports,
    Kind.TEXT: _text_reports,
    Kind.OVERLAY: _overlays,
    Kind.PRESENTATION: _presentations,
    Kind.KEY_IMAGES: _key_images,
    Kind.SEGMENTATION: _segmentations,
    Kind.MAP: _activation_maps,
    Kind.PDF: _pdfs,
}

KINDS = tuple(kind for kind in Kind if kind in _BUILDERS)
"""Every kind that a reading can give cause for; a notice has no reading."""
