"""The main job end to end: a console sends a study, the PACS gets a report and an overlay.

``python -m tools.demo [PATH]`` starts wetread on SQLite and a receiving PACS (Orthanc if it is
installed, else a small storage SCP of our own), sends the study (by default a synthetic chest
radiograph), waits, shows what came back, and stops everything.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import BasicTextSRStorage, SecondaryCaptureImageStorage
from rich.console import Console
from rich.table import Table

from tools.node import Node
from tools.orthanc import Orthanc
from tools.storage_scp import StorageScp
from wetread.phantom import write_study

OUT = Path("demo-out")
_QUICK = "[study]\nrelease_seconds = 1\n"


class Pacs(Protocol):
    """What the demo asks of a PACS."""

    ae_title: str
    port: int

    def datasets(self) -> list[Dataset]:
        """Every object it has."""
        ...


@contextmanager
def receiving_pacs(folder: Path) -> Iterator[tuple[Pacs, str]]:
    """A PACS and its name."""
    if Orthanc.installed():
        with Orthanc(folder / "orthanc") as orthanc:
            yield orthanc, "Orthanc"
    else:
        with StorageScp() as scp:
            yield scp, "our own storage SCP (Orthanc is not installed)"


def main() -> int:
    """Run the demo; 0 if results came back or the model gave its reason."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    with tempfile.TemporaryDirectory(prefix="wetread-demo-") as temporary:
        folder = Path(temporary)
        paths = [Path(argument) for argument in sys.argv[1:]]
        if not paths:
            console.print("making a synthetic chest radiograph (no patient) ...")
            write_study(OUT / "study", seed=19, finding="ground-glass", extent=0.8, level=0.6)
            paths = [OUT / "study"]
        with receiving_pacs(folder) as (pacs, name):
            console.print(f"PACS: {name}, {pacs.ae_title}@127.0.0.1:{pacs.port}")
            with Node(folder, [("pacs", pacs.ae_title, pacs.port)], _QUICK) as node:
                console.print(f"wetread: {node.ae_title}@127.0.0.1:{node.port}, ready")
                return _run(console, node, pacs, paths)


def _run(console: Console, node: Node, pacs: Pacs, paths: list[Path]) -> int:
    started = time.monotonic()
    files = {path: uid for path in _files(paths) if (uid := _study_uid(path))}
    sent = node.send(*files)
    if not files or sent.returncode:
        console.print(f"sending failed:\n{sent.stdout}{sent.stderr}")
        return 1
    jobs = node.wait_for_jobs(studies=len(set(files.values())), seconds=600)
    console.print(f"read and delivered {time.monotonic() - started:.1f} s after the study was sent")
    _show_jobs(console, jobs)
    objects = pacs.datasets()
    _show_objects(console, objects)
    return 0 if objects or all(each["state"] == "skipped" for each in jobs) else 1


def _show_jobs(console: Console, jobs: list[dict[str, Any]]) -> None:
    table = Table(
        "job", "model", "state", "reason", title="wetread jobs list", title_justify="left"
    )
    for each in jobs:
        model = f"{each['model']} {each['model_version']}"
        table.add_row(str(each["id"]), model, each["state"], each["reason"] or "-")
    console.print(table)


def _show_objects(console: Console, objects: list[Dataset]) -> None:
    table = Table("series", "SOP class", "file", title="in the PACS now", title_justify="left")
    for number, each in enumerate(sorted(objects, key=lambda each: int(each.SeriesNumber or 0))):
        file = OUT / f"{number + 1}-{each.SOPClassUID.keyword}.dcm"
        each.save_as(file, enforce_file_format=True)
        table.add_row(str(each.get("SeriesDescription")), each.SOPClassUID.name, str(file))
    console.print(table)
    for each in objects:
        if each.SOPClassUID == BasicTextSRStorage:
            console.print("\nthe text report:", style="bold")
            console.print("\n".join(report_lines(each)), markup=False)
        if each.SOPClassUID == SecondaryCaptureImageStorage:
            picture = OUT / f"overlay-{each.InstanceNumber}.png"
            Image.fromarray(each.pixel_array).save(picture)
            console.print(f"\nthe overlay: {picture}", style="bold")


def report_lines(report: Dataset, depth: int = 0) -> Iterator[str]:
    """Headings and texts of a structured report, in order."""
    for item in report.get("ContentSequence", []):
        name = (
            item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""
        )
        if item.ValueType == "CONTAINER":
            yield f"{'  ' * depth}{name}"
            yield from report_lines(item, depth + 1)
        elif item.ValueType == "TEXT" and item.RelationshipType == "CONTAINS":
            for line in str(item.TextValue).splitlines():
                yield f"{'  ' * depth}{line}"


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from (each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _study_uid(path: Path) -> str:
    """Study Instance UID, empty for what is no instance, such as a DICOMDIR or a text."""
    try:
        header = dcmread(path, stop_before_pixels=True, force=True)
    except Exception:  # noqa: BLE001 - the parser meets any file there is
        return ""
    return str(header.get("StudyInstanceUID", "")) if "SOPInstanceUID" in header else ""


if __name__ == "__main__":
    sys.exit(main())
