"""The OHIF viewer's built pages, fetched once from the npm registry into ``.viewer/``."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@ohif/app"
VERSION = "3.13.2"
# What the registry states for this version: ``npm view @ohif/app@VERSION dist.integrity``.
INTEGRITY = (
    "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDN"
    "PoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
)
CACHE = Path(__file__).parents[1] / ".viewer"
_SECONDS = 300.0


class NotFetchedError(RuntimeError):
    """The viewer is neither here nor could be fetched; the message says what to do."""


def pages(cache: Path = CACHE) -> Path:
    """Folder with the viewer's ``index.html``; fetches and unpacks it the first time.

    Raises
    ------
    NotFetchedError
        There is no npm, it got nothing, or what it got is not what the registry once stated.
    """
    folder = cache / f"ohif-{VERSION}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            tarball = _fetch(Path(temporary))
            _check(tarball)
            _unpack(tarball, Path(temporary) / "unpacked", folder)
    return folder


def _fetch(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetchedError("npm is not installed: apt-get install nodejs npm")
    command = [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NotFetchedError(f"npm got no {PACKAGE} in {_SECONDS:.0f} s") from error
    found = list(folder.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        raise NotFetchedError(f"npm got no {PACKAGE} {VERSION}: {done.stderr.strip()}")
    return found[0]


def _check(tarball: Path) -> None:
    with tarball.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    got = f"sha512-{base64.b64encode(digest).decode('ascii')}"
    if got != INTEGRITY:
        raise NotFetchedError(f"{PACKAGE} {VERSION} is {got}, expected {INTEGRITY}")


def _unpack(tarball: Path, into: Path, folder: Path) -> None:
    """Unpack beside the cache and rename, so that a folder that is there is whole."""
    with tarfile.open(tarball) as archive:
        archive.extractall(into, filter="data")
    try:
        (into / "package" / "dist").rename(folder)
    except OSError:  # another process was faster
        if not folder.exists():
            raise
