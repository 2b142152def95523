"""The data folder: whether it can be written, how fast, and how long it lasts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from db import figures, overview
from scp.disk import MEGABYTE, free_bytes
from wetread.doctor.finding import Finding, failed, ok, skipped, warning
from wetread.doctor.surroundings import Surroundings
from wetread.presence import TOTALS

_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "fuse.glusterfs")
_FLEETING = {
    "tmpfs": "it lies in memory",
    "ramfs": "it lies in memory",
    "overlay": "it lies in a layer of the container",
}
_PIECE = bytes(MEGABYTE)
_MOST_PIECES = 64
_MOST_SYNCS = 200
_MEASURED_SECONDS = 1.5
_SLOW_MEGABYTES, _SLOW_SYNCS = 30.0, 25.0
_SHORT_HOURS = 48.0
_FEW_FILES = 100_000
_MAKE_ROOM = (
    "make room, have [storage] remove what is old ('wetread storage show' says what there is), or "
    "move [node] data_dir to a larger disk"
)


def archive(surroundings: Surroundings) -> Iterator[Finding]:
    """Write to it, and see what it lies on."""
    folder = surroundings.settings.node.data_dir
    if not folder.is_dir():
        yield failed(
            "data folder", f"{folder}: there is none", "start the node once, or set [node] data_dir"
        )
        return
    try:
        with _temporary(folder) as file:
            file.write(b"wetread")
            os.fsync(file.fileno())
    except OSError as error:
        yield failed(
            "data folder",
            f"{folder}: cannot be written: {error.strerror}",
            "give it to the user of the node (chown), mount its disk for writing, or make room: "
            "until then every image is refused",
        )
    else:
        yield ok("data folder", f"{folder}: can be written")
    owner = folder.stat().st_uid
    if os.geteuid() != owner:
        yield warning(
            "user",
            f"the folder belongs to user {owner}, and this command runs as {os.geteuid()}",
            "run it as the user of the node: rights are judged as its own",
        )
    yield _kind(surroundings)


def _kind(surroundings: Surroundings) -> Finding:
    folder = surroundings.settings.node.data_dir
    kind = file_system(folder, Path("/proc/self/mountinfo").read_text("utf-8"))
    if kind in _NETWORK:
        risk = "an fsync may mean little there"
        if surroundings.settings.database_file() is not None:
            risk = "SQLite may lose what it wrote there"
        return warning(
            "file system",
            f"{kind}, over a network: {risk}",
            "put [node] data_dir on a disk of this host, or the database on PostgreSQL",
        )
    if kind in _FLEETING:
        return warning(
            "file system",
            f"{kind}: {_FLEETING[kind]}, and is gone with it",
            "put [node] data_dir on a disk, in a container on a mounted volume",
        )
    return ok("file system", kind)


def file_system(folder: Path, mounts: str) -> str:
    """Kind of file system that a folder lies on.

    Parameters
    ----------
    folder
        The folder.
    mounts
        What Linux says in ``/proc/self/mountinfo`` (proc(5)).
    """
    place = folder.resolve()
    found = (0, "unknown")
    for line in mounts.splitlines():
        mount, _, kind = line.partition(" - ")
        point = mount.split()[4].replace(r"\040", " ")
        if place.is_relative_to(point) and len(point) >= found[0]:
            found = len(point), kind.split()[0]
    return found[1]


def speed(surroundings: Surroundings) -> Iterator[Finding]:
    """Measure it with a file that has no name, and is gone whatever happens."""
    folder = surroundings.settings.node.data_dir
    with _temporary(folder) as file:
        megabytes = _megabytes_per_second(file, _room(surroundings))
    with _temporary(folder) as file:
        syncs = _syncs_per_second(file)
    yield _judged_speed(Speed(megabytes=megabytes, syncs=syncs))


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a disk does per second: megabytes written, and times that it confirmed to have them."""

    megabytes: float
    syncs: float


def _judged_speed(found: Speed) -> Finding:
    shown = f"writes {found.megabytes:.0f} MB/s, confirms {found.syncs:.0f} times a second (fsync)"
    if found.megabytes < _SLOW_MEGABYTES or found.syncs < _SLOW_SYNCS:
        return warning(
            "speed",
            f"{shown}: images come slowly",
            "use an SSD, or a controller whose write cache has a battery; see what else is busy "
            "with this disk",
        )
    return ok("speed", shown)


def _room(surroundings: Surroundings) -> int:
    """How many pieces may be written without coming near the mark."""
    node = surroundings.settings.node
    spare = free_bytes(node.data_dir) - node.free_megabytes * MEGABYTE
    return max(1, min(_MOST_PIECES, spare // (2 * MEGABYTE)))


def _megabytes_per_second(file: IO[bytes], pieces: int) -> float:
    started, written = time.perf_counter(), 0
    while written < pieces and time.perf_counter() - started < _MEASURED_SECONDS:
        file.write(_PIECE)
        written += 1
    os.fsync(file.fileno())
    return written / (time.perf_counter() - started)


def _syncs_per_second(file: IO[bytes]) -> float:
    started, count = time.perf_counter(), 0
    while count < _MOST_SYNCS and time.perf_counter() - started < _MEASURED_SECONDS:
        file.write(b"wetread")
        os.fsync(file.fileno())
        count += 1
    return count / (time.perf_counter() - started)


def _temporary(folder: Path) -> IO[bytes]:
    return TemporaryFile(dir=folder, buffering=0)


def space(surroundings: Surroundings) -> Iterator[Finding]:
    """Compare what is free with the mark below which images are refused."""
    node = surroundings.settings.node
    if not node.data_dir.is_dir():
        yield skipped("free space", f"{node.data_dir}: there is none")
        return
    free, mark = free_bytes(node.data_dir), node.free_megabytes * MEGABYTE
    shown = f"{free // MEGABYTE} MB free; images are refused below {node.free_megabytes} MB"
    if free < max(mark, MEGABYTE):
        yield failed("free space", f"{shown}: they are refused now", _MAKE_ROOM)
    else:
        yield ok("free space", shown)
    disk = os.statvfs(node.data_dir)
    if disk.f_files and disk.f_favail < _FEW_FILES:
        yield warning(
            "files",
            f"only {disk.f_favail} more files fit (inodes)",
            "make the file system with more of them",
        )


def time_left(surroundings: Surroundings) -> Iterator[Finding]:
    """Compare what is free with what came within a day."""
    node = surroundings.settings.node
    spare = free_bytes(node.data_dir) - node.free_megabytes * MEGABYTE
    hours = _hours_left(surroundings, spare)
    if hours is None:
        yield ok("time left", "nothing was received within 24 hours")
    elif hours < _SHORT_HOURS:
        yield warning("time left", f"{hours:.1f} hours at this rate", _MAKE_ROOM)
    else:
        yield ok("time left", f"{hours / 24:.0f} days at this rate")


def _hours_left(surroundings: Surroundings, spare: int) -> float | None:
    """Hours until the mark; None if nothing comes."""
    with surroundings.reading() as connection:
        counted = figures.shown(connection, TOTALS)  # it is costly to count
        if counted is not None and counted.value:
            rate = float(counted.value["stored"]["bytes_per_hour"])
        else:
            rate = overview.stored(connection).bytes_per_hour
    return max(0, spare) / rate if rate else None
