"""The model package: a folder with ``model.onnx``, ``model.toml`` and ``CARD.md``."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from inference.errors import ManifestError
from inference.manifest import Manifest
from inference.pixels import Preparation
from sr.findings import Algorithm

ZOO = Path(__file__).with_name("zoo")
MODEL_FILE, MANIFEST_FILE, CARD_FILE = "model.onnx", "model.toml", "CARD.md"


@dataclass(frozen=True)
class Package:
    """A model package whose manifest was read; the graph is loaded by ``inference.runtime``."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.model.name

    @property
    def version(self) -> str:
        """The model's version."""
        return self.manifest.model.version

    @property
    def model_file(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL_FILE

    @property
    def algorithm(self) -> Algorithm:
        """The model as the results name it."""
        model = self.manifest.model
        return Algorithm(
            name=model.name,
            version=model.version,
            manufacturer=model.manufacturer,
            title=model.title,
        )

    @property
    def preparation(self) -> Preparation:
        """How pictures become input."""
        return Preparation(**self.manifest.prepare.model_dump())

    def verify(self) -> None:
        """Check that the graph is the one the manifest was written for.

        Raises
        ------
        ManifestError
            The ONNX file or the card is missing, or the file's SHA-256 differs.
        """
        for name in (MODEL_FILE, CARD_FILE):
            if not (self.folder / name).is_file():
                raise ManifestError(f"{self.folder}: {name} is missing")
        digest = hashlib.sha256(self.model_file.read_bytes()).hexdigest()
        if digest != self.manifest.model.sha256:
            raise ManifestError(
                f"{self.model_file}: SHA-256 is {digest}, the manifest says "
                f"{self.manifest.model.sha256}; restore the file or install the package again"
            )


def read_package(folder: Path) -> Package:
    """Read a package's manifest.

    Raises
    ------
    ManifestError
        There is no manifest, or a key in it is missing, unknown or out of range.
    """
    file = folder / MANIFEST_FILE
    try:
        content = tomllib.loads(file.read_text("utf-8"))
        return Package(folder, Manifest(**content))
    except OSError as error:
        raise ManifestError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: not valid TOML: {error}") from error
    except ValidationError as error:
        problems = (
            f"{file}: {'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in error.errors()
        )
        raise ManifestError("\n".join(problems)) from error


def find_packages(folders: Sequence[Path], disabled: Iterable[str] = ()) -> list[Package]:
    """Read every package below our own zoo and the site's folders, by name.

    Parameters
    ----------
    folders
        The site's folders; each holds package folders.
    disabled
        Names to leave out.

    Raises
    ------
    ManifestError
        A folder is missing, a manifest is wrong, or two packages bear one name.
    """
    left_out = set(disabled)
    found: dict[str, Package] = {}
    for root in (ZOO, *folders):
        if not root.is_dir():
            raise ManifestError(f"{root}: no such folder; see [models] folders")
        for file in sorted(root.glob(f"*/{MANIFEST_FILE}")):
            package = read_package(file.parent)
            if package.name in left_out:
                continue
            if package.name in found:
                raise ManifestError(
                    f"{file.parent}: model {package.name!r} is also in "
                    f"{found[package.name].folder}; rename one"
                )
            found[package.name] = package
    return list(found.values())
