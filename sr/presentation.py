"""A reading as Grayscale Softcopy Presentation States: its marks, drawn on the source images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from datetime import datetime
from fractions import Fraction
from math import isfinite

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from sr.annotations import Layer, annotation_items, annotation_texts, layer_items
from sr.content import sop_reference
from sr.document import Origin, images_read, instances, new_result, put_body_part
from sr.findings import ImageReading, Reading
from sr.identity import Kind
from sr.patient import spacing
from sr.style import DEFAULT_STYLE, Style
from sr.wording import Words

_LABEL = "AI_MARKS"
_LO_LIMIT = 64  # PS3.5 section 6.2, VR LO
_IS_LIMIT = 1000  # of the terms of an aspect ratio; finer than any detector is made
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_FUNCTIONS = frozenset({"LINEAR_EXACT", "SIGMOID"})  # PS3.3 C.11.2.1.3; LINEAR goes without saying


def build_presentations(
    sources: Sequence[Dataset],
    reading: Reading,
    *,
    when: datetime,
    style: Style = DEFAULT_STYLE,
) -> list[Dataset]:
    """Build the presentation states of a reading (PS3.3 A.33.1).

    They show the images as they are displayed without them, and on top boxes, outlines, the contour
    of the strong activations, the answer and the notice, in layers that can be switched off.

    An image that the model calls normal, and on which it marks nothing, is not in them. There is
    nothing to point at; a word of normality that lies on the picture while it is read would rather
    keep the reader from looking, and the text report has it anyway.

    Parameters
    ----------
    sources
        Headers of the images that were read, in any order; Pixel Data is not needed.
    reading
        What the model says.
    when
        When it was said, with time zone.
    style
        How the destination wants it.

    Returns
    -------
    list
        Mostly one object, or none if there is nothing to show. More only for images that differ in
        what a presentation state says once for all its images: polarity and modality LUT.

    Raises
    ------
    SourceError
        The sources do not belong to one study, lack an image of the reading, or are smaller than
        its boxes say.
    """
    origin = Origin(sources=sources, algorithm=reading.algorithm, when=when, style=style)
    images = images_read(origin, reading)
    shown = {
        each.sop_instance_uid: each
        for each in reading.images
        if reading.is_flagged(each)
        and images[each.sop_instance_uid].get("PhotometricInterpretation") in _GREY
    }
    alike = _alike([images[uid] for uid in shown], _grey_scale)
    return [
        _state(
            origin,
            reading,
            number,
            grey_scale,
            [(each, shown[each.SOPInstanceUID]) for each in those],
        )
        for number, (grey_scale, those) in enumerate(alike, start=1)
    ]


def _state(
    origin: Origin,
    reading: Reading,
    number: int,
    grey_scale: Dataset,
    shown: Sequence[tuple[Dataset, ImageReading]],
) -> Dataset:
    """Build the presentation state of images that have the same grey scale."""
    words = Words(origin.style.language, reading.translations)
    annotations = [annotation_items(source, reading, image, words) for source, image in shown]
    items = [item for each in annotations for item in each.values()]
    result = new_result(
        origin,
        Kind.PRESENTATION,
        GrayscaleSoftcopyPresentationStateStorage,
        modality="PR",
        series_uid=origin.uid(Kind.PRESENTATION, "series"),
        texts=annotation_texts(items),
        purpose="instance" if number == 1 else f"instance {number}",
    )
    result.InstanceNumber = number
    sources = [source for source, _ in shown]
    _put_identification(result, reading)
    put_body_part(result, sources)
    result.ReferencedSeriesSequence = _series(sources)
    result.update(grey_scale)
    windows = _by_image(sources, _window)
    if windows:
        result.SoftcopyVOILUTSequence = windows
    result.DisplayedAreaSelectionSequence = _by_image(sources, _displayed_area)
    result.GraphicAnnotationSequence = DicomSequence(items)
    used: list[Layer] = [layer for each in annotations for layer in each]
    result.GraphicLayerSequence = DicomSequence(layer_items(used))
    return result


def _put_identification(result: Dataset, reading: Reading) -> None:
    """Write the Presentation State Identification module (PS3.3 C.11.10)."""
    result.ContentLabel = _LABEL
    result.ContentDescription = f"Marks of {reading.algorithm.title}"[:_LO_LIMIT]
    result.PresentationCreationDate = result.ContentDate
    result.PresentationCreationTime = result.ContentTime
    result.ContentCreatorName = None  # nobody: the equipment says what made it
    for name in ("ContentDate", "ContentTime"):
        del result[name]


def _series(sources: Sequence[Dataset]) -> DicomSequence:
    """Return the Referenced Series Sequence (PS3.3 C.11.11)."""
    items: DicomSequence = instances(sources)[0].ReferencedSeriesSequence
    for series in items:
        series.ReferencedImageSequence = series.ReferencedSOPSequence
        del series.ReferencedSOPSequence
    return items


# -- what images have in common --


def _alike(
    sources: Sequence[Dataset], describe: Callable[[Dataset], Dataset]
) -> list[tuple[Dataset, list[Dataset]]]:
    """Return each different description with the images that it fits, in the order given."""
    groups: list[tuple[Dataset, list[Dataset]]] = []
    for source in sources:
        described = describe(source)
        those = next((those for known, those in groups if known == described), None)
        if those is None:
            groups.append((described, [source]))
        else:
            those.append(source)
    return groups


def _by_image(sources: Sequence[Dataset], describe: Callable[[Dataset], Dataset]) -> DicomSequence:
    """Return sequence items, which name their images unless one fits all; no empty ones."""
    groups = _alike(sources, describe)
    for item, those in groups:
        if item and len(groups) > 1:
            item.ReferencedImageSequence = DicomSequence(map(sop_reference, those))
    return DicomSequence(item for item, _ in groups if item)


def _grey_scale(source: Dataset) -> Dataset:
    """Return Modality LUT and Presentation LUT of an image (PS3.3 C.11.1, C.11.6).

    The state replaces the image's own Modality LUT (PS3.4 N.2.1.1), so it must repeat it.
    """
    item = Dataset()
    if source.get("ModalityLUTSequence"):
        item.ModalityLUTSequence = DicomSequence([_table(source.ModalityLUTSequence[0])])
    elif source.get("RescaleSlope") is not None:
        item.RescaleIntercept = _first(source, "RescaleIntercept") or 0
        item.RescaleSlope = _first(source, "RescaleSlope") or 1
        # Type 1 here. Where it is missing, CT means Hounsfield units; else it is unspecified.
        unknown = "HU" if source.get("Modality") == "CT" else "US"
        item.RescaleType = str(source.get("RescaleType") or unknown)
    inverse = source.PhotometricInterpretation == "MONOCHROME1"
    item.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    return item


def _window(source: Dataset) -> Dataset:
    """Return an image's VOI LUT, else its first window; empty if it has none (PS3.3 C.11.8).

    An image without either is shown in its full range, as it is without the state.
    """
    item = Dataset()
    if source.get("VOILUTSequence"):
        item.VOILUTSequence = DicomSequence([_table(source.VOILUTSequence[0])])
        return item
    centre, width = _first(source, "WindowCenter"), _first(source, "WindowWidth")
    function = str(source.get("VOILUTFunction") or "")
    least = 0.0 if function in _FUNCTIONS else 1.0  # PS3.3 C.11.2.1.2
    if centre is None or width is None or width < least or width == 0:
        return item
    item.WindowCenter, item.WindowWidth = centre, width
    if function in _FUNCTIONS:
        item.VOILUTFunction = function
    return item


def _table(source: Dataset) -> Dataset:
    """Return a copy of a LUT whose value representations no longer depend on the image."""
    item = Dataset()
    for name in ("LUTDescriptor", "LUTExplanation", "ModalityLUTType", "LUTData"):
        if name in source:
            item[name] = copy.deepcopy(source[name])
    return item


def _displayed_area(source: Dataset) -> Dataset:
    """Return the whole image, as large as it fits (PS3.3 C.10.4)."""
    item = Dataset()
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [int(source.Columns), int(source.Rows)]
    item.PresentationSizeMode = "SCALE TO FIT"
    item.PresentationPixelAspectRatio = _aspect_ratio(source)
    return item


def _aspect_ratio(source: Dataset) -> list[int]:
    """Return height and width of a pixel as small whole numbers."""
    distances = spacing(source, "PixelSpacing") or spacing(source, "ImagerPixelSpacing")
    height, width = distances or spacing(source, "PixelAspectRatio") or (1.0, 1.0)
    ratio = Fraction(height / width).limit_denominator(_IS_LIMIT)
    return [ratio.numerator, ratio.denominator]


def _first(source: Dataset, name: str) -> float | None:
    """Return the first value of a decimal attribute, as it was written; None if malformed."""
    try:
        value = source.get(name)
        first = value[0] if isinstance(value, MultiValue) else value
        return first if first is not None and isfinite(first) else None
    except (TypeError, ValueError, IndexError):  # values are parsed on access
        return None
