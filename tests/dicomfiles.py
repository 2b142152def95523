"""Small radiographs made in code, clean enough that pydicom has nothing to warn of."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    RLELossless,
)

STUDY = "1.2.826.0.1.3680043.10.1.77"
PATIENT = "Secret^Name"
PATIENT_ID = "SECRET-4711"


def header(number: int = 1, study: str = STUDY, **elements: Any) -> Dataset:
    """A chest radiograph without pixels; ``elements`` go over it, None deletes one."""
    made = Dataset()
    made.SOPClassUID = DigitalXRayImageStorageForPresentation
    made.SOPInstanceUID = f"{study}.1.{number}"
    made.StudyInstanceUID = study
    made.SeriesInstanceUID = f"{study}.1"
    made.StudyDate, made.StudyTime, made.StudyID = "20260304", "221500", "77"
    made.AccessionNumber, made.ReferringPhysicianName = "A-1", "Refer^Ring"
    made.PatientName, made.PatientID = PATIENT, PATIENT_ID
    made.PatientBirthDate, made.PatientSex = "19700102", "O"
    made.Modality, made.BodyPartExamined, made.ViewPosition = "DX", "CHEST", "PA"
    made.ImageType = ["ORIGINAL", "PRIMARY"]
    made.InstanceNumber = number
    made.Rows, made.Columns, made.SamplesPerPixel = 40, 32, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    return change(made, **elements)


def change(dataset: Dataset, **elements: Any) -> Dataset:
    """Set elements by keyword; None deletes."""
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def image(
    values: NDArray[Any] | None = None,
    *,
    number: int = 1,
    study: str = STUDY,
    bits_stored: int | None = None,
    **elements: Any,
) -> Dataset:
    """A radiograph with these stored values, shape (rows, columns), of an 8-, 16- or 32-bit type.

    Without values, a 12-bit picture that differs by ``number``; bright, with a dark corner.
    """
    if values is None:
        values = np.full((40, 32), 3500 + number, np.uint16)
        values[:10, :8] = 100
    made = header(number, study)
    made.Rows, made.Columns = values.shape[-2:]
    made.BitsAllocated = values.itemsize * 8
    made.BitsStored = bits_stored or (12 if values.itemsize == 2 else made.BitsAllocated)
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    if values.ndim == 3:
        made.NumberOfFrames = len(values)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    made["PixelData"].VR = "OB" if values.itemsize == 1 else "OW"
    return change(made, **elements)


def colour() -> Dataset:
    """An RGB picture."""
    made = image(np.zeros((6, 5), np.uint8), SamplesPerPixel=3, PhotometricInterpretation="RGB")
    made.PlanarConfiguration = 0
    made.PixelData = bytes(6 * 5 * 3)
    return made


def rle(values: NDArray[Any], **elements: Any) -> Dataset:
    """The same as ``image``, compressed."""
    made = image(values, **elements)
    made.compress(RLELossless, generate_instance_uid=False)
    return made


def lut(first: int, entries: Sequence[int], bits: int, **elements: Any) -> Items:
    """A modality or VOI LUT sequence; ``first`` is the first stored value mapped."""
    item = Dataset()
    descriptor_vr = "US" if first >= 0 else "SS"
    item.add_new("LUTDescriptor", descriptor_vr, [len(entries), first, bits])
    item.add_new("LUTData", "US", list(entries))
    return Items([change(item, **elements)])


def code(value: str, scheme: str = "SCT") -> Items:
    """A code sequence of one item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "meaning"
    return Items([item])


def as_file(dataset: Dataset) -> bytes:
    """The data set as a Part 10 file."""
    if "TransferSyntaxUID" not in dataset.__dict__.get("file_meta", Dataset()):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
