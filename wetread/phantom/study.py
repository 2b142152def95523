"""A synthetic chest study: pixels from the phantom, header from a patient who does not exist."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from pydicom.dataset import FileDataset

from wetread.phantom.anatomy import Side, draw_anatomy
from wetread.phantom.exposure import FIELD_MM, Scene, expose
from wetread.phantom.header import (
    BITS_STORED,
    Frame,
    Identity,
    Modality,
    Photometric,
    build_header,
)
from wetread.phantom.opacity import Finding, Opacity
from wetread.phantom.options import check_number, check_seed, check_word

_SIZES = range(64, 6001)
_NAMESPACE = "wetread phantom 1"


class StudyOptions(TypedDict, total=False):
    """What may be asked of a study besides its seed.

    Attributes
    ----------
    finding
        "none" (default), one focal "consolidation", or bilateral peripheral "ground-glass".
    side, level, extent
        Where the finding lies and how large it is, as in ``Opacity``.
    rows, columns
        Size, pixels, 64 to 6,000; the default 2,500 x 2,048 is a 43 x 35 cm detector, and any
        number of rows covers the same 428 mm.
    modality
        "DX" (default): Digital X-Ray, for presentation, 14 bits; "CR": Computed Radiography,
        12 bits.
    photometric
        "MONOCHROME2" (default), or "MONOCHROME1" with inverted stored values; they look alike.
    images
        Number of exposures in the one series, 1 or more; they differ in noise only.
    marker
        Whether a lead "L" lies at the patient's left shoulder (default).
    patient_name, patient_id, accession
        Identity; "SYNTHETIC^CHEST", "SYNTH-000001" and "SYN000001" for the seed 1 unless given.
    study_date, study_time
        "YYYYMMDD" and "HHMMSS", UTC.
    fresh
        Random UIDs instead of UIDs that are derived from the seed and the options.
    """

    finding: Finding
    side: Side
    level: float
    extent: float
    rows: int
    columns: int
    modality: Modality
    photometric: Photometric
    images: int
    marker: bool
    patient_name: str
    patient_id: str
    accession: str
    study_date: str
    study_time: str
    fresh: bool


_DEFAULTS: StudyOptions = {
    "finding": "none",
    "side": Opacity.side,
    "level": Opacity.level,
    "extent": Opacity.extent,
    "rows": 2500,
    "columns": 2048,
    "modality": "DX",
    "photometric": "MONOCHROME2",
    "images": 1,
    "marker": True,
    "patient_name": "SYNTHETIC^CHEST",
    "patient_id": "",
    "accession": "",
    "study_date": "20240102",
    "study_time": "030405",
    "fresh": False,
}


def chest_study(*, seed: int, **options: Unpack[StudyOptions]) -> list[FileDataset]:
    """Make a postero-anterior chest study of a patient who does not exist.

    Parameters
    ----------
    seed
        The patient, 0 or more: build, sex, age and noise. The same seed and options give the
        same data sets.
    **options
        See ``StudyOptions``.

    Returns
    -------
    list[FileDataset]
        Complete, uncompressed data sets with file meta information, in instance order.

    Raises
    ------
    ValueError
        The seed is negative, an option is none of the known words, a size or the number of
        images is out of range, or ``level`` or ``extent`` is outside 0..1.
    """
    chosen: StudyOptions = {**_DEFAULTS, **options}
    _check(seed, chosen)
    scene = Scene(
        seed=seed,
        finding=chosen["finding"],
        opacity=Opacity(side=chosen["side"], level=chosen["level"], extent=chosen["extent"]),
        marker=chosen["marker"],
    )
    frame = Frame(
        modality=chosen["modality"],
        photometric=chosen["photometric"],
        rows=chosen["rows"],
        columns=chosen["columns"],
        pitch_mm=FIELD_MM / chosen["rows"],
        number=1,
    )
    identity = _identity(seed, chosen)
    return [_instance(scene, identity, frame, n + 1) for n in range(chosen["images"])]


def write_study(directory: Path, *, seed: int, **options: Unpack[StudyOptions]) -> list[Path]:
    """Write a study as Part 10 files, explicit VR little endian.

    Parameters
    ----------
    directory
        Where the files go; made if it is missing.
    seed, **options
        As for ``chest_study``.

    Returns
    -------
    list[Path]
        The files, ``<SOP Instance UID>.dcm``, in instance order.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for dataset in chest_study(seed=seed, **options):
        path = directory / f"{dataset.SOPInstanceUID}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _check(seed: int, options: StudyOptions) -> None:
    check_seed(seed)
    check_word("finding", options["finding"], Finding)
    check_word("side", options["side"], Side)
    check_word("modality", options["modality"], Modality)
    check_word("photometric", options["photometric"], Photometric)
    if options["images"] < 1:
        raise ValueError(f"images is {options['images']}; give 1 or more")
    check_number("rows", options["rows"], _SIZES)
    check_number("columns", options["columns"], _SIZES)


def _identity(seed: int, options: StudyOptions) -> Identity:
    years = int(np.random.default_rng([seed, 6]).integers(22, 84))
    chosen = sorted((name, value) for name, value in options.items() if name != "fresh")
    return Identity(
        patient_name=options["patient_name"],
        patient_id=options["patient_id"] or f"SYNTH-{seed:06d}",
        birth_date=f"{int(options['study_date'][:4]) - years}0101",
        sex=draw_anatomy(seed).sex,
        age=f"{years:03d}Y",
        accession=options["accession"] or f"SYN{seed:06d}",
        date=options["study_date"],
        time=options["study_time"],
        namespace=str(uuid.uuid4()) if options["fresh"] else f"{_NAMESPACE}\n{seed}\n{chosen}",
    )


def _instance(scene: Scene, identity: Identity, frame: Frame, number: int) -> FileDataset:
    scene, frame = replace(scene, exposure=number), replace(frame, number=number)
    bits = BITS_STORED[frame.modality]
    pixels = expose(
        scene, rows=frame.rows, columns=frame.columns, pitch_mm=frame.pitch_mm, bits=bits
    )
    if frame.photometric == "MONOCHROME1":
        pixels = 2**bits - 1 - pixels
    dataset = build_header(identity, frame)
    dataset.PixelData = pixels.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset
