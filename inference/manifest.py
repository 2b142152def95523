"""The manifest of a model package, ``model.toml``.

It holds all that the node must know of a model; nothing about a model stands in code.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydicom.sr.coding import Code

from sr.style import LANGUAGES


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
    view: list[str] = []  # empty: any, as for modalities that have no views
    minimum_rows: int = Field(default=1, ge=1)
    minimum_columns: int = Field(default=1, ge=1)
    minimum_age_years: int = Field(default=0, ge=0, le=130)


class SeriesSection(_Section):
    """``[series]``: the model reads one axial series as a whole, in anatomical order.

    The graph's first axis is then the slice, caudal to cranial, and ``[classification] output``
    has one row for the study. Numbers of slices are those that the model sees: at ``spacing_mm``,
    where that is given.
    """

    minimum_slices: int = Field(ge=2, le=4096)
    maximum_slices: int = Field(default=128, ge=2, le=4096)
    spacing_mm: float | None = Field(default=None, gt=0, le=50)
    minimum_coverage_mm: float = Field(default=0, ge=0)  # centre of the first to that of the last
    kernel: Literal["soft", "any"] = "soft"  # soft: a series for bone or lung alone is not read
    contrast: bool = True  # false: a series with contrast agent is not read
    shown_slices: int = Field(default=3, ge=1, le=16)

    @model_validator(mode="after")
    def _consistent(self) -> SeriesSection:
        if self.maximum_slices < self.minimum_slices:
            raise ValueError("maximum_slices must not be below minimum_slices")
        return self


class ReportSection(_Section):
    """``[report]``: the imaging procedure that the report is about (TID 1500)."""

    procedure: CodeSection


class PrepareSection(_Section):
    """``[prepare]``: see ``inference.pixels.Preparation``."""

    rows: int = Field(ge=8, le=4096)
    columns: int = Field(ge=8, le=4096)
    channels: Literal[1, 3]
    window: tuple[float, float] | None = None  # centre and width, in units of the modality LUT
    crop: Literal["none", "head"] = "none"
    low_percentile: float = Field(default=1.0, ge=0, lt=50)
    high_percentile: float = Field(default=99.0, gt=50, le=100)
    mean: float = 0.5
    std: float = Field(default=0.5, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> PrepareSection:
        if self.window is not None and self.window[1] <= 1:
            raise ValueError("window must be [centre, width] with a width above 1")
        stretched = {"low_percentile", "high_percentile"} & self.model_fields_set
        if self.window is not None and stretched:
            raise ValueError("a window leaves no percentiles to stretch between; state one of them")
        return self


class RuntimeSection(_Section):
    """``[runtime]``: name of the graph's input, and how many images one run may take."""

    input: str = Field(min_length=1)
    batch: int = Field(default=1, ge=1, le=1024)


class ClassSection(_Section):
    """``[[classification.class]]``: one class, in the order of the output's columns."""

    label: str = Field(min_length=1, max_length=64)
    code: CodeSection
    normal: bool = False


def _check_band(threshold: float, band: tuple[float, float] | None) -> None:
    if band is not None and not 0 <= band[0] <= threshold <= band[1] <= 1:
        raise ValueError("indeterminate must be [low, high] around the threshold, in 0..1")


class ClassificationSection(_Section):
    """``[classification]``: probabilities of classes, and the operating point.

    ``output`` is (images, classes), for a series (1, classes); ``slice_output`` is
    (slices, classes); ``activation`` is (images or slices, classes, h, w).
    """

    output: str = Field(min_length=1)
    slice_output: str | None = None
    activation: str | None = None
    threshold: float = Field(gt=0, lt=1)
    indeterminate: tuple[float, float] | None = None
    operating_point: str = Field(min_length=1)
    classes: list[ClassSection] = Field(alias="class", min_length=2)

    @model_validator(mode="after")
    def _consistent(self) -> ClassificationSection:
        if sum(each.normal for each in self.classes) != 1:
            raise ValueError("exactly one class must have normal = true")
        _check_band(self.threshold, self.indeterminate)
        return self


class ScoreSection(_Section):
    """``[[score]]``: a value on a named scale; ``output`` is (images,) or (images, 1)."""

    output: str = Field(min_length=1)
    code: CodeSection
    lowest: float
    highest: float
    when: Literal["always", "abnormal"] = "always"

    @model_validator(mode="after")
    def _consistent(self) -> ScoreSection:
        if not self.lowest < self.highest:
            raise ValueError("lowest must be below highest")
        return self


class LevelSection(_Section):
    """``[[grade.level]]``: one level of an ordinal scale, the lowest first."""

    label: str = Field(min_length=1, max_length=64)
    code: CodeSection


class GradeSection(_Section):
    """``[[grade]]``: an ordinal scale; ``output`` is (images, levels), probabilities.

    ``abnormal_from`` is the index of the first level that is not normal; the probability of that
    level and those above it is compared with ``threshold``. It decides where there is no
    classification.
    """

    output: str = Field(min_length=1)
    code: CodeSection
    levels: list[LevelSection] = Field(alias="level", min_length=2)
    abnormal_from: int | None = Field(default=None, ge=1)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    indeterminate: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> GradeSection:
        if self.abnormal_from is not None and self.abnormal_from >= len(self.levels):
            raise ValueError("abnormal_from must be the index of a level")
        _check_band(self.threshold, self.indeterminate)
        return self


class DetectionSection(_Section):
    """``[detection]``: boxes.

    ``boxes`` is (images, n, 4): left, top, right, bottom in pixels of the input tensor;
    ``scores`` is (images, n), probabilities, 0 for an unused row; ``labels`` is (images, n), the
    index of the class, and may be left out where there is one class. It decides where neither
    classification nor grade does: abnormal if a box reaches ``threshold``.
    """

    boxes: str = Field(min_length=1)
    scores: str = Field(min_length=1)
    labels: str | None = None
    threshold: float = Field(gt=0, lt=1)
    overlap: float = Field(default=0.5, gt=0, le=1)  # of two boxes of a class, the weaker goes
    maximum: int = Field(default=20, ge=1, le=200)
    operating_point: str = Field(min_length=1)
    classes: list[LevelSection] = Field(alias="class", min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> DetectionSection:
        if len(self.classes) > 1 and self.labels is None:
            raise ValueError("labels must name an output where there are several classes")
        return self


class SegmentationSection(_Section):
    """``[segmentation]``: masks; ``output`` is (images, classes, h, w), probabilities.

    A mask that covers less than ``minimum_share`` of the picture is not reported.
    """

    output: str = Field(min_length=1)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    minimum_share: float = Field(default=0.0, ge=0, lt=1)
    classes: list[LevelSection] = Field(alias="class", min_length=1)


class UrgencySection(_Section):
    """``[urgency]``: which studies cannot wait.

    A study is urgent if an answer is abnormal with at least ``threshold`` (the operating point
    where that is left out). ``category`` is the ACR category of actionable findings, PS3.16
    CID 7035. The texts are what results say.
    """

    threshold: float | None = Field(default=None, gt=0, lt=1)
    category: Literal[1, 2, 3]
    urgent: str = Field(min_length=1, max_length=256)
    routine: str = Field(min_length=1, max_length=256)
    undecided: str = Field(min_length=1, max_length=256)


_OWN = "en"  # what manifests are written in
Translations = dict[str, dict[str, Annotated[str, Field(min_length=1, max_length=256)]]]
"""``[translations.LANGUAGE]``: what a text of the manifest reads in another language."""


def check_translations(translations: Translations, texts: Collection[str]) -> None:
    """Check that translations are of ``texts``, into languages that results can be in.

    Raises
    ------
    ValueError
        A language or a text is not known.
    """
    others = [each for each in LANGUAGES if each != _OWN]
    for language, translated in translations.items():
        if language not in others:
            raise ValueError(f"translations.{language}: must be {' or '.join(others)}")
        for text in translated:
            if text not in texts:
                raise ValueError(f"translations.{language}: nothing here reads {text!r}")


class Manifest(_Section):
    """``model.toml``."""

    model: ModelSection
    accepts: AcceptsSection
    report: ReportSection
    prepare: PrepareSection
    runtime: RuntimeSection
    series: SeriesSection | None = None
    classification: ClassificationSection | None = None
    scores: list[ScoreSection] = Field(default=[], alias="score")
    grades: list[GradeSection] = Field(default=[], alias="grade")
    detection: DetectionSection | None = None
    segmentation: SegmentationSection | None = None
    urgency: UrgencySection | None = None
    translations: Translations = {}
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        images = (self.scores, self.grades, self.detection, self.segmentation)
        if self.classification is None and not any(images):
            raise ValueError(
                "at least one of [classification], [[score]], [[grade]], [detection] and "
                "[segmentation] must be there"
            )
        sliced = self.classification is not None and self.classification.slice_output is not None
        if self.series is not None and (not sliced or any(images)):
            raise ValueError("a series needs [classification] with slice_output, and nothing else")
        if self.series is not None and self.prepare.window is None:
            raise ValueError("a series needs [prepare] window, or its slices would not be alike")
        if self.series is None and sliced:
            raise ValueError("slice_output needs a [series] section")
        if self.urgency is not None and not self.decides:
            raise ValueError("[urgency] needs an output that decides")
        if not self.decides and any(each.when == "abnormal" for each in self.scores):
            raise ValueError('when = "abnormal" needs an output that decides')
        check_translations(self.translations, self.texts)
        return self

    @property
    def decides(self) -> bool:
        """Whether an output calls images normal or abnormal."""
        graded = any(each.abnormal_from is not None for each in self.grades)
        return self.classification is not None or graded or self.detection is not None

    @property
    def texts(self) -> frozenset[str]:
        """What the manifest says to people and results repeat."""
        texts = [self.model.title, self.report.procedure.meaning]
        if self.classification is not None:
            texts += [each.label for each in self.classification.classes]
        texts += [each.code.meaning for each in self.scores]
        for grade in self.grades:
            texts += [grade.code.meaning, *(each.label for each in grade.levels)]
        for section in (self.detection, self.segmentation):
            texts += [each.label for each in section.classes] if section else []
        if self.urgency is not None:
            texts += [self.urgency.urgent, self.urgency.routine, self.urgency.undecided]
        return frozenset(texts)

    @property
    def assessed(self) -> tuple[str, ...]:
        """What the model looks for: its classes but the normal one, and its scales."""
        labels: list[str] = []
        if self.classification is not None:
            labels += [each.label for each in self.classification.classes if not each.normal]
        for section in (self.detection, self.segmentation):
            labels += [each.label for each in section.classes] if section else []
        labels += [each.code.meaning for each in self.scores]
        labels += [each.code.meaning for each in self.grades]
        return tuple(dict.fromkeys(labels))
