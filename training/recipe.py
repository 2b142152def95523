"""The recipe: what to train, on which images, and what the package will say; a TOML file.

``[package]``, ``[accepts]``, ``[series]``, ``[report]``, ``[prepare]``, ``[urgency]`` and
``[translations]`` are the manifest's own sections and are copied into it. docs/training.md
describes the others.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.manifest import (
    AcceptsSection,
    ClassSection,
    CodeSection,
    PrepareSection,
    ReportSection,
    SeriesSection,
    Translations,
    UrgencySection,
    check_translations,
)
from inference.pixels import Preparation
from training.errors import RecipeError

TRAIN, VAL, TEST = "train", "val", "test"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackageSection(_Section):
    """``[package]``: the manifest's ``[model]`` without what training finds out."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")
    title: str = Field(min_length=1, max_length=64)
    manufacturer: str = Field(min_length=1, max_length=64)
    intended_use: str = Field(min_length=1)
    licence: str = Field(min_length=1)


# Column name -> the values of it that are meant.
Where = dict[str, list[str]]


class ColumnsSection(_Section):
    """``[data.columns]``: which column of the file holds what; a column may be missing."""

    image: str = "file"
    label: str = "class"
    group: str = "group_id"
    split: str = "split"
    fold: str = "fold"
    source: str = "source"
    view: str = "view"
    sex: str = "sex"
    age: str = "age"
    series: str = ""
    order: str = ""


class UnsureSection(_Section):
    """``[[data.unsure]]``: labels that are wrong now and then, and how often.

    ``weight`` is how often such images are drawn relative to the others of the collection.
    """

    where: Where
    label: str
    wrong: float = Field(gt=0, lt=0.5)
    weight: float = Field(default=1.0, gt=0)


class DataSection(_Section):
    """``[[data]]``: one collection, from a CSV file or a folder per class.

    Attributes
    ----------
    name
        For ``[[question]]`` and the figures per collection.
    files, folder
        A CSV file with a row per image, or a folder that holds one folder per class; relative to
        ``--data``. A CSV file names images relative to itself.
    where
        Rows to take; all if empty.
    values
        Value of the label column, or name of the class's folder -> label of the class, or a
        probability of each class by label.
    unsure
        Rows whose label is softened.
    screens, kinds
        Rows that teach to tell normal from abnormal, and rows that teach to tell the abnormal
        classes apart; all if empty. What comes from one source only must be told apart within
        that source, or the source is learned instead.
    weight
        How often its images are drawn relative to other collections.
    """

    name: str = Field(min_length=1)
    files: str = ""
    folder: str = ""
    where: Where = {}
    columns: ColumnsSection = ColumnsSection()
    values: dict[str, str | dict[str, float]]
    unsure: list[UnsureSection] = []
    screens: Where = {}
    kinds: Where = {}
    weight: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> DataSection:
        if bool(self.files) == bool(self.folder):
            raise ValueError("state either files or folder")
        return self


class SplitSection(_Section):
    """``[split]``: which values of the split column mean what.

    Where there is no such column, patients are dealt out by a hash of their identifier:
    ``fractions`` for training, validation and test. Any other value is kept for ``[[question]]``.
    A series model is cross-validated and then trained on everything; where there is no column of
    folds, patients are dealt out to so many ``folds``.
    """

    train: list[str] = [TRAIN]
    val: list[str] = [VAL]
    test: list[str] = [TEST]
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    folds: int = Field(default=0, ge=0, le=20)

    @model_validator(mode="after")
    def _consistent(self) -> SplitSection:
        if min(self.fractions) < 0 or sum(self.fractions) <= 0:
            raise ValueError("fractions must not be negative, nor all zero")
        return self


class NetworkSection(_Section):
    """``[network]``: the backbone and how much of it learns."""

    backbone: str
    side: int = Field(default=224, ge=64, le=1024, multiple_of=32)
    frozen: int = Field(default=4, ge=0, le=17)
    dropout: float = Field(default=0.3, ge=0, lt=1)


class RegionSection(_Section):
    """``[region]``: a network that finds the region to look at, trained first from masks.

    ``blacken`` is the part of its training pictures that are black outside the region, so that it
    also finds a region that somebody has cut out.
    """

    files: str
    where: Where = {}
    mask: str = "mask"
    epochs: int = Field(default=24, ge=1)
    blacken: float = Field(default=0.0, ge=0, le=1)
    side: int = Field(default=160, ge=32, le=512, multiple_of=32)


class FitSection(_Section):
    """``[fit]``: how long and how fast to learn.

    ``kinds`` is the weight of telling the abnormal classes apart; ``members`` is how many networks
    of different seeds a series model averages.
    """

    epochs: int = Field(default=12, ge=0)
    patience: int = Field(default=5, ge=1)
    draws: int = Field(default=1500, ge=1)
    batch: int = Field(default=24, ge=1)
    rate: float = Field(default=1.5e-4, gt=0)
    head_rate: float = Field(default=1.5e-3, gt=0)
    decay: float = Field(default=0.02, ge=0)
    averaging: float = Field(default=0.98, ge=0, lt=1)
    focal: float = Field(default=0.0, ge=0, le=5)
    kinds: float = Field(default=0.5, ge=0)
    members: int = Field(default=1, ge=1, le=10)
    seed: int = 20


class AugmentSection(_Section):
    """``[augment]``: random changes; degrees, parts of the size, parts of the grey range."""

    rotate_degrees: float = Field(default=15.0, ge=0, le=180)
    scale: float = Field(default=0.12, ge=0, le=0.5)
    stretch: float = Field(default=0.08, ge=0, le=0.5)
    shift: float = Field(default=0.06, ge=0, le=0.5)
    mirror: bool = False
    gamma: float = Field(default=0.3, ge=0, le=1)
    sharpen: float = Field(default=0.0, ge=0, le=2)
    contrast: float = Field(default=0.2, ge=0, le=1)
    brightness: float = Field(default=0.06, ge=0, le=0.5)
    noise: float = Field(default=0.04, ge=0, le=0.5)
    soften: float = Field(default=0.5, ge=0, le=1)
    erase: float = Field(default=0.35, ge=0, le=1)


class PointSection(_Section):
    """``[operating_point]``: what the threshold is chosen for, on validation."""

    sensitivity: float = Field(default=0.95, gt=0, le=1)
    specificity: float = Field(default=0.90, gt=0, le=1)
    indeterminate: bool = True


class RecipeScore(_Section):
    """``[[score]]``: a value per image on a named scale, from a CSV file of its own.

    Images that bear a score are left out of every other training, with all of their patients'
    images, so that the score's cross-validation over ``fold`` is honest.
    """

    files: str
    column: str
    image: str = "file"
    group: str = "group_id"
    fold: str = "fold"
    code: CodeSection
    lowest: float
    highest: float
    when: Literal["always", "abnormal"] = "abnormal"

    @model_validator(mode="after")
    def _consistent(self) -> RecipeScore:
        if not self.lowest < self.highest:
            raise ValueError("lowest must be below highest")
        return self


class QuestionSection(_Section):
    """``[[question]]``: one more test, a yes-or-no question about some of the images.

    ``where`` chooses images by column, ``yes`` those among them whose answer is yes; with no
    ``yes`` it asks how often they are called abnormal. ``score`` is ``"abnormal"`` or the label
    of a class. Images of patients that were trained on are always left out.
    """

    title: str = Field(min_length=1)
    data: str
    where: Where = {}
    yes: Where = {}
    score: str = "abnormal"
    reference: str = ""


class CardSection(_Section):
    """``[card]``: what the card must say and no figure can; Markdown."""

    purpose: str = Field(min_length=1)
    method: str = Field(min_length=1)
    data: str = Field(min_length=1)
    confounders: str = Field(min_length=1)
    not_concluded: str = Field(min_length=1)


class Recipe(_Section):
    """A whole recipe."""

    package: PackageSection
    accepts: AcceptsSection
    series: SeriesSection | None = None
    report: ReportSection
    prepare: PrepareSection
    urgency: UrgencySection | None = None
    translations: Translations = {}
    network: NetworkSection
    region: RegionSection | None = None
    classes: list[ClassSection] = Field(alias="class", min_length=2)
    data: list[DataSection] = Field(min_length=1)
    split: SplitSection = SplitSection()
    fit: FitSection = FitSection()
    augment: AugmentSection = AugmentSection()
    operating_point: PointSection = PointSection()
    scores: list[RecipeScore] = Field(default=[], alias="score")
    questions: list[QuestionSection] = Field(default=[], alias="question")
    card: CardSection

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if sum(each.normal for each in self.classes) != 1 or not self.classes[0].normal:
            raise ValueError("the first class, and no other, must have normal = true")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("two [[class]] bear one label")
        if self.prepare.rows != self.prepare.columns:
            raise ValueError("prepare.rows and prepare.columns must be equal to train")
        if self.series and (self.region or self.scores or len(self.classes) != 2):
            raise ValueError("a series recipe has two classes, no [region] and no [[score]]")
        if self.series and self.prepare.window is None:
            raise ValueError("a series recipe needs prepare.window")
        if len({each.name for each in self.data}) < len(self.data):
            raise ValueError("two [[data]] bear one name")
        check_translations(self.translations, self._texts)
        for section in self.data:
            self._check_data(section)
        for question in self.questions:
            self._check_question(question)
        return self

    def _check_data(self, section: DataSection) -> None:
        for value, meant in section.values.items():
            named = {meant} if isinstance(meant, str) else set(meant)
            if not named <= set(self.labels):
                raise ValueError(f"data {section.name}: value {value!r} names no class")
            shares = [1.0] if isinstance(meant, str) else list(meant.values())
            if not shares or min(shares) < 0 or sum(shares) <= 0:
                raise ValueError(f"data {section.name}: value {value!r} has no probabilities")
        for doubt in section.unsure:
            if doubt.label not in self.labels:
                raise ValueError(f"data {section.name}: unsure label {doubt.label!r} is no class")
        listed = section.files and section.columns.series and section.columns.order
        if self.series and not listed:
            raise ValueError(f"data {section.name}: a series needs files, columns series and order")

    def _check_question(self, question: QuestionSection) -> None:
        if question.data not in {each.name for each in self.data}:
            raise ValueError(f"question {question.title!r}: no data {question.data!r}")
        if question.score not in ("abnormal", *self.labels):
            raise ValueError(f"question {question.title!r}: no class {question.score!r}")

    @property
    def _texts(self) -> list[str]:
        """What the manifest will say to people."""
        texts = [self.package.title, self.report.procedure.meaning, *self.labels]
        texts += [each.code.meaning for each in self.scores]
        if self.urgency is not None:
            texts += [self.urgency.urgent, self.urgency.routine, self.urgency.undecided]
        return texts

    @property
    def labels(self) -> list[str]:
        """Labels of the classes, the normal one first."""
        return [each.label for each in self.classes]

    @property
    def preparation(self) -> Preparation:
        """How pictures become input."""
        return Preparation(**self.prepare.model_dump())


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        The file cannot be read, is no TOML, or a key is missing, unknown or out of range.
    """
    try:
        return Recipe(**tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        problems = (
            ": ".join(filter(None, (str(path), ".".join(map(str, each["loc"])), each["msg"])))
            for each in error.errors()
        )
        raise RecipeError("\n".join(problems)) from error


# What a network does not depend on.
_TOLD = {
    "package",
    "accepts",
    "report",
    "urgency",
    "translations",
    "questions",
    "card",
    "operating_point",
    "scores",
}


def digest(recipe: Recipe, *parts: Any) -> str:
    """Name a network by all of the recipe that it depends on, and ``parts``, in hexadecimal."""
    trained = recipe.model_dump_json(exclude=_TOLD)
    return hashlib.sha256(f"{trained}{parts!r}".encode()).hexdigest()[:16]
