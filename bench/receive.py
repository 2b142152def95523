"""How fast instances are taken in, beside other receivers and the floor of this disk.

``python -m bench.receive [--rounds 3] [--quick] [--folder DIR]``

500 CT of 0.5 MB, 20 CR of 10 MB and 2,000 tiny ones of 20 kB go over 1, 4 and 8 associations to
wetread (durable: Success means fsynced bytes and a committed row), DCMTK's ``storescp +B`` (no
fsync), Orthanc (its SQLite as it comes) and pynetdicom's ``storescp``. The floor is what this disk
takes for write + fsync + one row (SQLite, WAL, synchronous=FULL) in a plain loop. Each receiver
starts anew on an empty folder, and their runs alternate, so that a disk or a machine that changes
its pace does so for all. What was received stays until the end (up to 30 GB): ext4 looks long for a
free inode where many were freed within the last seconds. The raw sender
(``bench/receive_sender.py``) leaves the receiver to be the limit; ``storescu`` sends as hospitals'
software does, with and without Nagle's algorithm.

``--quick`` sends a tenth. ``--folder`` says which file system is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydicom import dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

from bench.receive_peers import NAMES, Receiver

_SLOW_SENDER_OBJECTS = 50  # with Nagle on at the sender, 22 a second is what most receivers take


class Workload(NamedTuple):
    """Objects of one kind."""

    name: str
    objects: int
    pixel_bytes: int
    modality: str
    sop_class: UID


WORKLOADS = (
    Workload("CT", 500, 512 * 512 * 2, "CT", CTImageStorage),
    Workload("CR", 20, 10_000_000, "CR", ComputedRadiographyImageStorage),
    Workload("tiny", 2000, 20_000, "CT", CTImageStorage),
)


class Outcome(NamedTuple):
    """One run."""

    per_second: float
    latencies: list[float]
    cpu_seconds: float
    peak_megabytes: float


def write_objects(workload: Workload, folder: Path, count: int) -> list[Path]:
    """Make the files of one study."""
    folder.mkdir(parents=True)
    study, series = generate_uid(), generate_uid()
    paths = []
    for number in range(count):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        made.SOPClassUID = workload.sop_class
        made.SOPInstanceUID = generate_uid()
        made.Modality = workload.modality
        made.PatientName, made.PatientID = "Bench^Mark", "BENCH"
        made.StudyInstanceUID, made.SeriesInstanceUID = study, series
        made.InstanceNumber = number + 1
        made.Rows = made.Columns = 100
        made.BitsAllocated = 16
        made.PixelData = os.urandom(4096) * (workload.pixel_bytes // 4096 + 1)
        paths.append(folder / f"{number:05d}.dcm")
        dcmwrite(paths[-1], made, enforce_file_format=True)
    return paths


def floor(paths: Sequence[Path], folder: Path) -> Outcome:
    """Write, fsync and insert a row, one file after the other."""
    folder.mkdir(parents=True)
    contents = [each.read_bytes() for each in paths]
    database = sqlite3.connect(folder / "floor.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table instance (uid text primary key, path text, at real)")
    latencies = []
    for number, content in enumerate(contents):
        began = time.perf_counter()
        path = folder / f"{number}.dcm"
        with path.open("xb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())
        database.execute("insert into instance values (?, ?, ?)", (str(number), str(path), began))
        latencies.append(time.perf_counter() - began)
    database.close()
    return Outcome(len(paths) / sum(latencies), latencies, 0.0, 0.0)


def raw_run(receiver: Receiver, paths: Sequence[Path], associations: int) -> Outcome:
    """Send over several associations at once, each a process of its own."""
    shares = [paths[number::associations] for number in range(associations)]
    command = [sys.executable, "-m", "bench.receive_sender", str(receiver.port), receiver.ae_title]
    senders = [
        subprocess.Popen(
            [*command, *map(str, share)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for share in shares
    ]
    for each in senders:
        assert each.stdout is not None
        if each.stdout.readline().strip() != "ready":
            raise RuntimeError("a sender could not associate")
    before, began = receiver.cost(), time.perf_counter()
    for each in senders:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    latencies: list[float] = []
    for each in senders:
        assert each.stdout is not None
        latencies += json.loads(each.stdout.readline())
    elapsed = time.perf_counter() - began
    after = receiver.cost()
    for each in senders:
        each.communicate()
    cpu = after.cpu_seconds - before.cpu_seconds
    return Outcome(len(paths) / elapsed, latencies, cpu, after.peak_megabytes)


def storescu_run(receiver: Receiver, paths: Sequence[Path], nodelay: bool) -> float:
    """Instances per second that DCMTK's sender gets through.

    What it takes for one instance, mostly its start, the association and the release, is taken off.
    """
    command = ["storescu", "-R", "-aec", receiver.ae_title, "127.0.0.1", str(receiver.port)]
    environment = os.environ | {"TCP_NODELAY": "1" if nodelay else "0"}

    def seconds(some: Sequence[Path]) -> float:
        began = time.perf_counter()
        subprocess.run([*command, *map(str, some)], env=environment, check=True)
        return time.perf_counter() - began

    alone = seconds(paths[:1])
    return (len(paths) - 2) / (seconds(paths[1:]) - alone)


def compare(
    workload: Workload, paths: Sequence[Path], folder: Path, rounds: int, names: list[str]
) -> None:
    """Print one workload's table."""
    print(f"\n{workload.name}: {len(paths)} x {paths[0].stat().st_size / 1e6:.2f} MB")
    print(
        f"{'associations':>12} {'receiver':<12}{'inst./s':>9}{'of floor':>9}{'x Orthanc':>10}"
        f"{'p50 ms':>8}{'p99 ms':>8}{'CPU ms':>8}{'peak MB':>9}"
    )
    for associations in (1, 4, 8):
        runs: dict[str, list[Outcome]] = defaultdict(list)
        for turn in range(rounds):
            here = folder / f"{workload.name}-{associations}-{turn}"
            runs["floor"].append(floor(paths, here / "floor"))
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                with Receiver(
                    name, here / name, nodelay=True, associations=associations
                ) as receiver:
                    runs[name].append(raw_run(receiver, paths, associations))
        _print_rows(associations, len(paths), runs)


def compare_storescu(
    workload: Workload, paths: Sequence[Path], folder: Path, rounds: int, names: list[str]
) -> None:
    """Print what one ``storescu`` gets through, with and without TCP_NODELAY at its end."""
    print(f"\nstorescu, one association, {workload.name}, instances/s")
    as_shipped = [("orthanc", False)] if "orthanc" in names else []
    print(f"{'receiver':<24}{'TCP_NODELAY=1':>15}{'TCP_NODELAY=0':>15}")
    for name, nodelay in [*((each, True) for each in names), *as_shipped]:
        medians = []
        for sender_nodelay in (True, False):
            some = paths if sender_nodelay else paths[:_SLOW_SENDER_OBJECTS]
            rates = []
            for turn in range(rounds):
                here = folder / f"storescu-{workload.name}-{sender_nodelay}-{turn}" / str(nodelay)
                with Receiver(name, here / name, nodelay=nodelay, associations=1) as receiver:
                    rates.append(storescu_run(receiver, some, sender_nodelay))
            medians.append(statistics.median(rates))
        label = name if nodelay else f"{name}, as shipped"
        print(f"{label:<24}{medians[0]:>15.0f}{medians[1]:>15.0f}")


def _print_rows(associations: int, count: int, runs: dict[str, list[Outcome]]) -> None:
    rates = {
        name: statistics.median(each.per_second for each in outcomes)
        for name, outcomes in runs.items()
    }
    for name, outcomes in runs.items():
        latencies = sorted(value for each in outcomes for value in each.latencies)
        p50, p99 = (1000 * latencies[int(len(latencies) * part)] for part in (0.5, 0.99))
        cpu = 1000 * statistics.median(each.cpu_seconds for each in outcomes) / count
        peak = max(each.peak_megabytes for each in outcomes)
        orthanc = f"{rates[name] / rates['orthanc']:.2f}" if "orthanc" in rates else "-"
        print(
            f"{associations:>12} {name:<12}{rates[name]:>9.0f}{rates[name] / rates['floor']:>9.2f}"
            f"{orthanc:>10}{p50:>8.2f}{p99:>8.2f}{cpu:>8.2f}{peak:>9.0f}",
            flush=True,
        )


def _file_system(folder: Path) -> str:
    """Type and options of the file system that a folder is on."""
    best = ("", "unknown", "")
    for line in Path("/proc/mounts").read_text("utf-8").splitlines():
        _, mount, kind, options, *_ = line.split()
        if folder.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind, options)
    return f"{best[1]} ({best[2]})"


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--quick", action="store_true", help="a tenth of the objects")
    arguments.add_argument("--folder", type=Path, help="where to write")
    arguments.add_argument("--only", nargs="*", choices=NAMES, help="these receivers alone")
    arguments.add_argument("--workloads", nargs="*", choices=[each.name for each in WORKLOADS])
    chosen = arguments.parse_args()
    wanted = list(chosen.only or NAMES)
    names = [each for each in wanted if _installed(each)]
    with tempfile.TemporaryDirectory(prefix="wetread-bench-", dir=chosen.folder) as temporary:
        folder = Path(temporary)
        print(f"file system {_file_system(folder)}; {os.cpu_count()} cores; {chosen.rounds} rounds")
        for workload in WORKLOADS:
            if chosen.workloads and workload.name not in chosen.workloads:
                continue
            count = workload.objects // 10 if chosen.quick else workload.objects
            paths = write_objects(workload, folder / f"objects-{workload.name}", max(count, 8))
            compare(workload, paths, folder, chosen.rounds, names)
            if shutil.which("storescu"):
                compare_storescu(workload, paths, folder, chosen.rounds, names)


def _installed(name: str) -> bool:
    program = {"orthanc": "Orthanc", "storescp": "storescp"}.get(name)
    return program is None or shutil.which(program) is not None


if __name__ == "__main__":
    main()
