"""Which series of a study a model reads, and why not the others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from inference.geometry import Stack, Unfit, cuts, stack_of
from inference.kernels import Kernel, kernel_of
from inference.manifest import SeriesSection
from inference.pixels import hounsfield_problem
from sr.findings import NotAssessed
from sr.reasons import Reason

ELEMENTS = [
    "SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SliceThickness", "ConvolutionKernel", "ContrastBolusAgent", "ContrastBolusAgentSequence",
    "RescaleSlope", "RescaleIntercept", "RescaleType",
]  # fmt: skip

# Image Type (0008,0008), from value 3 on: projections and computed maps, which look like slices.
_NO_SLICES = frozenset(
    ["MIP", "MINIP", "PROJECTION", "VRT", "SSD", "IODINE", "PERFUSION", "CBF", "CBV", "MTT", "TTP"]
)  # fmt: skip
# What consoles write into Contrast/Bolus Agent (0018,0010) when there was none.
_NO_AGENT = frozenset(["", "NONE", "NO", "N", "NO CONTRAST", "WITHOUT", "W/O"])


@dataclass(frozen=True)
class Chosen:
    """The series that a model reads.

    Attributes
    ----------
    headers
        Its slices, caudal to cranial; empty if no series fits.
    passed_over
        The images of the others, and why they are not read, each reason once.
    """

    headers: tuple[Dataset, ...]
    passed_over: tuple[NotAssessed, ...]


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    headers: Sequence[Dataset]
    stack: Stack
    kernel: Kernel
    contrast: bool


def choose(section: SeriesSection, headers: Sequence[Dataset]) -> Chosen:
    """Choose the series that suits a model best.

    A soft-tissue kernel comes before an unknown one (if the model asks for soft tissue), then a
    series without contrast agent, an original one, the one whose slices are spaced most like the
    model's, and the one with most slices.

    Parameters
    ----------
    section
        The manifest's ``[series]``.
    headers
        Images that fit the manifest's ``[accepts]``, with at least ``ELEMENTS``.
    """
    series: dict[str, list[Dataset]] = {}
    for each in headers:
        series.setdefault(str(each.get("SeriesInstanceUID")), []).append(each)
    fitting: list[_Candidate] = []
    reasons: list[Reason] = []
    for _, slices in sorted(series.items()):
        try:
            fitting.append(_candidate(section, slices))
        except Unfit as unfit:
            reasons += [unfit.reason] * len(slices)
        except Exception as error:  # noqa: BLE001 - elements are parsed here, and may hold anything
            reasons += [malformed(error)] * len(slices)
    best = min(fitting, key=lambda each: _rank(section, each), default=None)
    better = Reason("another series of the study suits the model better")
    for other in fitting:
        if other is not best:
            reasons += [better] * len(other.headers)
    ordered = () if best is None else tuple(best.headers[i] for i in best.stack.order)
    return Chosen(ordered, counted(reasons))


def counted(reasons: Iterable[Reason]) -> tuple[NotAssessed, ...]:
    """Return each reason once, in order, with the number of images that it holds for."""
    return tuple(NotAssessed(images=n, reason=each) for each, n in Counter(reasons).items())


def malformed(error: Exception) -> Reason:
    """Return the reason of an element that cannot be parsed."""
    return Reason("a header element is malformed ({kind})", kind=type(error).__name__)


def _candidate(section: SeriesSection, slices: Sequence[Dataset]) -> _Candidate:
    """Check one series.

    Raises
    ------
    Unfit
        The model cannot read it.
    """
    if len(slices) < section.minimum_slices:
        raise Unfit(_too_few(len(slices), section))
    for each in slices:
        _check_content(each)
    stack = stack_of(slices)
    if stack.coverage < section.minimum_coverage_mm:
        raise Unfit(
            "the slices cover {found} mm, at least {least} mm are needed",
            found=f"{stack.coverage:.0f}",
            least=f"{section.minimum_coverage_mm:.0f}",
        )
    seen = len(cuts(stack, section.spacing_mm))
    if seen < section.minimum_slices:
        raise Unfit(_too_few(seen, section))
    if seen > section.maximum_slices:
        most = section.maximum_slices
        raise Unfit("{found} slices, at most {most} are read", found=seen, most=most)
    kernel = kernel_of(_first(slices[0], "ConvolutionKernel"))
    if kernel is Kernel.SHARP and section.kernel == "soft":
        raise Unfit("the kernel is made for bone or lung, not for soft tissue")
    contrast = any(_has_contrast(each) for each in slices)
    if contrast and not section.contrast:
        raise Unfit("the series is contrast-enhanced")
    return _Candidate(headers=slices, stack=stack, kernel=kernel, contrast=contrast)


def _too_few(count: int, section: SeriesSection) -> Reason:
    least = section.minimum_slices
    return Reason("{found} slices, at least {least} are needed", found=count, least=least)


def _check_content(header: Dataset) -> None:
    if problem := hounsfield_problem(header):
        raise Unfit(problem)
    if _NO_SLICES.intersection(_image_type_words(header)):
        raise Unfit("a projection or computed map is not read")


def _rank(section: SeriesSection, candidate: _Candidate) -> tuple[int, bool, bool, float, int]:
    """What comes first is read."""
    kernel = candidate.kernel.value if section.kernel == "soft" else 0
    derived = any("DERIVED" in _image_type_words(each) for each in candidate.headers)
    distance = 0.0
    if section.spacing_mm is not None:
        distance = round(abs(math.log(candidate.stack.spacing / section.spacing_mm)), 1)
    return kernel, candidate.contrast, derived, distance, -len(candidate.headers)


def _has_contrast(header: Dataset) -> bool:
    agent = _first(header, "ContrastBolusAgent").strip().upper()
    return agent not in _NO_AGENT or bool(header.get("ContrastBolusAgentSequence"))


def _image_type_words(header: Dataset) -> Iterator[str]:
    for each in _values(header, "ImageType"):
        yield from re.findall(r"[A-Z]+", each.upper())


def _first(header: Dataset, keyword: str) -> str:
    return next(iter(_values(header, keyword)), "")


def _values(header: Dataset, keyword: str) -> list[str]:
    value = header.get(keyword)
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(each) for each in value]
