"""A file system of our own, in a file; needs root."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path
from typing import Self

_GOING_DOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
_NO_LOG_FLUSH = 2
_BUSY_SECONDS = 10.0


class Disk:
    """A file system that is small, and whose power can be cut.

    Parameters
    ----------
    folder
        Where its file lies; it is mounted below, as ``root``.
    kind
        "ext4" or "xfs".
    megabytes
        Its size; nothing of it is written but what is used.
    """

    def __init__(self, folder: Path, kind: str, megabytes: int = 800) -> None:
        self._image = folder / "image"
        self.root = folder / "disk"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(megabytes * 1_000_000)
        _run(f"mkfs.{kind}", "-q", str(self._image))

    def __enter__(self) -> Self:
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        self.unmount()

    def mount(self) -> None:
        """Mount it, after a cut as a machine does that starts again."""
        _run("mount", "-o", "loop", str(self._image), str(self.root))

    def cut(self) -> None:
        """Lose all that was not brought to the disk; nothing more is written."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _GOING_DOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Take it away, as soon as processes that were killed have let go of it."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                _run("umount", str(self.root))
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def fill(self) -> Path:
        """Use all that is free; deleting the file that is returned ends it."""
        path = self.root / "full"
        with path.open("wb") as file:
            for step in (1 << 20, 1 << 12):
                _allocate_all(file.fileno(), step)
        return path


def _allocate_all(descriptor: int, step: int) -> None:
    while True:
        try:
            os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, step)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
