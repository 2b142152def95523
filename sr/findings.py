"""What a model found, as frozen values that cannot be built wrong.

The inference room fills these; the builders in this room turn them into DICOM objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from sr.reasons import Reason

_SH_LIMIT = 16  # PS3.5 section 6.2, VR SH: Code Value
_LO_LIMIT = 64  # PS3.5 section 6.2, VR LO: Code Meaning


class FindingError(ValueError):
    """A finding that no DICOM object could carry; the message names the field."""


class Normality(Enum):
    """The answer of a screening model for one image or one study."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"
    INDETERMINATE = "indeterminate"


def checked_code(code: Code) -> Code:
    """Return ``code`` unchanged if its value and meaning fit their value representations.

    Raises
    ------
    FindingError
        The code value is empty or over 16 characters, or the meaning is empty or over 64.
    """
    if not 0 < len(code.value) <= _SH_LIMIT:
        raise FindingError(f"code value {code.value!r} must have 1 to {_SH_LIMIT} characters")
    if not 0 < len(code.meaning) <= _LO_LIMIT:
        raise FindingError(f"code meaning {code.meaning!r} must have 1 to {_LO_LIMIT} characters")
    return code


def _check_unit_interval(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise FindingError(f"{name} is {value}, must lie in 0..1")


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """The model package that made a reading.

    Attributes
    ----------
    name, version, manufacturer
        As in the package's manifest; each 1 to 64 characters.
    title
        The name shown to people, e.g. ``"Chest radiograph screening"``.
    """

    name: str
    version: str
    manufacturer: str
    title: str

    def __post_init__(self) -> None:
        for name in ("name", "version", "manufacturer", "title"):
            if not 0 < len(getattr(self, name)) <= _LO_LIMIT:
                raise FindingError(f"algorithm {name} must have 1 to {_LO_LIMIT} characters")


@dataclass(frozen=True, kw_only=True)
class Probability:
    """The calibrated probability of one class, 0..1, with the class as a coded concept."""

    finding: Code
    label: str
    value: float

    def __post_init__(self) -> None:
        checked_code(self.finding)
        _check_unit_interval(f"probability of {self.label}", self.value)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A value on a named scale, e.g. geographic extent 0..8."""

    name: Code
    value: float
    lowest: float
    highest: float

    def __post_init__(self) -> None:
        checked_code(self.name)
        if not self.lowest <= self.value <= self.highest:
            raise FindingError(
                f"score {self.name.meaning} is {self.value}, "
                f"must lie in {self.lowest}..{self.highest}"
            )


@dataclass(frozen=True, kw_only=True)
class Grade:
    """A level on an ordinal scale, e.g. diabetic retinopathy 0..4.

    Attributes
    ----------
    name
        The scale.
    levels
        Every level with its probability, the lowest first; at least two.
    level
        Index of the level that the model says.
    """

    name: Code
    levels: tuple[Probability, ...]
    level: int

    def __post_init__(self) -> None:
        checked_code(self.name)
        if len(self.levels) < 2:
            raise FindingError(f"grade {self.name.meaning} needs at least two levels")
        if not 0 <= self.level < len(self.levels):
            raise FindingError(f"grade {self.name.meaning} has no level {self.level}")

    @property
    def stated(self) -> Probability:
        """The level that the model says."""
        return self.levels[self.level]


@dataclass(frozen=True, kw_only=True)
class Region:
    """A box around one finding, e.g. a mass in a mammogram.

    Attributes
    ----------
    finding
        What is inside, with its probability.
    left, top, right, bottom
        Edges of the box in pixels of the source image, where 0, 0 is the outer corner of its
        first pixel and columns, rows the outer corner of its last (as SCOORD, PS3.3 C.18.6).
    """

    finding: Probability
    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.left < self.right and 0.0 <= self.top < self.bottom):
            raise FindingError(f"the box of {self.finding.label} is empty or outside the image")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The pixels that one finding covers, e.g. a lesion.

    Attributes
    ----------
    finding, label
        What is covered.
    mask
        bool, shape (h, w); the mask's edges are the edges of the source image's pixel matrix.
    """

    finding: Code
    label: str
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        checked_code(self.finding)
        if self.mask.ndim != 2 or self.mask.size == 0 or self.mask.dtype != np.bool_:
            raise FindingError(f"the mask of {self.label} must be bool, (h, w)")

    @property
    def share(self) -> float:
        """Covered part of the image, 0..1."""
        return float(self.mask.mean())


@dataclass(frozen=True, kw_only=True)
class Urgency:
    """Whether a study can wait, as the model's manifest rules.

    Attributes
    ----------
    urgent
        True or False; None where the model could not decide.
    category
        If urgent, the ACR category of actionable findings, 1 (minutes) to 3 (days); PS3.16
        CID 7035. None otherwise.
    statement
        The rule's own words for this answer, e.g. ``"Urgent: red or black triage tag."``.
    """

    urgent: bool | None
    category: int | None
    statement: str

    def __post_init__(self) -> None:
        if (self.category is not None) != (self.urgent is True):
            raise FindingError("an urgent study has a category, any other has none")
        if self.category is not None and self.category not in (1, 2, 3):
            raise FindingError(f"category of urgency is {self.category}, must be 1, 2 or 3")
        if not self.statement:
            raise FindingError("an urgency needs a statement")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the model says about one image or study at its operating point.

    Attributes
    ----------
    normality
        Normal, abnormal, or indeterminate.
    abnormal_probability
        Probability that image or study is not normal, 0..1.
    threshold
        Operating point: from this ``abnormal_probability`` on it is called abnormal.
    leading
        For a normal image the normal class, else the most probable abnormal class.
    band
        Between these abnormal probabilities the answer is indeterminate, whatever the threshold
        says; None if the model always decides.
    """

    normality: Normality
    abnormal_probability: float
    threshold: float
    leading: Probability
    band: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check_unit_interval("abnormal probability", self.abnormal_probability)
        _check_unit_interval("threshold", self.threshold)


@dataclass(frozen=True, kw_only=True)
class ImageReading:
    """What one model says about one image; at least one of its parts is there.

    Attributes
    ----------
    sop_instance_uid
        The image that was read.
    decision
        The answer at the operating point; None where the model only measures, or answers for the
        study as a whole.
    probabilities
        One per class, in the manifest's order; those of a classification sum to about 1. For a
        slice of a series: the probability of the finding on this slice.
    scores, grades, regions, segments
        What the model's other outputs say, possibly empty.
    heatmap
        Activation for the leading class, float32, shape (h, w), values 0..1, where the
        map's edges are the edges of the source image's pixel matrix; None if the model
        explains nothing.
    """

    sop_instance_uid: str
    decision: Decision | None = None
    probabilities: tuple[Probability, ...] = ()
    scores: tuple[Score, ...] = ()
    grades: tuple[Grade, ...] = ()
    regions: tuple[Region, ...] = ()
    segments: tuple[Segment, ...] = ()
    heatmap: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        measured = (self.probabilities, self.scores, self.grades, self.regions, self.segments)
        if self.decision is None and not any(measured):
            raise FindingError("an image reading must say something")
        if self.heatmap is not None and (self.heatmap.ndim != 2 or self.heatmap.size == 0):
            raise FindingError(f"heat map has shape {self.heatmap.shape}, must be (h, w)")


@dataclass(frozen=True, kw_only=True)
class StudyAnswer:
    """What a model that reads a whole series says about the study.

    Attributes
    ----------
    decision
        The answer at the operating point.
    probabilities
        One per class, in the manifest's order.
    images_read
        How many source images the answer stands on.
    suspicious
        SOP Instance UIDs of the images with the highest probability of the finding, the highest
        first; each has an entry in ``Reading.images``. Empty for a normal study.
    """

    decision: Decision
    probabilities: tuple[Probability, ...]
    images_read: int
    suspicious: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images_read < 1:
            raise FindingError("a study answer stands on at least one image")

    def finding_on(self, image: ImageReading) -> float | None:
        """Return the probability of the study's leading finding on one image, if it was told."""
        leading = self.decision.leading.finding
        found = (each.value for each in image.probabilities if each.finding == leading)
        return next(found, None)


@dataclass(frozen=True, kw_only=True)
class NotAssessed:
    """Images of a study that a model did not read, and why."""

    images: int
    reason: Reason

    def __post_init__(self) -> None:
        if self.images < 1:
            raise FindingError("what was not assessed has at least one image")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one model says about one study: one entry per image that it shows, at least one.

    Attributes
    ----------
    algorithm
        Who said it.
    procedure
        The imaging procedure reported (TID 1500 row 9), e.g. (43468-8, LN, "XR unspecified body
        region Views").
    images
        In the order of acquisition. A model that reads image by image has one entry for each; one
        that reads a series has entries for the slices worth looking at.
    study
        The answer for the study as a whole, from a model that reads a series.
    urgency
        Whether the study can wait, if the model's manifest has a rule for it.
    assessed
        What the model looks for, as labels: nothing else was assessed.
    not_assessed
        What of the study was not read.
    translations
        By language: what the model's own texts (labels, titles, statements) read in it.
    """

    algorithm: Algorithm
    procedure: Code
    images: tuple[ImageReading, ...]
    study: StudyAnswer | None = None
    urgency: Urgency | None = None
    assessed: tuple[str, ...] = ()
    not_assessed: tuple[NotAssessed, ...] = ()
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_code(self.procedure)
        if not self.images:
            raise FindingError("a reading needs at least one image")
        uids = {image.sop_instance_uid for image in self.images}
        if len(uids) < len(self.images):
            raise FindingError("a reading has at most one entry per image")
        if self.study is not None and not uids.issuperset(self.study.suspicious):
            raise FindingError("each suspicious image needs an entry of its own")

    @property
    def is_of_study(self) -> bool:
        """Whether it says something about the study as a whole, beside its images."""
        return self.study is not None or self.urgency is not None

    def decision_on(self, image: ImageReading) -> Decision | None:
        """Return what was decided on an image: its own answer, else that on its study."""
        if image.decision is None and self.study is not None:
            return self.study.decision
        return image.decision

    @property
    def is_negative(self) -> bool:
        """Whether the model decided, and called everything normal."""
        decisions = [self.study.decision] if self.study is not None else []
        decisions += [each.decision for each in self.images if each.decision is not None]
        urgent = self.urgency is not None and self.urgency.urgent is not False
        normal = all(each.normality is Normality.NORMAL for each in decisions)
        return bool(decisions) and normal and not urgent

    def is_flagged(self, image: ImageReading) -> bool:
        """Whether an image is worth looking at: not called normal, or with something marked on it.

        Of a series read as a whole those are the images that the study's answer names.
        """
        decision = image.decision
        return (
            (decision is not None and decision.normality is not Normality.NORMAL)
            or (self.study is not None and image.sop_instance_uid in self.study.suspicious)
            or bool(image.regions)
            or any(each.mask.any() for each in image.segments)
        )

    def numbered_regions(self, image: ImageReading) -> list[tuple[int, Region]]:
        """Return the boxes of an image with their numbers, which count through all images."""
        before = 0
        for each in self.images:
            if each.sop_instance_uid == image.sop_instance_uid:
                break
            before += len(each.regions)
        return list(enumerate(image.regions, start=before + 1))
