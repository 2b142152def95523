"""A file being received: fragments go straight from the receive buffer to the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from scp.writebehind import WriteBehind

HEAD_BYTES = 16 * 1024  # kept for the header; more than almost any header takes
_IOV_MAX = 1024  # pieces that one writev takes

Piece = bytes | memoryview


class SpoolFile:
    """A Part 10 file under its temporary name.

    Parameters
    ----------
    path
        The temporary name; must not exist.
    header
        What stands before the data set.

    Attributes
    ----------
    size
        Bytes of the data set that came so far.
    head
        The first of them, at most ``HEAD_BYTES``.

    Raises
    ------
    OSError
        The disk refuses; nothing is left behind.
    """

    def __init__(self, path: Path, header: bytes) -> None:
        self.path = path
        self.size = 0
        self.head = b""
        self._header: bytes | None = header  # until it is written, with the first pieces
        self._header_bytes = len(header)
        self._behind = WriteBehind()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    @property
    def file_size(self) -> int:
        """Bytes of the file."""
        return self._header_bytes + self.size

    def write(self, pieces: Sequence[Piece]) -> None:
        """Append to the data set.

        Raises
        ------
        OSError
            The disk refuses.
        """
        if len(self.head) < HEAD_BYTES:
            self._keep_head(pieces)
        if self._header is not None:
            _write_all(self._descriptor, [self._header, *pieces])
            self._header = None
        else:
            _write_all(self._descriptor, pieces)
        self.size += sum(map(len, pieces))
        self._behind.written(self._descriptor, self.file_size)

    def read_start(self, limit: int) -> bytes:
        """Read the first bytes of the data set back, at most ``limit``."""
        return os.pread(self._descriptor, limit, self._header_bytes)

    def sync(self) -> None:
        """Bring the bytes, and every name that the file has, to the disk.

        Raises
        ------
        OSError
            The disk refuses.
        """
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; it keeps its names. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Close the file and remove its temporary name. May be called again."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _keep_head(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            if len(self.head) == HEAD_BYTES:
                return
            self.head += bytes(piece[: HEAD_BYTES - len(self.head)])


def _write_all(descriptor: int, pieces: Sequence[Piece]) -> None:
    for start in range(0, len(pieces), _IOV_MAX):
        part = pieces[start : start + _IOV_MAX]
        written = os.writev(descriptor, part)
        if written < sum(map(len, part)):  # rare: a signal, or a disk about to be full
            left = memoryview(b"".join(part))[written:]
            while left:
                left = left[os.write(descriptor, left) :]
