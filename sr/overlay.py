"""The overlay as a secondary capture: what the model saw, readable in every viewer."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import SecondaryCaptureImageStorage
from pydicom.valuerep import DSfloat

from sr import codes
from sr.content import sop_reference
from sr.document import Origin, new_result
from sr.findings import Algorithm, ImageReading
from sr.identity import Kind, result_uid
from sr.patient import SourceError, orientation, put_copy, spacing
from sr.picture import Drawing, draw

# PS3.16 Annex L: parts of the body that are not paired, and so have no Laterality.
_UNPAIRED = frozenset({"ABDOMEN", "CHEST", "HEAD", "SKULL"})
_PIXEL_DATA = Tag(0x7FE0, 0x0010)
_DERIVATION = (
    "Source image in its display window, resized, with a heat map of model activation, the "
    "model's answer and a notice added by wetread. Not for diagnosis."
)


def build_overlay(
    source: Dataset,
    picture: NDArray[np.uint8],
    image: ImageReading,
    algorithm: Algorithm,
    *,
    when: datetime,
    instance_number: int = 1,
) -> Dataset:
    """Build the overlay of one image: an RGB Secondary Capture (PS3.3 A.8.1).

    The overlay's long side has 1,024 to 1,536 pixels (see ``sr.picture``), whatever the source has.

    Parameters
    ----------
    source
        Header of the image; Pixel Data is not needed.
    picture
        The image as a viewer displays it: shape (Rows, Columns), uint8, 0 black to 255 white,
        windowed, MONOCHROME1 already inverted.
    image
        What the model says about it.
    algorithm
        The model.
    when
        When it was said, with time zone.
    instance_number
        Number within the series of overlays of this study and model, from 1.

    Raises
    ------
    SourceError
        The source cannot be referred to, the reading is of another image, or the picture is not
        a greyscale uint8 matrix.
    """
    origin = Origin(sources=[source], algorithm=algorithm, when=when)
    if image.sop_instance_uid != source.SOPInstanceUID:
        raise SourceError("the reading is of another image than the source")
    if picture.ndim != 2 or picture.size == 0 or picture.dtype != np.uint8:
        raise SourceError(
            f"the picture has shape {picture.shape}, type {picture.dtype}; "
            "it must be (rows, columns), uint8"
        )
    # The series hangs on the study, so an image that comes late joins the others' series.
    series_uid = result_uid([str(source.StudyInstanceUID)], algorithm, Kind.OVERLAY, "series")
    result = new_result(
        origin,
        Kind.OVERLAY,
        SecondaryCaptureImageStorage,
        modality="OT",
        series_uid=series_uid,
        texts=(),
    )
    result.InstanceNumber = instance_number
    drawing = draw(picture, image, algorithm)
    _put_derivation(result, source)
    _put_geometry(result, source, drawing)
    _put_pixels(result, drawing.pixels)
    return result


def _put_derivation(result: Dataset, source: Dataset) -> None:
    """Write where the picture comes from (PS3.3 C.7.6.1, C.8.6.1)."""
    result.ConversionType = "WSD"
    result.ImageType = ["DERIVED", "SECONDARY"]
    result.DerivationDescription = _DERIVATION
    reference = sop_reference(source)
    purpose = CodedConcept.from_code(codes.SOURCE_IMAGE)
    reference.PurposeOfReferenceCodeSequence = Sequence([purpose])
    result.SourceImageSequence = Sequence([reference])
    # The bands name nobody, but the source's own pixels may.
    result.BurnedInAnnotation = "YES" if source.get("BurnedInAnnotation") == "YES" else "NO"
    lossy = source.get("LossyImageCompression") == "01"
    result.LossyImageCompression = "01" if lossy else "00"
    if lossy:
        for name in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if source.get(name):
                put_copy(result, source, name)
    if source.get("BodyPartExamined") in _UNPAIRED:
        put_copy(result, source, "BodyPartExamined")
    else:
        put_copy(result, source, "Laterality")  # type 2C beside any other part, known or not


def _put_geometry(result: Dataset, source: Dataset, drawing: Drawing) -> None:
    """Write orientation and, if the source is calibrated, the spacing of the resized picture."""
    result.PatientOrientation = orientation(source)
    # Imager Pixel Spacing is measured at the detector and says nothing about the patient.
    distances = spacing(source, "PixelSpacing")
    if distances is not None:
        scales = (drawing.row_scale, drawing.column_scale)
        result.PixelSpacing = [
            DSfloat(distance / scale, auto_format=True)
            for distance, scale in zip(distances, scales, strict=True)
        ]


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
