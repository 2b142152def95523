"""Mixed studies: chest radiographs of one and of three images, head CT, and what no model reads."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from pathlib import Path
from random import Random

from pydicom import Dataset
from pydicom.uid import MRImageStorage, generate_uid

from bench.receive_sender import Prepared, prepare
from tests.ctfiles import between, head_series
from tests.dicomfiles import as_file, image
from wetread.phantom import Finding, chest_study

_ROWS = 512
_CHESTS = 4  # drawing one takes seconds
_KINDS = ("chest", "chest", "chest", "chest", "chest-3", "head", "head", "mr")


@dataclass(frozen=True)
class Study:
    """A study that is to be sent.

    Attributes
    ----------
    uid
        Study Instance UID.
    kind
        "chest", "chest-3" (images), "head" (CT) or "mr", which no model reads.
    instances
        What is sent, in order.
    late
        Whether all but the first instance are sent when that may have been read already.
    """

    uid: str
    kind: str
    instances: tuple[Prepared, ...]
    late: bool = False

    @property
    def parts(self) -> list[tuple[Prepared, ...]]:
        """What is sent together."""
        if not self.late:
            return [self.instances]
        return [self.instances[:1], self.instances[1:]]

    @property
    def is_read(self) -> bool:
        """Whether a model fits."""
        return self.kind != "mr"


def mixed(folder: Path, number: int, seed: int) -> list[Study]:
    """Make studies of different patients, of kinds that the seed decides, as files of a folder."""
    random = Random(seed)
    return [_made(folder, random.choice(_KINDS), each) for each in range(number)]


def _made(folder: Path, kind: str, number: int) -> Study:
    uid = generate_uid(prefix=None)
    prepared = []
    for dataset in _renamed(_datasets(kind, number), uid, number):
        path = folder / f"{dataset.SOPInstanceUID}.dcm"
        path.write_bytes(as_file(dataset))
        prepared.append(prepare(path))
    late = kind == "chest-3" and number % 2 == 0
    return Study(uid, kind, tuple(prepared), late)


def _datasets(kind: str, number: int) -> Sequence[Dataset]:
    if kind == "head":
        return _head(bleeds=number % 2 == 0)
    if kind == "mr":
        return [image(SOPClassUID=MRImageStorage, Modality="MR")]
    return list(islice(_chest(number % _CHESTS), 3 if kind == "chest-3" else 1))


@cache
def _chest(seed: int) -> Sequence[Dataset]:
    finding: Finding = "consolidation" if seed % 2 else "none"
    return list(chest_study(seed=seed, rows=_ROWS, finding=finding, images=3))


@cache
def _head(*, bleeds: bool) -> Sequence[Dataset]:
    heights = range(-50, 51, 5)
    return head_series(heights=heights, side=256, bleed=between(-10, 20) if bleeds else None)


def _renamed(datasets: Sequence[Dataset], study: str, number: int) -> Sequence[Dataset]:
    """Copies that belong to another study of another patient."""
    copies = [copy.deepcopy(each) for each in datasets]
    series = generate_uid(prefix=None)
    for counted, each in zip(count(1), copies, strict=False):
        each.StudyInstanceUID, each.SeriesInstanceUID = study, series
        each.SOPInstanceUID = f"{series}.{counted}"
        each.PatientID, each.PatientName = f"CHAOS-{number:06}", f"CHAOS^{number}"
        each.AccessionNumber = f"C{number:06}"
        if hasattr(each, "file_meta"):
            each.file_meta.MediaStorageSOPInstanceUID = each.SOPInstanceUID
    return copies
