"""The overlay as a secondary capture: what the model saw, readable in every viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag
from pydicom.uid import SecondaryCaptureImageStorage

from sr import codes
from sr.content import sop_reference
from sr.document import Origin, images_read, new_result, put_body_part, put_lossiness
from sr.findings import Reading
from sr.geometry import put_geometry
from sr.identity import Kind, result_uid
from sr.legend import Caption
from sr.patient import SourceError, image_area, instance_number
from sr.picture import draw
from sr.style import DEFAULT_STYLE, Style
from sr.wording import Words

_PIXEL_DATA = Tag(0x7FE0, 0x0010)
_DERIVATION = (
    "Source image in its display window, resized, with what the model marked on it, the model's "
    "answer and a notice added by wetread. Not for diagnosis."
)


def build_overlay(
    sources: Sequence[Dataset],
    picture: NDArray[np.uint8],
    reading: Reading,
    index: int = 0,
    *,
    when: datetime,
    style: Style = DEFAULT_STYLE,
) -> Dataset:
    """Build the overlay of one image: an RGB Secondary Capture (PS3.3 A.8.1).

    The overlay's long side has 1,024 to 1,536 pixels (see ``sr.picture``), whatever the source has.

    Parameters
    ----------
    sources
        Headers of the images that were read, in any order; Pixel Data is not needed.
    picture
        The image as a viewer displays it: shape (Rows, Columns), uint8, 0 black to 255 white,
        windowed, MONOCHROME1 already inverted.
    reading
        What the model says.
    index
        Which of the reading's images is shown, from 0; the overlays of a series are numbered so.
    when
        When it was said, with time zone.
    style
        How the destination wants it.

    Raises
    ------
    SourceError
        The sources do not belong to one study, lack an image of the reading, or are smaller than
        its boxes say; or the picture is not a greyscale uint8 matrix.
    """
    if picture.ndim != 2 or picture.size == 0 or picture.dtype != np.uint8:
        raise SourceError(
            f"the picture has shape {picture.shape}, type {picture.dtype}; "
            "it must be (rows, columns), uint8"
        )
    origin = Origin(sources=sources, algorithm=reading.algorithm, when=when, style=style)
    words = Words(style.language, reading.translations)
    image = reading.images[index]
    source = images_read(origin, reading)[image.sop_instance_uid]
    result = _new_overlay(origin, source, reading)
    result.InstanceNumber = index + 1
    shown_as = instance_number(source)
    caption = Caption(
        words=words,
        reading=reading,
        image=image,
        place=words.slice_place(len(reading.images), shown_as) if reading.study else "",
        image_area=image_area(source),
        banner=style.banner,
    )
    drawing = draw(picture, caption)
    _put_derivation(result, source)
    put_geometry(result, source, drawing)
    _put_pixels(result, drawing.pixels)
    return result


def _new_overlay(origin: Origin, source: Dataset, reading: Reading) -> Dataset:
    """Start an overlay; its UIDs depend on what it tells of: the study, or this image alone."""
    if reading.is_of_study:
        made_of, purpose = origin, f"instance {source.SOPInstanceUID}"
        series_uid = origin.uid(Kind.OVERLAY, "series")
    else:
        made_of = replace(origin, sources=[source])
        purpose = "instance"
        # The series hangs on the study, so an image that comes late joins the others' series.
        study_uid = str(source.StudyInstanceUID)
        series_uid = result_uid(
            [study_uid], origin.algorithm, Kind.OVERLAY, "series", origin.style.key
        )
    return new_result(
        made_of,
        Kind.OVERLAY,
        SecondaryCaptureImageStorage,
        modality="OT",
        series_uid=series_uid,
        texts=(),
        purpose=purpose,
    )


def _put_derivation(result: Dataset, source: Dataset) -> None:
    """Write where the picture comes from (PS3.3 C.7.6.1, C.8.6.1)."""
    result.ConversionType = "WSD"
    result.ImageType = ["DERIVED", "SECONDARY"]
    result.DerivationDescription = _DERIVATION
    reference = sop_reference(source)
    purpose = CodedConcept.from_code(codes.SOURCE_IMAGE)
    reference.PurposeOfReferenceCodeSequence = DicomSequence([purpose])
    result.SourceImageSequence = DicomSequence([reference])
    # The bands name nobody, but the source's own pixels may.
    result.BurnedInAnnotation = "YES" if source.get("BurnedInAnnotation") == "YES" else "NO"
    put_lossiness(result, source)
    put_body_part(result, [source])


def _put_pixels(result: Dataset, pixels: NDArray[np.uint8]) -> None:
    """Write the Image Pixel module (PS3.3 C.7.6.3) for 8-bit RGB, colour by pixel."""
    result.SamplesPerPixel = 3
    result.PhotometricInterpretation = "RGB"
    result.PlanarConfiguration = 0
    result.Rows, result.Columns = pixels.shape[:2]
    result.BitsAllocated = result.BitsStored = 8
    result.HighBit = 7
    result.PixelRepresentation = 0
    data = pixels.tobytes()
    result[_PIXEL_DATA] = DataElement(_PIXEL_DATA, "OB", data + b"\0" * (len(data) % 2))
