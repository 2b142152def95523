"""What a model found, as frozen values that cannot be built wrong.

The inference room fills these; the builders in this room turn them into DICOM objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

_SH_LIMIT = 16  # PS3.5 section 6.2, VR SH: Code Value
_LO_LIMIT = 64  # PS3.5 section 6.2, VR LO: Code Meaning


class FindingError(ValueError):
    """A finding that no DICOM object could carry; the message names the field."""


class Normality(Enum):
    """The answer of a screening model for one image."""

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
        for field in ("name", "version", "manufacturer", "title"):
            if not 0 < len(getattr(self, field)) <= _LO_LIMIT:
                raise FindingError(f"algorithm {field} must have 1 to {_LO_LIMIT} characters")


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
class Decision:
    """What the model says about one image at its operating point.

    Attributes
    ----------
    normality
        Normal, abnormal, or indeterminate.
    abnormal_probability
        Probability that the image is not normal, 0..1.
    threshold
        Operating point: from this ``abnormal_probability`` on the image is called abnormal.
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
    """What one model says about one image.

    Attributes
    ----------
    sop_instance_uid
        The image that was read.
    decision
        The answer at the operating point.
    probabilities
        One per class, in the manifest's order, summing to about 1; at least two.
    scores
        Severity or other scales, possibly empty.
    heatmap
        Activation for the leading class, float32, shape (h, w), values 0..1, where the
        map's edges are the edges of the source image's pixel matrix; None if the model
        explains nothing.
    """

    sop_instance_uid: str
    decision: Decision
    probabilities: tuple[Probability, ...]
    scores: tuple[Score, ...] = ()
    heatmap: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if len(self.probabilities) < 2:
            raise FindingError("an image reading needs the probabilities of at least two classes")
        if self.heatmap is not None and (self.heatmap.ndim != 2 or self.heatmap.size == 0):
            raise FindingError(f"heat map has shape {self.heatmap.shape}, must be (h, w)")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one model says about one study: one entry per image that it read, at least one.

    Attributes
    ----------
    algorithm
        Who said it.
    procedure
        The imaging procedure reported (TID 1500 row 9), e.g. (43468-8, LN, "XR unspecified body
        region Views").
    images
        In the order of acquisition.
    """

    algorithm: Algorithm
    procedure: Code
    images: tuple[ImageReading, ...]

    def __post_init__(self) -> None:
        checked_code(self.procedure)
        if not self.images:
            raise FindingError("a reading needs at least one image")
        if len({image.sop_instance_uid for image in self.images}) < len(self.images):
            raise FindingError("a reading has at most one entry per image")
