"""A synthetic head CT: slices of a head that does not exist, with or without a haemorrhage."""

from __future__ import annotations

import uuid
from typing import TypedDict, Unpack

from pydicom.dataset import FileDataset

from wetread.phantom.anatomy import Side
from wetread.phantom.blood import Bleeding, Haemorrhage, bleed
from wetread.phantom.ct_header import Slice, build_ct_header
from wetread.phantom.head import Head, draw_head
from wetread.phantom.header import Identity
from wetread.phantom.options import check_number, check_seed, check_word
from wetread.phantom.scanner import scan

_SIDES = range(64, 1025)
_SLICES = range(2, 301)
_MOST_MM = 160.0  # from the air above the vertex to where a head ends
_ABOVE_MM = 6.0
_NAMESPACE = "wetread head phantom 1"


class HeadOptions(TypedDict, total=False):
    """What may be asked of a head CT besides its seed.

    Attributes
    ----------
    finding
        "none" (default), or a haemorrhage: "intraparenchymal", "subdural" or "epidural".
    side, volume_ml
        Where it is and how large, as in ``Haemorrhage``.
    slices, thickness_mm
        Number and thickness of the axial slices, without gaps, from above the vertex downwards;
        together at most 160 mm. The default is 30 of 5 mm.
    matrix
        Rows and columns of a slice, 64 to 1,024; the default is 512. The field is 240 mm.
    patient_name, patient_id, accession
        Identity; "SYNTHETIC^HEAD", "SYNTH-H000001" and "SYH000001" for the seed 1 unless given.
    study_date, study_time
        "YYYYMMDD" and "HHMMSS", UTC.
    fresh
        Random UIDs instead of UIDs that are derived from the seed and the options.
    """

    finding: Bleeding
    side: Side
    volume_ml: float
    slices: int
    thickness_mm: float
    matrix: int
    patient_name: str
    patient_id: str
    accession: str
    study_date: str
    study_time: str
    fresh: bool


_DEFAULTS: HeadOptions = {
    "finding": "none",
    "side": Haemorrhage.side,
    "volume_ml": Haemorrhage.volume_ml,
    "slices": 30,
    "thickness_mm": 5.0,
    "matrix": 512,
    "patient_name": "SYNTHETIC^HEAD",
    "patient_id": "",
    "accession": "",
    "study_date": "20240102",
    "study_time": "030405",
    "fresh": False,
}


def head_study(*, seed: int, **options: Unpack[HeadOptions]) -> list[FileDataset]:
    """Make a head CT without contrast of a patient who does not exist.

    Parameters
    ----------
    seed
        The patient, 0 or more: build, sex, age and noise. The same seed and options give the
        same data sets.
    **options
        See ``HeadOptions``.

    Returns
    -------
    list[FileDataset]
        Complete, uncompressed data sets with file meta information, caudal to cranial.

    Raises
    ------
    ValueError
        The seed is negative, an option is none of the known words, a size, a number or the
        volume is out of range, or the slices would reach below the head.
    """
    chosen: HeadOptions = {**_DEFAULTS, **options}
    _check(seed, chosen)
    head = draw_head(seed)
    clot = bleed(
        head,
        Haemorrhage(kind=chosen["finding"], side=chosen["side"], volume_ml=chosen["volume_ml"]),
    )
    identity = _identity(head, chosen)
    made = []
    for frame in _frames(head, chosen):
        dataset = build_ct_header(identity, frame)
        pixels = scan(
            head,
            clot,
            z=frame.z,
            thickness_mm=frame.thickness_mm,
            side=frame.side,
            number=frame.number,
        )
        dataset.PixelData = pixels.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
        made.append(dataset)
    return made


def _check(seed: int, options: HeadOptions) -> None:
    check_seed(seed)
    check_word("finding", options["finding"], Bleeding)
    check_word("side", options["side"], Side)
    check_number("matrix", options["matrix"], _SIDES)
    check_number("slices", options["slices"], _SLICES)
    if not 0.5 <= options["thickness_mm"] <= 10.0:
        raise ValueError(f"thickness_mm is {options['thickness_mm']}; give 0.5 to 10")
    reach = options["slices"] * options["thickness_mm"]
    if reach > _MOST_MM:
        raise ValueError(f"the slices reach over {reach:g} mm; at most {_MOST_MM:g} mm are drawn")


def _frames(head: Head, options: HeadOptions) -> list[Slice]:
    thickness, count = options["thickness_mm"], options["slices"]
    lowest = round(head.height + _ABOVE_MM) - thickness * (count - 1)
    return [
        Slice(
            side=options["matrix"],
            z=lowest + thickness * index,
            thickness_mm=thickness,
            number=index + 1,
        )
        for index in range(count)
    ]


def _identity(head: Head, options: HeadOptions) -> Identity:
    chosen = sorted((name, value) for name, value in options.items() if name != "fresh")
    return Identity(
        patient_name=options["patient_name"],
        patient_id=options["patient_id"] or f"SYNTH-H{head.seed:06d}",
        birth_date=f"{int(options['study_date'][:4]) - head.age}0101",
        sex=head.sex,
        age=f"{head.age:03d}Y",
        accession=options["accession"] or f"SYH{head.seed:06d}",
        date=options["study_date"],
        time=options["study_time"],
        namespace=str(uuid.uuid4()) if options["fresh"] else f"{_NAMESPACE}\n{head.seed}\n{chosen}",
    )
