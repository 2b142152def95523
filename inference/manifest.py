"""The model package: a folder with ``model.onnx``, ``model.toml`` and ``CARD.md``.

The manifest holds all that the node must know of a model; nothing about a model stands in code.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydicom.sr.coding import Code

from inference.errors import ManifestError
from inference.pixels import Preparation
from sr.findings import Algorithm

ZOO = Path(__file__).with_name("zoo")
MODEL_FILE, MANIFEST_FILE, CARD_FILE = "model.onnx", "model.toml", "CARD.md"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CodeSection(_Section):
    """A coded concept (PS3.3 section 8)."""

    value: str = Field(min_length=1, max_length=16)
    scheme: str = Field(min_length=1, max_length=16)
    meaning: str = Field(min_length=1, max_length=64)

    @property
    def code(self) -> Code:
        """The concept for the result objects."""
        return Code(self.value, self.scheme, self.meaning)


class ModelSection(_Section):
    """``[model]``: who this model is and what it is for."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")
    title: str = Field(min_length=1, max_length=64)
    manufacturer: str = Field(min_length=1, max_length=64)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    intended_use: str = Field(min_length=1)
    licence: str = Field(min_length=1)


class AcceptsSection(_Section):
    """``[accepts]``: which images fit. An empty string in a list accepts a missing value."""

    modality: list[str] = Field(min_length=1)
    body_part: list[str] = Field(min_length=1)
    view: list[str] = Field(min_length=1)
    minimum_rows: int = Field(default=1, ge=1)
    minimum_columns: int = Field(default=1, ge=1)
    minimum_age_years: int = Field(default=0, ge=0, le=130)


class ReportSection(_Section):
    """``[report]``: the imaging procedure that the report is about (TID 1500)."""

    procedure: CodeSection


class PrepareSection(_Section):
    """``[prepare]``: see ``inference.pixels.Preparation``."""

    rows: int = Field(ge=8, le=4096)
    columns: int = Field(ge=8, le=4096)
    channels: Literal[1, 3]
    low_percentile: float = Field(default=1.0, ge=0, lt=50)
    high_percentile: float = Field(default=99.0, gt=50, le=100)
    mean: float = 0.5
    std: float = Field(default=0.5, gt=0)


class RuntimeSection(_Section):
    """``[runtime]``: name of the graph's input, and how many images one run may take."""

    input: str = Field(min_length=1)
    batch: int = Field(default=1, ge=1, le=1024)


class ClassSection(_Section):
    """``[[classification.class]]``: one class, in the order of the output's columns."""

    label: str = Field(min_length=1, max_length=64)
    code: CodeSection
    normal: bool = False


class ClassificationSection(_Section):
    """``[classification]``: the output and the operating point."""

    output: str = Field(min_length=1)
    activation: str | None = None
    threshold: float = Field(gt=0, lt=1)
    indeterminate: tuple[float, float] | None = None
    operating_point: str = Field(min_length=1)
    classes: list[ClassSection] = Field(alias="class", min_length=2)

    @model_validator(mode="after")
    def _consistent(self) -> ClassificationSection:
        if sum(each.normal for each in self.classes) != 1:
            raise ValueError("exactly one class must have normal = true")
        if self.indeterminate is not None:
            low, high = self.indeterminate
            if not 0 <= low <= self.threshold <= high <= 1:
                raise ValueError("indeterminate must be [low, high] around the threshold, in 0..1")
        return self


class Manifest(_Section):
    """``model.toml``."""

    model: ModelSection
    accepts: AcceptsSection
    report: ReportSection
    prepare: PrepareSection
    runtime: RuntimeSection
    classification: ClassificationSection
    training: dict[str, Any] = {}


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
