"""Studies with real pixels, of every kind that results are made from, and a reading of each.

They differ where result objects went wrong before: polarity, compression, character set, gantry
tilt, what the header lacks, and each output that a model can have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

import gdcm
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import MRImageStorage

from sr.findings import Normality, NotAssessed, Reading, Segment
from sr.reasons import Reason
from tests.ctfiles import BLOOD, head_series, left_between, tilted
from tests.dicomfiles import as_file, change
from tests.sr_examples import (
    LESION,
    MASS,
    RETINOPATHY,
    SEVERITY,
    box,
    discs,
    image_reading,
    measured,
    reading,
    series_reading,
    spot,
    urgent,
)
from wetread.phantom import chest_study
from wetread.phantom.study import StudyOptions

_SIZE: StudyOptions = {"rows": 500, "columns": 410}
_LOCALIZER = NotAssessed(images=2, reason=Reason("a localizer is not read"))
_LESION = Segment(finding=LESION, label="Lesion", mask=discs((20, 20, 9), (50, 44, 5)))


def _filed(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Return data sets as a node meets them: read from files."""
    return [dcmread(BytesIO(as_file(each))) for each in datasets]


# -- radiographs --


def _chest(seed: int, **options: Unpack[StudyOptions]) -> Dataset:
    small: StudyOptions = {**_SIZE, **options}
    return chest_study(seed=seed, **small)[0]


def _told(
    *sources: Dataset, normality: Normality = Normality.ABNORMAL, **parts: Any
) -> tuple[list[Dataset], Reading]:
    """Return files, and a reading with an answer, a heat map and ``parts`` for each."""
    files = _filed(sources)
    images = [
        replace(image_reading(each, normality, heatmap=spot(2, 5), scores=SEVERITY), **parts)
        for each in files
    ]
    told = replace(
        reading(*images),
        urgency=urgent(),
        assessed=("Pneumonia", "COVID-19"),
        not_assessed=(_LOCALIZER,),
    )
    return files, told


def _compressed(source: Dataset, syntax: int) -> Dataset:
    """Return an image in another transfer syntax; GDCM knows them all."""
    with TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.dcm", Path(folder) / "after.dcm"
        before.write_bytes(as_file(source))
        reader, change_syntax = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(before))
        reader.Read()
        change_syntax.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change_syntax.SetInput(reader.GetImage())
        if not change_syntax.Change():
            raise RuntimeError(f"GDCM cannot write transfer syntax {syntax}")
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(after))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change_syntax.GetOutput())
        writer.Write()
        return dcmread(BytesIO(after.read_bytes()))


def _lossy() -> Dataset:
    return change(
        _compressed(_chest(6), gdcm.TransferSyntax.JPEG2000Lossless),
        LossyImageCompression="01",
        LossyImageCompressionRatio="12.5",
        LossyImageCompressionMethod="ISO_15444_1",
    )


def _8_bit() -> Dataset:
    """Return what export tools write: 8 bits, no order, no time zone, no orientation."""
    made = _chest(7, modality="CR")
    grey = np.frombuffer(made.PixelData, np.uint16) >> 4
    made.PixelData = grey.astype(np.uint8).tobytes()
    made["PixelData"].VR = "OB"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.WindowCenter, made.WindowWidth = 7, "128", "256"
    made.AccessionNumber = ""
    return change(made, TimezoneOffsetFromUTC=None, PatientOrientation="")


def _without_order() -> Dataset:
    """Return an image that lacks even what must be there empty."""
    names = ("AccessionNumber", "StudyID", "ReferringPhysicianName", "TimezoneOffsetFromUTC")
    return change(_chest(8), **dict.fromkeys(names))


def _boxes() -> tuple[list[Dataset], Reading]:
    regions = (box(20, 30, 190.5, 220), box(160, 300, 350, 480, value=0.62))
    return _told(_chest(9), probabilities=(), heatmap=None, regions=regions)


def _measured(**parts: Any) -> tuple[list[Dataset], Reading]:
    files = _filed([_chest(10 + len(parts))])
    return files, reading(measured(files[0], **parts))


# -- slices --


def _complete(sources: Sequence[Dataset]) -> list[Dataset]:
    """Return slices with the type 2 attributes that small files of tests leave out."""
    empty = ("Manufacturer", "PositionReferenceIndicator", "AcquisitionNumber", "KVP")
    made = []
    for each in sources:
        for name in empty:
            if name not in each:
                setattr(each, name, None)
        each.SeriesDate, each.SeriesTime = each.StudyDate, each.StudyTime
        made.append(each)
    return _filed(made)


def _ct(study: str, **options: Any) -> list[Dataset]:
    heights = (-25, -20, -15, -10, -5, 0, 7, 14, 21)  # 5 mm below, 7 mm above, as heads are cut
    found = left_between(-12, 12)
    return _complete(head_series(heights=heights, bleed=found, side=128, study=study, **options))


def _outlined(sources: list[Dataset]) -> tuple[list[Dataset], Reading]:
    """Return slices with the blood outlined pixel by pixel, and a coarse mass beside it."""
    mass = Segment(finding=MASS, label="Mass", mask=discs((40, 24, 4)))
    images = []
    for index, source in enumerate(sources):
        blood = source.pixel_array - 1024 == BLOOD
        parts = [replace(_LESION, mask=blood)] + ([mass] if index % 3 == 0 else [])
        images.append(measured(source, segments=tuple(parts)))
    return sources, reading(*images)


def _series(
    sources: list[Dataset], normality: Normality = Normality.ABNORMAL
) -> tuple[list[Dataset], Reading]:
    urgency = urgent({"abnormal": True, "normal": False}.get(normality.value))
    told = series_reading(sources, normality, urgency=urgency)
    return sources, replace(told, not_assessed=(_LOCALIZER,))


def _mr() -> list[Dataset]:
    """Return slices as an MR scanner sends them, without thickness."""
    made = _ct("1.2.826.0.1.3680043.10.1.85", Modality="MR", SOPClassUID=MRImageStorage)
    for each in made:
        each.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        each.ScanningSequence, each.SequenceVariant, each.ScanOptions = "SE", "NONE", None
        each.MRAcquisitionType, each.RepetitionTime, each.EchoTime = "2D", "500", "10"
        each.EchoTrainLength = "1"
        each.SliceThickness = None
        for name in ("KVP", "ConvolutionKernel", "RescaleType"):
            delattr(each, name)
    return _filed(made)


_TILTED = {"axes": tilted(18)}
_STUDY = "1.2.826.0.1.3680043.10.1.8"

CASES: dict[str, Callable[[], tuple[list[Dataset], Reading]]] = {
    "dx": lambda: _told(_chest(1)),
    "dx-three": lambda: _three(),
    "cr-monochrome1": lambda: _told(
        _chest(2, modality="CR", photometric="MONOCHROME1"), normality=Normality.INDETERMINATE
    ),
    "cr-monochrome2": lambda: _told(_chest(3, modality="CR"), normality=Normality.NORMAL),
    "jpeg-lossless": lambda: _told(
        _compressed(_chest(4), gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    ),
    "jpeg-2000": lambda: _told(_compressed(_chest(5), gdcm.TransferSyntax.JPEG2000Lossless)),
    "lossy": lambda: _told(_lossy()),
    "8-bit": lambda: _told(_8_bit()),
    "no-order": lambda: _told(_without_order()),
    "boxes": _boxes,
    "grade": lambda: _measured(grades=(RETINOPATHY,)),
    "scores": lambda: _measured(scores=SEVERITY, probabilities=()),
    "outlines": lambda: _measured(segments=(_LESION,), probabilities=(), regions=()),
    "japanese": lambda: _told(
        change(
            _chest(20),
            SpecificCharacterSet=["", "ISO 2022 IR 87"],
            PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        )
    ),
    "latin": lambda: _told(
        change(_chest(21), SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg")
    ),
    "utf-8": lambda: _told(
        change(_chest(22), SpecificCharacterSet="ISO_IR 192", PatientName="Διονυσιος^Νικος")
    ),
    "ct": lambda: _series(_ct(f"{_STUDY}0")),
    "ct-tilted": lambda: _series(_ct(f"{_STUDY}1", **_TILTED)),
    "ct-normal": lambda: _series(_ct(f"{_STUDY}2"), Normality.NORMAL),
    "ct-undecided": lambda: _series(_ct(f"{_STUDY}3"), Normality.INDETERMINATE),
    "ct-outlines": lambda: _outlined(_ct(f"{_STUDY}4")),
    "ct-outlines-tilted": lambda: _outlined(_ct(f"{_STUDY}6", thickness=None, **_TILTED)),
    "mr-outlines": lambda: _outlined(_mr()),
}


def _three() -> tuple[list[Dataset], Reading]:
    """Return a study with one image of each answer, and outlines on the first."""
    small: StudyOptions = {**_SIZE, "images": 3}
    files = _filed(chest_study(seed=23, **small))
    images = [
        image_reading(each, normality, heatmap=spot(2, 5))
        for each, normality in zip(files, Normality, strict=True)
    ]
    images[1] = replace(images[1], segments=(_LESION,))
    return files, reading(*images)


ALL_LANGUAGES = ("dx", "cr-monochrome1", "japanese", "latin", "boxes", "ct-tilted", "ct-outlines")
"""Cases that are made in every language; the others in English."""
