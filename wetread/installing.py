"""Puts a model package where workers look for it, whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from audit.private import make_folder
from inference.errors import ManifestError
from inference.package import Package


def install(
    package: Package, target: Path, present: Sequence[Package], *, force: bool = False
) -> Path:
    """Copy a package that was checked into a folder of packages.

    Parameters
    ----------
    package
        What is to be installed.
    target
        The folder of packages; it is made.
    present
        What is installed already, in whatever folder.
    force
        Also in place of a version that is as new or newer.

    Returns
    -------
    Path
        Where it is now.

    Raises
    ------
    ManifestError
        It is there as new, or newer, or in a folder that it cannot be replaced in.
    OSError
        It cannot be copied.
    """
    known = next((each for each in present if each.name == package.name), None)
    if known is not None:
        _check(package, known, target, force=force)
    make_folder(target)
    place = known.folder if known is not None else target / package.name
    # Two levels below the folder, where nobody looks for packages.
    with tempfile.TemporaryDirectory(prefix=".install-", dir=target) as beside:
        made = Path(beside) / "new"
        shutil.copytree(package.folder, made)
        _give_to_owner_of(target, made)
        if place.exists():
            place.rename(Path(beside) / "old")
        made.rename(place)
    return place


def newer(version: str, than: str) -> bool:
    """Whether a version comes after another: numbers count as numbers."""
    return _parts(version) > _parts(than)


def _check(package: Package, known: Package, target: Path, *, force: bool) -> None:
    if known.folder.parent.resolve() != target.resolve():
        raise ManifestError(
            f"model {known.name!r} is in {known.folder}, which is not in {target}; two packages "
            "cannot bear one name"
        )
    if not force and not newer(package.version, known.version):
        raise ManifestError(
            f"{known.folder} has version {known.version}, and {package.version} is not newer; "
            "--force installs it nevertheless"
        )


def _parts(version: str) -> list[tuple[int, int, str]]:
    return [
        (1, int(each), "") if each.isdecimal() else (0, 0, each)
        for each in re.findall(r"\d+|[a-zA-Z]+", version, re.ASCII)
    ]


def _give_to_owner_of(folder: Path, made: Path) -> None:
    """What root installs the node's own user must be able to read."""
    if os.geteuid() == 0:
        owner = folder.stat()
        for each in (made, *made.rglob("*")):
            os.chown(each, owner.st_uid, owner.st_gid)
