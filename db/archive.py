"""Part 10 bytes in and out of the data folder; atomic, durable, never re-encoded.

A result appears under its name only when it is whole and on disk: temporary name, fsync, rename,
fsync of the folder. A received file counts as stored when its row is committed, whatever stands
under its name before: see docs/adr/0001-durable-receive.md. What a crash leaves behind bears the
suffix ``.part`` and is swept at start. A file that is to go leaves its name for the folder
``purged/`` first: see ``db.retention``.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from db.errors import InvalidUID

PARTIAL_SUFFIX = ".part"
# Leading zeros break PS3.5 section 9.1, but devices write them and they make no path unsafe.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
STALE_SECONDS = 3600.0
"""What is older and belongs to nobody was left behind by a crash."""

_SHARD_LETTERS = 2
_SLASH = "~"  # stands for it in the name of a file that is to go


def checked_uid(value: str, name: str) -> str:
    """Return ``value`` if it is a UID that may become part of a path.

    Raises
    ------
    InvalidUID
        It is empty, over 64 characters, or holds anything but digits and single dots
        (PS3.5 section 9.1). The message names the element, not the value.
    """
    if len(value) > 64 or not _UID.fullmatch(value):
        raise InvalidUID(f"{name} is not a UID: 1 to 64 digits and dots are allowed")
    return value


class StagedFile:
    """Bytes that are on disk but bear no name yet.

    Leaving the ``with`` block discards them unless they were published.

    Attributes
    ----------
    size
        Bytes.
    """

    def __init__(self, archive: Archive, partial: Path, size: int) -> None:
        self._archive = archive
        self._partial = partial
        self.size = size

    def publish(self, path: str) -> None:
        """Give the file its name, relative to the data folder, and make the name durable."""
        target = self._archive.full_path(path)
        self._archive._make_folder(target.parent)
        self._partial.rename(target)
        _fsync_folder(target.parent)

    def __enter__(self) -> StagedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._partial.unlink(missing_ok=True)


class Archive:
    """The files below one data folder.

    Parameters
    ----------
    data_dir
        The data folder; made if it does not exist. Paths handed out are relative to it.
    """

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir
        self.root.mkdir(parents=True, exist_ok=True)
        self._spool = self.root / "spool"
        self._purged = self.root / "purged"

    def instance_path(self, study_uid: str, sop_instance_uid: str) -> str:
        """Relative path of a received instance.

        Raises
        ------
        InvalidUID
            One of the two is not a UID.
        """
        study = checked_uid(study_uid, "Study Instance UID (0020,000D)")
        instance = checked_uid(sop_instance_uid, "SOP Instance UID (0008,0018)")
        return f"archive/{_shard(study)}/{study}/{instance}.dcm"

    def result_path(self, job_id: int, attempt: int, sop_instance_uid: str) -> str:
        """Relative path of a result.

        Each attempt has a folder of its own, so that a late twin of a job that lost its lease
        cannot overwrite what is being delivered.
        """
        instance = checked_uid(sop_instance_uid, "SOP Instance UID (0008,0018)")
        return f"results/{job_id // 1000:06d}/{job_id}-{attempt}/{instance}.dcm"

    def notice_path(self, study_uid: str, sop_instance_uid: str) -> str:
        """Relative path of a notice about a study that was not processed.

        Raises
        ------
        InvalidUID
            One of the two is not a UID.
        """
        study = checked_uid(study_uid, "Study Instance UID (0020,000D)")
        instance = checked_uid(sop_instance_uid, "SOP Instance UID (0008,0018)")
        return f"results/notices/{_shard(study)}/{instance}.dcm"

    def stage(self, chunks: Iterable[bytes | memoryview]) -> StagedFile:
        """Bring bytes to the disk under a temporary name.

        Raises
        ------
        OSError
            The disk is full or refuses; nothing is left behind.
        """
        partial = self.partial_path()
        try:
            with partial.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return StagedFile(self, partial, size)

    def write(self, path: str, chunks: Iterable[bytes | memoryview]) -> int:
        """Write a file durably and return its size in bytes.

        Raises
        ------
        OSError
            The disk is full or refuses; nothing is left behind.
        """
        with self.stage(chunks) as staged:
            staged.publish(path)
            return staged.size

    def partial_path(self) -> Path:
        """A temporary name that nobody has, in a folder that exists.

        Raises
        ------
        OSError
            The folder cannot be made.
        """
        self._make_folder(self._spool)
        return self._spool / f"{uuid.uuid4().hex}{PARTIAL_SUFFIX}"

    def claim(self, partial: Path, path: str) -> bool:
        """Give a file a second name unless the name is taken; False if it was, or cannot be given.

        The name is on disk with the file's next fsync: a link changes the inode, and both stand in
        one transaction of the file system's journal. The temporary name stays.

        Raises
        ------
        OSError
            The folder cannot be made.
        """
        target = self.full_path(path)
        try:
            with suppress(FileNotFoundError):
                os.link(partial, target)
                return True
            self._make_folder(target.parent)
            os.link(partial, target)
        except OSError:  # taken, or a file system without links; ``settle`` finds out
            return False
        return True

    def settle(self, partial: Path, path: str) -> None:
        """Make sure that a name is this file's and on disk, whoever has it.

        Only for whoever holds the row of that path. The temporary name stays where the file system
        has links, so that a transaction that fails can be tried again.

        Raises
        ------
        OSError
            The disk refuses.
        """
        target = self.full_path(path)
        if _same_file(partial, target):
            return
        self._make_folder(target.parent)
        with _locked(target.parent):
            _second_name(partial).replace(target)
        _fsync_folder(target.parent)

    def unclaim(self, partial: Path, path: str) -> None:
        """Take back a name that ``claim`` gave, unless another file has it by now.

        Raises
        ------
        OSError
            The disk refuses.
        """
        target = self.full_path(path)
        if not target.parent.is_dir():
            return
        with _locked(target.parent):  # or ``settle`` could give the name away in between
            if _same_file(partial, target):
                target.unlink()

    def conflict_path(self, sop_instance_uid: str, digest: str) -> str:
        """Relative path of a data set that came under another's UID; ``digest`` tells them apart.

        Raises
        ------
        InvalidUID
            The first is no UID.
        """
        instance = checked_uid(sop_instance_uid, "SOP Instance UID (0008,0018)")
        return f"conflicts/{instance}-{digest}.dcm"

    def full_path(self, path: str) -> Path:
        """Absolute path of a stored file."""
        return self.root / path

    def sweep(self) -> int:
        """Remove what crashes left half-written over an hour ago; return how many files."""
        stale = time.time() - STALE_SECONDS
        swept = 0
        for partial in self._spool.glob(f"*{PARTIAL_SUFFIX}"):
            with suppress(FileNotFoundError):  # published by another process meanwhile
                if partial.stat().st_mtime < stale:
                    partial.unlink()
                    swept += 1
        return swept

    def retire(self, paths: Iterable[str]) -> None:
        """Move files to where ``erase`` removes them and ``reinstate`` puts them back; durably.

        Only for whoever holds their rows. What is not there is passed over.

        Raises
        ------
        OSError
            The disk refuses, or the archive is away; some files may have been moved.
        """
        if not (self.root / "archive").is_dir():
            raise FileNotFoundError(errno.ENOENT, "the archive is away")
        self._make_folder(self._purged)
        folders: dict[Path, None] = {}
        for path in paths:
            file = self.full_path(path)
            with suppress(FileNotFoundError):
                file.rename(self.retired_path(path))
            folders[file.parent] = None
        # One transaction of the file system's journal has both ends of a rename.
        _fsync_folder(self._purged)
        for folder in folders:
            if len(folder.name) > _SHARD_LETTERS:  # those that are shared stay
                with suppress(OSError):  # something new is in it
                    folder.rmdir()

    def retired(self) -> list[str]:
        """Paths of the files that wait to be erased."""
        try:
            return sorted(each.name.replace(_SLASH, "/") for each in self._purged.iterdir())
        except FileNotFoundError:
            return []

    def retired_path(self, path: str) -> Path:
        """Where a file stands while it waits to be erased."""
        return self._purged / path.replace("/", _SLASH)

    def reinstate(self, path: str) -> None:
        """Put a file back under its name, unless another has it.

        Raises
        ------
        OSError
            The disk refuses.
        """
        if self.full_path(path).exists():
            self.erase(path)
            return
        self._make_folder(self.full_path(path).parent)
        self.retired_path(path).rename(self.full_path(path))
        _fsync_folder(self.full_path(path).parent)

    def set_aside(self, path: str, changed_before: float = float("inf")) -> bool:
        """Move a file to ``orphans/``; False if it is gone or was changed since that time.

        Raises
        ------
        OSError
            The disk refuses.
        """
        file, aside = self.full_path(path), self.root / "orphans"
        self._make_folder(aside)
        with suppress(FileNotFoundError), _locked(file.parent):  # from ``settle``
            if file.stat().st_mtime < changed_before:
                file.rename(aside / path.replace("/", _SLASH))
                _fsync_folder(aside)
                return True
        return False

    def files(self, folder: str, changed_before: float = float("inf")) -> Iterator[str]:
        """Paths of the files below a folder that were last changed before a time."""
        for at, _, names in os.walk(self.root / folder):
            for name in names:
                file = Path(at, name)
                with suppress(FileNotFoundError):  # removed meanwhile
                    if file.stat().st_mtime < changed_before:
                        yield str(file.relative_to(self.root))

    def usage(self, folder: str) -> tuple[int, int]:
        """How many files are below a folder, and their bytes."""
        sizes = []
        for path in self.files(folder):
            with suppress(FileNotFoundError):
                sizes.append(self.full_path(path).stat().st_size)
        return len(sizes), sum(sizes)

    def erase(self, path: str) -> None:
        """Remove a file that is to go."""
        self.retired_path(path).unlink(missing_ok=True)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder == self.root:
            # Most likely a disk that is not mounted: what is written below would vanish when it is.
            raise FileNotFoundError(errno.ENOENT, "the data folder is gone")
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync_folder(folder.parent)


def _shard(study_uid: str) -> str:
    """Two hexadecimal digits, so that no folder grows to hundreds of thousands of entries."""
    return hashlib.sha256(study_uid.encode("ascii")).hexdigest()[:_SHARD_LETTERS]


def _second_name(partial: Path) -> Path:
    """Another temporary name of a file; its only one where the file system has no links."""
    other = partial.with_name(f"{uuid.uuid4().hex}{PARTIAL_SUFFIX}")
    try:
        other.hardlink_to(partial)
    except FileNotFoundError:
        raise
    except OSError:
        return partial
    return other


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes and threads from renaming in a folder, if they ask as well."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
