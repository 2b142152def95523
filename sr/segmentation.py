"""What a model outlined on slices, as Segmentations: the pixels that each finding covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import SegmentationStorage

from sr import codes
from sr.document import Origin, images_read, new_result
from sr.findings import Algorithm, ImageReading, Reading
from sr.identity import Kind
from sr.lettering import Colour
from sr.marks import mark_colours
from sr.multiframe import (
    NOTE,
    Frame,
    Stack,
    coded,
    put_dimensions,
    put_frames,
    put_schemes,
    put_stack,
    stack_uid,
    stacks,
)
from sr.style import DEFAULT_STYLE, Style
from sr.wording import Words

_LO_LIMIT = 64  # PS3.5 section 6.2, VR LO
_PIXEL_DATA = Tag(0x7FE0, 0x0010)
_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Covered:
    """What one finding covers on the slices of a stack.

    Attributes
    ----------
    finding, label, colour
        What is covered, and how the overlay shows it.
    masks
        Place of each slice in the stack, from 1, and its pixels; shape (rows, columns) each.
    """

    finding: Code
    label: str
    colour: Colour
    masks: Mapping[int, _Mask]


def build_segmentations(
    sources: Sequence[Dataset],
    reading: Reading,
    *,
    when: datetime,
    style: Style = DEFAULT_STYLE,
) -> list[Dataset]:
    """Build the segmentations of a reading (PS3.3 A.51), one for each series with masks.

    A segmentation has a segment for each finding, and in it a frame for each slice on which the
    finding covers a pixel.

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
        Empty where no mask covers anything, or the images are not slices of CT or MR with a place
        in a frame of reference: viewers show segmentations on nothing else.

    Raises
    ------
    SourceError
        The sources do not belong to one study, or lack an image of the reading.
    """
    origin = Origin(sources=sources, algorithm=reading.algorithm, when=when, style=style)
    images_read(origin, reading)
    by_uid = {each.sop_instance_uid: each for each in reading.images}
    built = []
    words = Words(style.language, reading.translations)
    for series in stacks(sources):
        stack = series.of([each.sop_instance_uid for each in reading.images if each.segments])
        covered = [] if stack is None else _covered(stack, by_uid, words)
        if stack is not None and covered:
            built.append(_segmentation(origin, stack, covered))
    return built


def _covered(stack: Stack, images: Mapping[str, ImageReading], words: Words) -> list[_Covered]:
    """Return what each finding covers, in the order in which the slices name them."""
    found: dict[Code, _Covered] = {}
    for place, source in enumerate(stack.slices, start=1):
        image = images[str(source.SOPInstanceUID)]
        colours = mark_colours(image)
        for segment in image.segments:
            mask = resized(segment.mask, stack.rows, stack.columns)
            if not mask.any():
                continue
            finding = segment.finding
            colour = colours[finding.value]
            label = words.label(segment.label, finding)
            covered = found.setdefault(finding, _Covered(finding, label, colour, {}))
            before = covered.masks.get(place)
            masks = {**covered.masks, place: mask if before is None else before | mask}
            found[finding] = replace(covered, masks=masks)
    return list(found.values())


def resized(mask: _Mask, rows: int, columns: int) -> _Mask:
    """Return a mask at another size, each pixel from the nearest; its edges stay its edges."""
    down, across = (
        (2 * np.arange(target) + 1) * count // (2 * target)
        for target, count in zip((rows, columns), mask.shape, strict=True)
    )
    return mask[np.ix_(down, across)]


def _segmentation(origin: Origin, stack: Stack, covered: Sequence[_Covered]) -> Dataset:
    kind = Kind.SEGMENTATION
    result = new_result(
        origin,
        kind,
        SegmentationStorage,
        modality="SEG",
        series_uid=stack_uid(origin, kind, stack, "series"),
        texts=[
            NOTE,
            *(each.label for each in covered),
            *(each.finding.meaning for each in covered),
        ],
        purpose=f"instance {stack.key}",
    )
    put_stack(result, stack)
    result.pop("Laterality", None)  # in a series of segmentations, each frame has its own
    put_dimensions(
        result,
        stack_uid(origin, kind, stack, "dimensions"),
        [
            ("ReferencedSegmentNumber", "SegmentIdentificationSequence"),
            ("ImagePositionPatient", "PlanePositionSequence"),
        ],
    )
    _put_image(result)
    result.SegmentSequence = DicomSequence(
        _segment(number, each, origin.algorithm) for number, each in enumerate(covered, start=1)
    )
    frames, masks = [], []
    for number, each in enumerate(covered, start=1):
        for place, mask in each.masks.items():
            frames.append(Frame(source=stack.slices[place - 1], indices=(number, place)))
            masks.append(mask)
    for item, frame in zip(put_frames(result, stack, frames, codes.SEGMENTED), frames, strict=True):
        identification = Dataset()
        identification.ReferencedSegmentNumber = frame.indices[0]
        item.SegmentIdentificationSequence = DicomSequence([identification])
    _put_pixels(result, masks)
    put_schemes(result, [each.finding for each in covered])
    return result


def _put_image(result: Dataset) -> None:
    """Write the General and Segmentation Image modules (PS3.3 C.7.6.1, C.8.20.2)."""
    result.ImageType = ["DERIVED", "PRIMARY"]
    result.SamplesPerPixel = 1
    result.PhotometricInterpretation = "MONOCHROME2"
    result.PixelRepresentation = 0
    result.BitsAllocated = result.BitsStored = 1
    result.HighBit = 0
    result.SegmentationType = "BINARY"
    result.ContentLabel = "SEGMENTATION"
    result.ContentDescription = NOTE
    result.ContentCreatorName = None  # type 2: a person's name, and no person made it


def _segment(number: int, covered: _Covered, algorithm: Algorithm) -> Dataset:
    """Return a Segment Sequence item (PS3.3 C.8.20.4)."""
    item = Dataset()
    item.SegmentNumber = number
    item.SegmentLabel = covered.label[:_LO_LIMIT]
    item.SegmentAlgorithmType = "AUTOMATIC"
    item.SegmentAlgorithmName = algorithm.name
    item.SegmentationAlgorithmIdentificationSequence = DicomSequence([_identification(algorithm)])
    item.SegmentedPropertyCategoryCodeSequence = coded(codes.ABNORMAL_STRUCTURE)
    item.SegmentedPropertyTypeCodeSequence = coded(covered.finding)
    item.RecommendedDisplayCIELabValue = list(CIELabColor.from_rgb(*covered.colour).value)
    return item


def _identification(algorithm: Algorithm) -> Dataset:
    """Return an Algorithm Identification Macro (PS3.3 section 10.16)."""
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = coded(codes.ARTIFICIAL_INTELLIGENCE)
    item.AlgorithmName = algorithm.name
    item.AlgorithmVersion = algorithm.version
    item.AlgorithmSource = algorithm.manufacturer
    return item


def _put_pixels(result: Dataset, masks: Sequence[_Mask]) -> None:
    """Write one bit for each pixel, frame after frame without a gap (PS3.5 section 8.1.1)."""
    data = np.packbits(np.concatenate([each.ravel() for each in masks]), bitorder="little")
    value = data.tobytes() + b"\0" * (data.size % 2)
    result[_PIXEL_DATA] = DataElement(_PIXEL_DATA, "OB", value)
