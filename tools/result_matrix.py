"""Every kind of result object from every kind of source, for validators.

``python -m tools.result_matrix OUT`` writes the images into ``OUT/sources`` and the results into
``OUT/objects``, a folder for each case. Where WETREAD_DATA names the folder with the real data,
some real studies are read with the shipped models and written too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

from inference import study
from inference.package import ZOO, read_package
from inference.pixels import displayed
from inference.runtime import Model
from sr.bundle import KINDS, build_results
from sr.document import to_bytes
from sr.findings import Reading
from sr.identity import Kind
from sr.style import LANGUAGES, Style
from tests.dicomfiles import as_file
from tests.matrix import ALL_LANGUAGES, CASES

WHEN = datetime(2026, 3, 4, 23, 30, 15, tzinfo=UTC)
_REAL = {
    "cr-mono1-chest": ("cxr-covid", "fo-dicom/CR-MONO1-10-chest"),
    "cr-compressed": ("cxr-covid", "presidio/0_ORIGINAL_compressed.dcm"),
    "rg-jpeg-2000": ("cxr-covid", "pydicom-data/RG1_J2KI.dcm"),
    "rg-jpeg-ls": ("cxr-covid", "dicom-test-files/RG1_JLSN"),
    "head": ("head-ct-triage", "dcm_qa_ct/GE_head"),
}


class Writer:
    """Writes cases below one folder."""

    def __init__(self, out: Path) -> None:
        self.sources, self.objects = out / "sources", out / "objects"

    def write(
        self,
        case: str,
        sources: Sequence[Dataset],
        pictures: Mapping[str, NDArray[np.uint8]],
        reading: Reading,
        languages: Collection[str],
    ) -> None:
        """Write the images of a case, and its results in each language."""
        for number, source in enumerate(sources, start=1):
            _write(self.sources / case / f"{number:03}.dcm", as_file(source))
        for language in languages:
            style = Style(language=language)
            results = build_results(sources, pictures, reading, when=WHEN, kinds=KINDS, style=style)
            folder = self.objects / f"{case}-{language}"
            for each in results.objects:
                # The last form of the measurement report is the text report once more.
                if (each.kind, each.rank) != (Kind.REPORT, 3):
                    name = f"{each.kind.value}-{each.number}-{each.rank}.dcm"
                    _write(folder / name, to_bytes(each.dataset))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_synthetic(out: Path, cases: Collection[str] = tuple(CASES)) -> None:
    """Write the cases that are made in code."""
    writer = Writer(out)
    for case in cases:
        sources, reading = CASES[case]()
        shown = {each.sop_instance_uid for each in reading.images}
        pictures = {
            str(each.SOPInstanceUID): displayed(each)
            for each in sources
            if each.SOPInstanceUID in shown
        }
        languages = LANGUAGES if case in ALL_LANGUAGES else ("en",)
        writer.write(case, sources, pictures, reading, languages)


def write_real(out: Path, data: Path) -> None:
    """Write real studies as the shipped models read them."""
    writer = Writer(out)
    models: dict[str, Model] = {}
    for case, (name, place) in _REAL.items():
        if name not in models:
            models[name] = Model(read_package(ZOO / name))
        model, path = models[name], data / "dicom" / place
        manifest = model.package.manifest
        files = sorted(path.glob("*.dcm")) if path.is_dir() else [path]
        seen = study.decode(manifest, [_opened(each) for each in files])
        reading = study.read(model, seen)
        pictures = study.shown(manifest, seen, reading)
        writer.write(case, seen.sources, pictures, reading, LANGUAGES)


def _opened(path: Path) -> Dataset:
    """Read a file, also one that is older than PS3.10 and starts with its first element."""
    source = dcmread(path, force=True)
    if "TransferSyntaxUID" not in source.file_meta:
        source.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return source


def main(arguments: Sequence[str]) -> int:
    """Write the whole matrix."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    out = Path(arguments[0])
    write_synthetic(out)
    if "WETREAD_DATA" in os.environ:
        write_real(out, Path(os.environ["WETREAD_DATA"]))
    made = sum(1 for each in (out / "objects").rglob("*.dcm"))
    print(f"{made} objects in {out / 'objects'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
