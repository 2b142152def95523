"""Where a model looked on slices, as Parametric Maps: the activation itself, for software."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import RealWorldValueMapping
from numpy.typing import NDArray
from PIL import Image
from pydicom import DataElement, Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag
from pydicom.uid import ParametricMapStorage

from sr import codes
from sr.document import Origin, images_read, new_result
from sr.findings import ImageReading, Reading
from sr.identity import Kind
from sr.multiframe import (
    NOTE,
    Frame,
    Stack,
    put_dimensions,
    put_frames,
    put_stack,
    stack_uid,
    stacks,
)
from sr.picture import shows_heatmap
from sr.style import DEFAULT_STYLE, Style

_IMAGE_TYPE = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]  # PS3.3 C.8.32.2
_FLOAT_PIXEL_DATA = Tag(0x7FE0, 0x0008)


def build_activation_maps(
    sources: Sequence[Dataset],
    reading: Reading,
    *,
    when: datetime,
    style: Style = DEFAULT_STYLE,
) -> list[Dataset]:
    """Build the parametric maps of a reading (PS3.3 A.75), one for each series with heat maps.

    A map has a frame for each slice whose heat map the overlay shows: activation 0 to 1 in each
    pixel of the slice, and 0 where the model does not say.

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
        Empty where no heat map is shown, or the images are not slices of CT or MR with a place in
        a frame of reference.

    Raises
    ------
    SourceError
        The sources do not belong to one study, or lack an image of the reading.
    """
    origin = Origin(sources=sources, algorithm=reading.algorithm, when=when, style=style)
    images_read(origin, reading)
    shown = {each.sop_instance_uid: each for each in reading.images if shows_heatmap(reading, each)}
    chosen = (series.of(shown) for series in stacks(sources))
    return [_map(origin, stack, shown) for stack in chosen if stack is not None]


def _map(origin: Origin, stack: Stack, shown: Mapping[str, ImageReading]) -> Dataset:
    kind = Kind.MAP
    result = new_result(
        origin,
        kind,
        ParametricMapStorage,
        modality="OT",
        series_uid=stack_uid(origin, kind, stack, "series"),
        texts=[NOTE],
        purpose=f"instance {stack.key}",
    )
    _put_meaning(put_stack(result, stack))
    _put_image(result)
    uid = stack_uid(origin, kind, stack, "dimensions")
    put_dimensions(result, uid, [("ImagePositionPatient", "PlanePositionSequence")])
    frames = [
        Frame(source=source, indices=(place,)) for place, source in enumerate(stack.slices, start=1)
    ]
    put_frames(result, stack, frames, codes.RESAMPLED)
    maps = [
        resampled(heatmap, stack.rows, stack.columns)
        for each in stack.slices
        if (heatmap := shown[str(each.SOPInstanceUID)].heatmap) is not None
    ]
    data = np.stack(maps).astype("<f4").tobytes()
    result[_FLOAT_PIXEL_DATA] = DataElement(_FLOAT_PIXEL_DATA, "OF", data)
    return result


def resampled(heatmap: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Return a heat map at another size, linear between its cells; its edges stay its edges."""
    known = np.nan_to_num(heatmap.astype(np.float32, copy=False), nan=0.0)
    picture = Image.fromarray(known).resize((columns, rows), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(picture, np.float32), 0.0, 1.0)


def _put_image(result: Dataset) -> None:
    """Write the Parametric Map Image and Floating Point Image Pixel modules.

    PS3.3 C.8.32.2 and C.7.6.24.
    """
    result.ImageType = _IMAGE_TYPE
    result.SamplesPerPixel = 1
    result.PhotometricInterpretation = "MONOCHROME2"
    result.BitsAllocated = 32
    result.PresentationLUTShape = "IDENTITY"
    result.BurnedInAnnotation = "NO"
    result.RecognizableVisualFeatures = "NO"
    result.ContentQualification = "RESEARCH"
    result.ContentLabel = "ACTIVATION"
    result.ContentDescription = NOTE
    result.ContentCreatorName = None  # type 2: a person's name, and no person made it
    result.AcquisitionContextSequence = DicomSequence()


def _put_meaning(shared: Dataset) -> None:
    """Write what the values are (PS3.3 C.7.6.16.2.11), and the window to show them in."""
    mapping = RealWorldValueMapping(
        lut_label="ACTIVATION",
        lut_explanation="Where the model looked, 0 to 1",
        unit=codes.NO_UNITS,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=codes.CLASS_ACTIVATION,
    )
    shared.RealWorldValueMappingSequence = DicomSequence([mapping])
    window = VOILUTTransformation(window_center=0.5, window_width=1.0)
    shared.FrameVOILUTSequence = DicomSequence([window])
    identity, frame_type = Dataset(), Dataset()
    identity.RescaleIntercept, identity.RescaleSlope, identity.RescaleType = 0, 1, "US"
    shared.PixelValueTransformationSequence = DicomSequence([identity])
    frame_type.FrameType = _IMAGE_TYPE
    shared.ParametricMapFrameTypeSequence = DicomSequence([frame_type])
