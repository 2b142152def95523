"""Source headers and readings for tests of result objects; every name is invented."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from sr import codes
from sr.findings import Algorithm, Decision, ImageReading, Normality, Probability, Reading, Score

WHEN = datetime(2026, 3, 4, 23, 30, 15, tzinfo=UTC)
ALGORITHM = Algorithm(
    name="chest-screen",
    version="1.2.0",
    manufacturer="wetread project",
    title="Chest radiograph screening",
)
STUDY_UID = "1.2.826.0.1.3680043.10.1.1"


def radiograph(number: int = 1) -> Dataset:
    """Return the header of a complete digital radiograph; ``number`` tells images apart."""
    source = Dataset()
    source.SOPClassUID = DigitalXRayImageStorageForPresentation
    source.SOPInstanceUID = f"{STUDY_UID}.2.{number}"
    source.StudyInstanceUID = STUDY_UID
    source.SeriesInstanceUID = f"{STUDY_UID}.2"
    source.Modality = "DX"
    source.PatientName = "Ward^Test"
    source.PatientID = "T-0001"
    source.IssuerOfPatientID = "HOSPITAL"
    source.PatientBirthDate = "19700102"
    source.PatientSex = "O"
    source.StudyDate = "20260304"
    source.StudyTime = "221500.25"
    source.StudyID = "77"
    source.StudyDescription = "Thorax"
    source.AccessionNumber = "A-4711"
    source.ReferringPhysicianName = "Refer^Ring"
    source.TimezoneOffsetFromUTC = "+0900"
    source.BodyPartExamined = "CHEST"
    source.ViewPosition = "PA"
    source.PatientOrientation = ["L", "F"]
    source.PhotometricInterpretation = "MONOCHROME2"
    source.Rows, source.Columns = 300, 240
    source.BitsAllocated, source.BitsStored = 16, 12
    source.ImagerPixelSpacing = ["0.143", "0.143"]
    return source


def computed_radiograph() -> Dataset:
    """Return a MONOCHROME1 header with a calibrated spacing and no orientation."""
    source = radiograph()
    source.SOPClassUID = ComputedRadiographyImageStorage
    source.Modality = "CR"
    source.PhotometricInterpretation = "MONOCHROME1"
    source.PixelSpacing = ["0.2", "0.2"]
    source.LossyImageCompression = "01"
    del source.PatientOrientation
    return source


def bare() -> Dataset:
    """Return a header that lacks whatever a header may lack."""
    source = radiograph()
    for name in [
        "AccessionNumber",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyTime",
        "StudyID",
        "StudyDescription",
        "ReferringPhysicianName",
        "TimezoneOffsetFromUTC",
        "PatientOrientation",
        "BodyPartExamined",
        "ViewPosition",
        "ImagerPixelSpacing",
    ]:
        delattr(source, name)
    return source


def export_8_bit() -> Dataset:
    """Return what export tools write: a secondary capture that calls itself CR."""
    source = bare()
    source.SOPClassUID = SecondaryCaptureImageStorage
    source.Modality = "CR"
    source.AccessionNumber = ""
    source.BitsAllocated = source.BitsStored = 8
    source.PixelSpacing = ["0.000", "0.000"]
    source.LossyImageCompression = "01"
    source.BodyPartExamined = "THORAX"
    return source


def japanese() -> Dataset:
    """Return a header with a name in kanji and kana (ISO 2022 IR 87, PS3.5 Annex H)."""
    source = radiograph()
    source.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    source.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    return source


def latin() -> Dataset:
    """Return a header in Latin-1."""
    source = radiograph()
    source.SpecificCharacterSet = "ISO_IR 100"
    source.PatientName = "Müller^Jörg"
    source.StudyDescription = "Thorax, Übersicht"
    return source


def greek() -> Dataset:
    """Return a header in UTF-8."""
    source = radiograph()
    source.SpecificCharacterSet = "ISO_IR 192"
    source.PatientName = "Διονυσιος^Νικος"
    return source


SOURCES: dict[str, Callable[[], Dataset]] = {
    "DX": radiograph,
    "CR MONOCHROME1": computed_radiograph,
    "bare": bare,
    "8-bit export": export_8_bit,
    "Japanese": japanese,
    "Latin-1": latin,
    "UTF-8": greek,
}


def as_file(source: Dataset, *, implicit: bool = False) -> bytes:
    """Return a header as a DICOM file."""
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    buffer = BytesIO()
    source.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def received(source: Dataset, *, implicit: bool = False) -> Dataset:
    """Return a header as a node meets it: read from a file, its bytes not yet decoded."""
    return dcmread(BytesIO(as_file(source, implicit=implicit)))


def image_reading(
    source: Dataset,
    normality: Normality = Normality.ABNORMAL,
    *,
    heatmap: NDArray[np.float32] | None = None,
    scores: tuple[Score, ...] = (),
) -> ImageReading:
    """Return what a model could say about an image."""
    abnormal = {"normal": 0.06, "abnormal": 0.8712, "indeterminate": 0.5}[normality.value]
    normal = Probability(finding=codes.NORMAL, label="Normal", value=1 - abnormal)
    pneumonia = Probability(
        finding=codes.PNEUMONIA, label="Pneumonia", value=round(abnormal * 0.8, 6)
    )
    covid = Probability(finding=codes.COVID_19, label="COVID-19", value=round(abnormal * 0.2, 6))
    return ImageReading(
        sop_instance_uid=str(source.SOPInstanceUID),
        decision=Decision(
            normality=normality,
            abnormal_probability=abnormal,
            threshold=0.42,
            leading=normal if normality is Normality.NORMAL else pneumonia,
        ),
        probabilities=(normal, pneumonia, covid),
        scores=scores,
        heatmap=heatmap,
    )


def reading(*images: ImageReading, algorithm: Algorithm = ALGORITHM) -> Reading:
    """Return the reading of a study."""
    return Reading(algorithm=algorithm, procedure=codes.XR_VIEWS, images=images)


def spot(row: int, column: int, side: int = 8) -> NDArray[np.float32]:
    """Return a heat map with one warm cell."""
    heatmap = np.zeros((side, side), np.float32)
    heatmap[row, column] = 1.0
    return heatmap


def picture(source: Dataset, grey: int = 90) -> NDArray[np.uint8]:
    """Return an evenly grey displayed picture of the image's size."""
    return np.full((int(source.Rows), int(source.Columns)), grey, np.uint8)
