"""Source headers and readings for tests of result objects; every name is invented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from sr import codes
from sr.findings import (
    Algorithm,
    Decision,
    Grade,
    ImageReading,
    Normality,
    Probability,
    Reading,
    Region,
    Score,
    Segment,
    StudyAnswer,
    Urgency,
)

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
    source.QualityControlSubject = "YES"
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
    source.PixelRepresentation = 0
    source.WindowCenter, source.WindowWidth = "2047.5", "4095"
    source.ImagerPixelSpacing = ["0.143", "0.143"]
    return source


def computed_radiograph() -> Dataset:
    """Return a MONOCHROME1 header with a calibrated spacing and no orientation."""
    source = radiograph()
    source.SOPClassUID = ComputedRadiographyImageStorage
    source.Modality = "CR"
    source.PhotometricInterpretation = "MONOCHROME1"
    source.PixelSpacing = ["0.2", "0.2"]
    source.WindowCenter, source.WindowWidth = ["1800", "900"], ["2600", "400"]
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
        "QualityControlSubject",
        "StudyTime",
        "StudyID",
        "StudyDescription",
        "ReferringPhysicianName",
        "TimezoneOffsetFromUTC",
        "PatientOrientation",
        "BodyPartExamined",
        "ViewPosition",
        "ImagerPixelSpacing",
        "WindowCenter",
        "WindowWidth",
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


def ct_slice(number: int = 1) -> Dataset:
    """Return the header of an axial slice of a head, 5 mm apart, its gantry tilted."""
    source = radiograph(number)
    source.SOPClassUID = CTImageStorage
    source.Modality = "CT"
    source.InstanceNumber = 10 + number
    source.BodyPartExamined = "HEAD"
    del source.ViewPosition, source.PatientOrientation, source.ImagerPixelSpacing
    source.FrameOfReferenceUID = f"{STUDY_UID}.3"
    source.ImagePositionPatient = ["-119.5", "-140.25", str(5 * number)]
    source.ImageOrientationPatient = ["1", "0", "0", "0", "0.96", "-0.28"]
    source.PixelSpacing = ["0.5", "0.45"]
    source.SliceThickness = "5"
    source.RescaleSlope, source.RescaleIntercept, source.RescaleType = "1", "-1024", "HU"
    source.WindowCenter, source.WindowWidth = ["40", "400"], ["80", "2000"]
    source.Rows, source.Columns = 256, 256
    return source


SOURCES: dict[str, Callable[[], Dataset]] = {
    "DX": radiograph,
    "CR MONOCHROME1": computed_radiograph,
    "bare": bare,
    "8-bit export": export_8_bit,
    "Japanese": japanese,
    "Latin-1": latin,
    "UTF-8": greek,
    "CT": ct_slice,
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


# -- one reading of every kind --

MASS = Code("4147007", "SCT", "Mass")
LESION = Code("52988006", "SCT", "Lesion")
SEVERITY = (
    Score(name=codes.GEOGRAPHIC_EXTENT, value=3.2, lowest=0, highest=8),
    Score(name=codes.OPACITY_SCORE, value=2, lowest=0, highest=6),
)
RETINOPATHY = Grade(
    name=Code("DR-GRADE", "99TEST", "Diabetic retinopathy grade"),
    levels=tuple(
        Probability(finding=Code(f"DR-{level}", "99TEST", label), label=label, value=value)
        for level, (label, value) in enumerate(
            [("None", 0.04), ("Mild", 0.1), ("Moderate", 0.71), ("Severe", 0.15)]
        )
    ),
    level=2,
)


def box(left: float, top: float, right: float, bottom: float, *, value: float = 0.91) -> Region:
    """Return a box around a mass."""
    mass = Probability(finding=MASS, label="Mass", value=value)
    return Region(finding=mass, left=left, top=top, right=right, bottom=bottom)


def discs(*centres: tuple[float, float, float], side: int = 64) -> NDArray[np.bool_]:
    """Return a mask of discs, each with row, column and radius in cells of the mask."""
    rows, columns = np.mgrid[:side, :side]
    mask = np.zeros((side, side), np.bool_)
    for row, column, radius in centres:
        mask |= (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    return mask


def measured(source: Dataset, **parts: Any) -> ImageReading:
    """Return a reading that decides nothing; ``parts`` are those of an image reading."""
    return ImageReading(sop_instance_uid=str(source.SOPInstanceUID), **parts)


def urgent(value: bool | None = True) -> Urgency:
    """Return an urgency of each kind."""
    statement = {True: "Red triage tag", False: "Can wait.", None: "Triage without AI result."}
    return Urgency(urgent=value, category=2 if value else None, statement=statement[value])


def series_reading(
    sources: list[Dataset],
    normality: Normality = Normality.ABNORMAL,
    *,
    urgency: Urgency | None = None,
) -> Reading:
    """Return the reading of a whole series: of its slices, the first three are shown."""
    abnormal = {"normal": 0.06, "abnormal": 0.8712, "indeterminate": 0.5}[normality.value]
    normal = Probability(finding=codes.NORMAL, label="Normal", value=round(1 - abnormal, 6))
    bleeding = Probability(
        finding=codes.INTRACRANIAL_HAEMORRHAGE, label="Intracranial haemorrhage", value=abnormal
    )
    shown = sources[:3]
    images = tuple(
        measured(
            source, probabilities=(replace(bleeding, value=value),), heatmap=spot(2, index + 3)
        )
        for index, (source, value) in enumerate(zip(shown, (0.31, 0.573, 0.42), strict=False))
    )
    order = [images[each].sop_instance_uid for each in (1, 2, 0) if each < len(images)]
    study = StudyAnswer(
        decision=Decision(
            normality=normality,
            abnormal_probability=abnormal,
            threshold=0.42,
            leading=normal if normality is Normality.NORMAL else bleeding,
        ),
        probabilities=(normal, bleeding),
        images_read=len(sources),
        suspicious=() if normality is Normality.NORMAL else tuple(order),
    )
    return Reading(
        algorithm=ALGORITHM,
        procedure=Code("24725-4", "LN", "CT Head"),
        images=images,
        study=study,
        urgency=urgency,
    )


def _detection() -> tuple[list[Dataset], Reading]:
    source = radiograph()
    found = replace(
        image_reading(source),
        probabilities=(),
        regions=(box(20, 30, 90.5, 120), box(60, 100, 150, 180, value=0.62)),
    )
    return [source], reading(found)


def _series(
    normality: Normality, urgency: Urgency | None = None
) -> Callable[[], tuple[list[Dataset], Reading]]:
    def make() -> tuple[list[Dataset], Reading]:
        sources = [ct_slice(number) for number in range(1, 5)]
        return sources, series_reading(sources, normality, urgency=urgency)

    return make


def _images(
    make: Callable[[], Dataset], *, urgency: Urgency | None = None, **parts: Any
) -> Callable[[], tuple[list[Dataset], Reading]]:
    def made() -> tuple[list[Dataset], Reading]:
        source = make()
        return [source], replace(reading(measured(source, **parts)), urgency=urgency)

    return made


def _screening() -> tuple[list[Dataset], Reading]:
    sources = [radiograph(1), radiograph(2), radiograph(3)]
    images = [
        image_reading(source, normality, heatmap=spot(2, 5), scores=SEVERITY)
        for source, normality in zip(sources, Normality, strict=True)
    ]
    return sources, replace(reading(*images), urgency=urgent())


_LESIONS = Segment(finding=LESION, label="Lesion", mask=discs((20, 20, 9), (50, 44, 5), (0, 63, 4)))
_NOTHING = Segment(finding=LESION, label="Lesion", mask=np.zeros((8, 8), np.bool_))

READINGS: dict[str, Callable[[], tuple[list[Dataset], Reading]]] = {
    "classification": _screening,
    "scores only": _images(radiograph, scores=SEVERITY),
    "grade": _images(radiograph, grades=(RETINOPATHY,), urgency=urgent(None)),
    "detection": _detection,
    "segmentation": _images(radiograph, segments=(_LESIONS,)),
    "calibrated segmentation": _images(computed_radiograph, segments=(_LESIONS, _NOTHING)),
    "abnormal study": _series(Normality.ABNORMAL, urgent()),
    "normal study": _series(Normality.NORMAL, urgent(False)),
    "indeterminate study": _series(Normality.INDETERMINATE, urgent(None)),
}
