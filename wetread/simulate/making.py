"""Makes ordered studies as files: draws each pattern once, and stamps copies of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import UID

from wetread.phantom import Finding, HeadOptions, StudyOptions, chest_study, head_study
from wetread.phantom.anatomy import Side
from wetread.phantom.blood import Bleeding
from wetread.simulate.mark import Subject, mark
from wetread.simulate.plan import Order, Pattern

# Still what the models read: enough pixels, and slices down to the base of the brain.
_SMALL_CHEST: StudyOptions = {"rows": 512, "columns": 419}
_SMALL_HEAD: HeadOptions = {"matrix": 256, "slices": 20}
_CHEST_FINDINGS: tuple[Finding, ...] = ("consolidation", "ground-glass")
_BLEEDINGS: tuple[Bleeding, ...] = ("intraparenchymal", "subdural", "epidural")
_SIDES: tuple[Side, ...] = ("right", "left")
_IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A study that lies ready.

    Attributes
    ----------
    order
        What it is.
    folder
        Which holds its files and nothing else.
    paths
        Part 10 files, in the order of their instance numbers.
    sizes
        Of the files, bytes.
    """

    order: Order
    folder: Path
    paths: tuple[Path, ...]
    sizes: tuple[int, ...]


def make(order: Order, root: Path) -> Made:
    """Make a study in a folder of its own below ``root``; what it is a copy of is kept there."""
    pattern = _pattern(order.pattern, root)
    folder = root / f"study-{order.number}"
    folder.mkdir()
    stamp = _Stamp(order.subject, datetime.now(UTC), uuid.uuid4())
    paths = []
    for path in sorted(pattern.iterdir()):
        dataset = dcmread(path)
        stamp.on(dataset)
        paths.append(folder / path.name)
        dataset.save_as(paths[-1], enforce_file_format=True)
    sizes = tuple(each.stat().st_size for each in paths)
    return Made(order=order, folder=folder, paths=tuple(paths), sizes=sizes)


def draw(pattern: Pattern) -> list[FileDataset]:
    """Draw a pattern; side, size and kind of a finding follow from the seed."""
    rng = np.random.default_rng([pattern.seed, 22])
    side = _SIDES[int(rng.integers(2))]
    if pattern.kind == "head":
        head: HeadOptions = {**_SMALL_HEAD} if pattern.small else {}
        if pattern.finding:
            head["finding"] = _BLEEDINGS[int(rng.integers(len(_BLEEDINGS)))]
            head["side"], head["volume_ml"] = side, float(rng.uniform(25.0, 90.0))
        return head_study(seed=pattern.seed, **head)
    chest: StudyOptions = {**_SMALL_CHEST} if pattern.small else {}
    chest["modality"] = "CR" if pattern.kind == "chest-cr" else "DX"
    if pattern.finding:
        chest["finding"] = _CHEST_FINDINGS[int(rng.integers(len(_CHEST_FINDINGS)))]
        chest["side"] = side
        chest["level"] = float(rng.uniform(0.4, 0.8))
        chest["extent"] = float(rng.uniform(0.4, 0.8))
    return chest_study(seed=pattern.seed, **chest)


def _pattern(pattern: Pattern, root: Path) -> Path:
    """Return the folder with a pattern's files; the first who wants it draws it."""
    kept = root / pattern.name
    if kept.exists():
        return kept
    with TemporaryDirectory(dir=root) as scratch:
        drawn = Path(scratch) / "drawn"
        drawn.mkdir()
        for dataset in draw(pattern):
            dataset.save_as(drawn / f"{dataset.InstanceNumber:04d}.dcm", enforce_file_format=True)
        try:
            drawn.rename(kept)
        except OSError:
            if not kept.exists():
                raise
            # Another process has drawn the same meanwhile.
    return kept


@dataclass(frozen=True)
class _Stamp:
    """Makes the instances of a pattern those of a new study.

    Attributes
    ----------
    subject
        Whose study it becomes.
    at
        When it was made, UTC.
    identity
        New; UIDs are derived from it.
    """

    subject: Subject
    at: datetime
    identity: uuid.UUID

    def on(self, dataset: FileDataset) -> None:
        """Change what belongs to patient, study and identity of an instance."""
        for keyword in _IDENTIFIERS:
            if keyword in dataset:
                setattr(dataset, keyword, self._uid(str(dataset[keyword].value)))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.AccessionNumber = f"T{self.identity.int % 10**12:012d}"
        for event in ("Study", "Series", "Acquisition", "Content"):
            setattr(dataset, f"{event}Date", self.at.strftime("%Y%m%d"))
            setattr(dataset, f"{event}Time", self.at.strftime("%H%M%S"))
        mark(dataset, self.subject)

    def _uid(self, old: str) -> UID:
        """``2.25.`` + UUID (PS3.5 B.2)."""
        return UID(f"2.25.{uuid.uuid5(self.identity, old).int}")
