"""Files and folders that only the node's own user may read."""

from __future__ import annotations

import os
from pathlib import Path

_FILE = 0o600
_FOLDER = 0o700


def open_private(path: Path, flags: int) -> int:
    """Open a file for writing, made if it is not there.

    Made by root, it is given to the owner of its folder: an administrator's command must not leave
    a file there that the node cannot read.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, _FILE)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(file, folder.st_uid, folder.st_gid)
    return file


def make_folder(path: Path) -> None:
    """Make a folder and those above it; like ``open_private``, for whom it is made for."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=_FOLDER, exist_ok=True)
    if os.geteuid() == 0:
        above = path.parent.stat()
        os.chown(path, above.st_uid, above.st_gid)
