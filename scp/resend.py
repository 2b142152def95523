"""An instance whose UID is known: the same bytes again, or others. Rare, so it may take time."""

from __future__ import annotations

import hashlib
from enum import Enum
from pathlib import Path
from typing import BinaryIO

import structlog

from db.archive import Archive
from db.studies import StoredInstance
from dimse.part10 import START_BYTES, data_set_offset
from scp.spool import SpoolFile

_log = structlog.get_logger(__name__)
_CHUNK = 1024 * 1024  # bytes compared at a time
_DIGEST_LETTERS = 16


class Resent(Enum):
    """How an instance compares with the one stored under its UID."""

    IDENTICAL = "identical"
    MISSING = "missing"
    """The row is there and its file is not."""
    OTHER = "other"


def compare(
    archive: Archive, received: SpoolFile, known: StoredInstance, transfer_syntax: str
) -> Resent:
    """Compare data sets, byte for byte; the file meta information may name another sender.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    stored = archive.full_path(known.path)
    try:
        stored.stat()
        same = known.transfer_syntax_uid == transfer_syntax and _same_data_set(
            stored, received.path
        )
    except FileNotFoundError:
        return Resent.MISSING
    return Resent.IDENTICAL if same else Resent.OTHER


def set_aside(archive: Archive, received: SpoolFile, sop_instance_uid: str) -> None:
    """Keep a conflicting file under ``conflicts/``, once however often it comes.

    Raises
    ------
    OSError
        The disk refuses.
    """
    with received.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:_DIGEST_LETTERS]
    path = archive.conflict_path(sop_instance_uid, digest)
    received.sync()
    archive.settle(received.path, path)
    _log.warning("instance.set_aside", sop_instance_uid=sop_instance_uid, path=path)


def _same_data_set(one: Path, other: Path) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        if _skip_meta(first) != _skip_meta(second):
            return False
        while True:
            chunk = first.read(_CHUNK)
            if chunk != second.read(_CHUNK):
                return False
            if not chunk:
                return True


def _skip_meta(file: BinaryIO) -> int:
    """Go to the data set; bytes that it has."""
    offset = data_set_offset(file.read(START_BYTES))
    size = file.seek(0, 2) - offset
    file.seek(offset)
    return size
