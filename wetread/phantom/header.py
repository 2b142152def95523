"""The header of a synthetic chest radiograph, DX or CR, and what others share with it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

Modality = Literal["DX", "CR"]
Photometric = Literal["MONOCHROME1", "MONOCHROME2"]
# A console that stores 14 bits, a plate reader that stores 12.
BITS_STORED: dict[Modality, int] = {"DX": 14, "CR": 12}
# Not "wetread" alone: the node knows its own results by Manufacturer and ManufacturerModelName.
MANUFACTURER = MODEL_NAME = "wetread phantom"
_IMPLEMENTATION = UID("2.25.254327843906466184012586217372193107921")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who and what the study claims to be.

    Attributes
    ----------
    patient_name, patient_id, birth_date, sex, age
        The patient module, DICOM notation.
    accession
        Accession number; may be empty.
    date, time
        Of the study, "YYYYMMDD" and "HHMMSS".
    namespace
        Text that UIDs are derived from.
    """

    patient_name: str
    patient_id: str
    birth_date: str
    sex: Literal["F", "M"]
    age: str
    accession: str
    date: str
    time: str
    namespace: str

    def uid(self, *parts: object) -> UID:
        """Derive a UID of this study, ``2.25.`` + UUID (PS3.5 B.2)."""
        text = "\n".join([self.namespace, *map(str, parts)])
        return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, text).int}")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What the pixels are.

    Attributes
    ----------
    modality, photometric
        As in the data set.
    rows, columns
        Size, pixels.
    pitch_mm
        Distance between pixels on the detector.
    number
        Instance number, from 1.
    """

    modality: Modality
    photometric: Photometric
    rows: int
    columns: int
    pitch_mm: float
    number: int


def build_header(identity: Identity, frame: Frame) -> FileDataset:
    """Return a data set that is complete but for its Pixel Data."""
    sop_class = (
        DigitalXRayImageStorageForPresentation
        if frame.modality == "DX"
        else ComputedRadiographyImageStorage
    )
    dataset = new_instance(identity, sop_class, frame.number)
    add_patient_and_study(dataset, identity)
    _add_series(dataset, identity, frame)
    add_equipment(dataset)
    add_image(dataset, identity, frame.number)
    dataset.PatientOrientation = ["L", "F"]
    _add_technique(dataset)
    _add_pixel_module(dataset, frame)
    if frame.modality == "DX":
        _add_dx_modules(dataset, frame)
    else:
        _add_cr_modules(dataset, frame)
    return dataset


def new_instance(identity: Identity, sop_class: UID, number: int) -> FileDataset:
    """Return a data set with nothing but file meta information and SOP Common module."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = identity.uid("instance", number)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = "WETREAD_PHANTOM"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\x00" * 128)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    return dataset


def add_patient_and_study(dataset: Dataset, identity: Identity) -> None:
    """Patient, General Study and Patient Study modules (PS3.3 C.7.1, C.7.2)."""
    dataset.PatientName = identity.patient_name
    dataset.PatientID = identity.patient_id
    dataset.PatientBirthDate = identity.birth_date
    dataset.PatientSex = identity.sex
    dataset.PatientAge = identity.age
    dataset.PatientComments = "Synthetic patient, does not exist"
    dataset.StudyInstanceUID = identity.uid("study")
    dataset.StudyDate = identity.date
    dataset.StudyTime = identity.time
    dataset.TimezoneOffsetFromUTC = "+0000"
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = "1"
    dataset.AccessionNumber = identity.accession


def _add_series(dataset: Dataset, identity: Identity, frame: Frame) -> None:
    """General Series module (PS3.3 C.7.3.1)."""
    dataset.StudyDescription = "Chest PA (synthetic)"
    dataset.Modality = frame.modality
    dataset.SeriesInstanceUID = identity.uid("series")
    dataset.SeriesNumber = 1
    dataset.SeriesDate = identity.date
    dataset.SeriesTime = identity.time
    dataset.SeriesDescription = "PA (synthetic)"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"


def add_equipment(dataset: Dataset) -> None:
    """General Equipment module (PS3.3 C.7.5.1)."""
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    dataset.InstitutionName = "Synthetic data, no institution"
    dataset.StationName = "PHANTOM"
    dataset.DeviceSerialNumber = "0"
    dataset.SoftwareVersions = "1"


def add_image(dataset: Dataset, identity: Identity, number: int) -> None:
    """General Image and Acquisition Context modules (PS3.3 C.7.6.1, C.7.6.14)."""
    dataset.InstanceNumber = number
    dataset.AcquisitionNumber = number
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.ContentDate = dataset.AcquisitionDate = identity.date
    dataset.ContentTime = dataset.AcquisitionTime = identity.time
    dataset.ImageComments = "Synthetic image, no patient"
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"


def _add_technique(dataset: Dataset) -> None:
    """Exposure and geometry of an upright chest radiograph (PS3.3 C.8.7.8, C.8.11.5)."""
    dataset.KVP = "120"
    dataset.DistanceSourceToDetector = "1800"
    dataset.DistanceSourceToPatient = "1600"
    dataset.ExposureTime = "8"
    dataset.XRayTubeCurrent = "250"
    dataset.Exposure = "2"


def _add_pixel_module(dataset: Dataset, frame: Frame) -> None:
    """Image Pixel, Modality LUT and VOI LUT modules (PS3.3 C.7.6.3, C.11.1, C.11.2)."""
    bits = BITS_STORED[frame.modality]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = frame.photometric
    dataset.Rows = frame.rows
    dataset.Columns = frame.columns
    dataset.BitsAllocated = 16
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept = "0"
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "US"
    dataset.WindowCenter = str(2 ** (bits - 1))
    dataset.WindowWidth = str(2**bits)
    dataset.WindowCenterWidthExplanation = "CHEST"
    dataset.ImagerPixelSpacing = [f"{frame.pitch_mm:.6f}"] * 2


def _add_dx_modules(dataset: Dataset, frame: Frame) -> None:
    """DX Series, Anatomy Imaged, Image, Detector and Positioning (PS3.3 C.8.11)."""
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    view = _code("272479007", "SCT", "postero-anterior")
    view.ViewModifierCodeSequence = []
    dataset.ViewCodeSequence = [view]
    dataset.PatientOrientationCodeSequence = [_code("10904000", "SCT", "erect")]
    dataset.AcquisitionContextSequence = []
    dense_is_high = frame.photometric == "MONOCHROME2"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1 if dense_is_high else 1
    dataset.PresentationLUTShape = "IDENTITY" if dense_is_high else "INVERSE"
    dataset.PositionerType = "NONE"
    dataset.DetectorType = "SCINTILLATOR"
    dataset.DetectorConfiguration = "AREA"
    dataset.DetectorDescription = "Simulated flat panel"
    dataset.DetectorID = "PHANTOM"
    dataset.FieldOfViewShape = "RECTANGLE"
    dataset.Grid = "NONE"


def _add_cr_modules(dataset: Dataset, frame: Frame) -> None:
    """CR Series and CR Image modules (PS3.3 C.8.1.1, C.8.1.2)."""
    dataset.FilterType = ""
    dataset.PlateID = "PHANTOM"
    dataset.PlateType = "SIMULATED"
    dataset.CassetteOrientation = "PORTRAIT"
    dataset.CassetteSize = "35CMX43CM"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item
