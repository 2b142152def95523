"""How long the result objects of one radiograph take to build, and how much memory.

``python -m bench.results [--rounds 21] [--rows 2500] [--columns 2000]``

A synthetic DX is read once by the shipped chest model; then its objects are built and written to
bytes, again and again, on one core. Beside them stands a floor measured in the same run, by turns:
only shrink the picture to the overlay's size and write the finished objects to bytes. Memory is the
highest resident size that building adds to what the process has when the reading is done; each
figure comes from a process of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from inference import study
from inference.package import ZOO, read_package
from inference.runtime import Model
from sr.bundle import Results, build_results
from sr.document import to_bytes
from sr.findings import Reading
from sr.identity import Kind
from sr.picture import LARGEST_LONG_SIDE
from sr.style import DEFAULT_KINDS, LANGUAGES, Style
from wetread.phantom import chest_study

_WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_LIMIT_MS, _LIMIT_MB = 200.0, 150.0
_OPTIONAL = (Kind.PRESENTATION, Kind.KEY_IMAGES, Kind.PDF)  # what a radiograph can have besides


class Subject:
    """One radiograph that was read."""

    def __init__(self, rows: int, columns: int) -> None:
        made = chest_study(seed=19, rows=rows, columns=columns, finding="ground-glass", extent=0.8)
        model = Model(read_package(ZOO / "cxr-covid"), threads=1)
        manifest = model.package.manifest
        seen = study.decode(manifest, made)
        self.sources: Sequence[Dataset] = seen.sources
        self.reading: Reading = study.read(model, seen)
        self.pictures = study.shown(manifest, seen, self.reading)

    def build(self, kinds: Sequence[Kind] = DEFAULT_KINDS, language: str = "en") -> Results:
        """Build objects."""
        style = Style(language=language)
        return build_results(
            self.sources, self.pictures, self.reading, when=_WHEN, kinds=kinds, style=style
        )

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The displayed radiograph."""
        return next(iter(self.pictures.values()))


def written(results: Results) -> int:
    """Write objects to bytes, each once, as the worker does; return how many bytes."""
    unique = {each.dataset.SOPInstanceUID: each.dataset for each in results.objects}
    return sum(len(to_bytes(each)) for each in unique.values())


def timed(action: Callable[[], object]) -> float:
    """Milliseconds of processor time."""
    started = time.process_time()
    action()
    return 1000 * (time.process_time() - started)


def built(
    subject: Subject, rounds: int, kinds: Sequence[Kind], language: str = "en"
) -> list[float]:
    """Milliseconds to build and write, for each round."""
    return [timed(lambda: written(subject.build(kinds, language))) for _ in range(rounds)]


def times(rounds: int, rows: int, columns: int) -> None:
    """Print the times."""
    subject = Subject(rows, columns)
    ready = subject.build()
    (overlay,) = (each for each in ready.objects if each.kind is Kind.OVERLAY)
    scale = min(1.0, LARGEST_LONG_SIDE / max(rows, columns))
    size = (round(columns * scale), round(rows * scale))

    def floor() -> None:
        small = Image.fromarray(subject.picture).resize(size, Image.Resampling.BILINEAR)
        np.asarray(small.convert("RGB")).tobytes()
        written(ready)

    floors, builds = [], []
    for _ in range(rounds):
        floors.append(timed(floor))
        builds.append(timed(lambda: written(subject.build())))
    took, least = statistics.median(builds), statistics.median(floors)
    decision = subject.reading.images[0].decision
    print(f"{rows} x {columns} DX, {decision.normality.value if decision else 'measured'}")
    print(f"{len(ready.objects)} objects, {written(ready) / 1e6:.1f} MB; overlay ", end="")
    print(f"{overlay.dataset.Rows} x {overlay.dataset.Columns}")
    print(f"{'':<26}{'median ms':>10}{'min':>8}{'max':>8}")
    for name, values in (("default set", builds), ("floor: resize and write", floors)):
        print(f"{name:<26}{statistics.median(values):>10.1f}{min(values):>8.1f}{max(values):>8.1f}")
    print(f"default set / floor {took / least:.1f}; {took / _LIMIT_MS:.0%} of {_LIMIT_MS:.0f} ms")
    for language in LANGUAGES[1:]:
        values = built(subject, rounds, DEFAULT_KINDS, language)
        print(f"{'default set, ' + language:<26}{statistics.median(values):>10.1f}")
    for kind in (*DEFAULT_KINDS, *_OPTIONAL):
        values = built(subject, rounds, [kind])
        print(f"{'only ' + kind.value:<26}{statistics.median(values):>10.1f}")


def memory(rows: int, columns: int, kinds: Sequence[Kind]) -> float:
    """Return what building adds to the resident size at its highest, MB."""
    subject = Subject(rows, columns)
    # What reading has freed must not hide what building takes.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest size so far
    before = _kilobytes("VmRSS")
    written(subject.build(kinds))
    return (_kilobytes("VmHWM") - before) / 1000


def _kilobytes(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return float(line.split()[1]) * 1.024
    raise RuntimeError(f"/proc/self/status states no {name}")


def memory_apart(rows: int, columns: int, kinds: Sequence[Kind]) -> float:
    """Measure memory in a process of its own."""
    names = ",".join(each.value for each in kinds)
    command = [sys.executable, "-m", "bench.results", "--memory-of", names]
    command += ["--rows", str(rows), "--columns", str(columns)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=21)
    arguments.add_argument("--rows", type=int, default=2500)
    arguments.add_argument("--columns", type=int, default=2000)
    arguments.add_argument("--memory-of", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.memory_of:
        kinds = [Kind(each) for each in chosen.memory_of.split(",")]
        print(memory(chosen.rows, chosen.columns, kinds))
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    times(chosen.rounds, chosen.rows, chosen.columns)
    added = [memory_apart(chosen.rows, chosen.columns, DEFAULT_KINDS) for _ in range(3)]
    middle = statistics.median(added)
    print(f"memory added: {middle:.0f} MB, {middle / _LIMIT_MB:.0%} of {_LIMIT_MB:.0f} MB")


if __name__ == "__main__":
    main()
