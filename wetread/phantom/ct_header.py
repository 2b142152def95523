"""The header of a slice of a synthetic head CT (CT Image IOD, PS3.3 A.3)."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage

from wetread.phantom.head import FIELD_MM
from wetread.phantom.header import (
    Identity,
    add_equipment,
    add_image,
    add_patient_and_study,
    new_instance,
)
from wetread.phantom.scanner import INTERCEPT


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What the pixels of one slice are.

    Attributes
    ----------
    side
        Rows and columns.
    z
        Height of the middle of the slice, mm.
    thickness_mm
        Of the slice, and the distance to the next.
    number
        Instance number, from 1.
    """

    side: int
    z: float
    thickness_mm: float
    number: int


def build_ct_header(identity: Identity, frame: Slice) -> FileDataset:
    """Return a data set that is complete but for its Pixel Data."""
    dataset = new_instance(identity, CTImageStorage, frame.number)
    add_patient_and_study(dataset, identity)
    _add_series(dataset, identity)
    add_equipment(dataset)
    add_image(dataset, identity, frame.number)
    dataset.AcquisitionNumber = 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    _add_plane(dataset, frame)
    _add_technique(dataset)
    _add_pixel_module(dataset, frame)
    return dataset


def _add_series(dataset: Dataset, identity: Identity) -> None:
    """General Series and Frame of Reference modules (PS3.3 C.7.3.1, C.7.4.1)."""
    dataset.StudyDescription = "Head CT without contrast (synthetic)"
    dataset.Modality = "CT"
    dataset.SeriesInstanceUID = identity.uid("series")
    dataset.SeriesNumber = 2
    dataset.SeriesDate = identity.date
    dataset.SeriesTime = identity.time
    dataset.SeriesDescription = "Head 5 mm soft (synthetic)"
    dataset.ProtocolName = "Head without contrast"
    dataset.BodyPartExamined = "HEAD"
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = identity.uid("frame of reference")
    dataset.PositionReferenceIndicator = "OM"  # orbitomeatal line


def _add_plane(dataset: Dataset, frame: Slice) -> None:
    """Image Plane module (PS3.3 C.7.6.2)."""
    pitch = FIELD_MM / frame.side
    corner = (pitch - FIELD_MM) / 2
    dataset.PixelSpacing = [f"{pitch:.6f}"] * 2
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.ImagePositionPatient = [f"{corner:.6f}", f"{corner:.6f}", f"{frame.z:.2f}"]
    dataset.SliceLocation = f"{frame.z:.2f}"
    dataset.SliceThickness = f"{frame.thickness_mm:g}"
    dataset.SpacingBetweenSlices = f"{frame.thickness_mm:g}"


def _add_technique(dataset: Dataset) -> None:
    """CT Image module: a sequential scan of an adult head (PS3.3 C.8.2.1)."""
    dataset.ScanOptions = "AXIAL MODE"
    dataset.KVP = "120"
    dataset.DataCollectionDiameter = "250"
    dataset.ReconstructionDiameter = f"{FIELD_MM:g}"
    dataset.DistanceSourceToDetector = "950"
    dataset.DistanceSourceToPatient = "540"
    dataset.GantryDetectorTilt = "0"
    dataset.RotationDirection = "CW"
    dataset.ExposureTime = "1000"
    dataset.XRayTubeCurrent = "250"
    dataset.Exposure = "250"
    dataset.FilterType = "HEAD"
    dataset.ConvolutionKernel = "SOFT"


def _add_pixel_module(dataset: Dataset, frame: Slice) -> None:
    """Image Pixel and VOI LUT modules, and how stored values become Hounsfield units."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = frame.side
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept = str(INTERCEPT)
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "HU"
    dataset.WindowCenter = "40"
    dataset.WindowWidth = "80"
    dataset.WindowCenterWidthExplanation = "BRAIN"
