"""Which images of a study fit a model, and why the others do not.

``inference.series`` goes on from here for a model that reads a series as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom import Dataset

from inference import series
from inference.manifest import AcceptsSection, Manifest
from inference.package import Package
from inference.pixels import hounsfield_problem
from sr.findings import NotAssessed
from sr.reasons import Reason

ELEMENTS = [
    *series.ELEMENTS,
    "SOPClassUID", "SOPInstanceUID", "ImageType", "Modality", "BodyPartExamined", "ViewPosition",
    "AnatomicRegionSequence", "ViewCodeSequence", "NumberOfFrames", "Rows", "Columns",
    "PhotometricInterpretation",
    "SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription",
    "PatientSpeciesDescription", "PresentationIntentType",
    "PatientAge", "PatientBirthDate", "StudyDate",
]  # fmt: skip

# Code Value of the anatomic region -> Body Part Examined (PS3.16 Annex L); where a DX header
# states only the sequence.
_REGIONS = {
    "51185008": "CHEST", "T-D3000": "CHEST", "816094009": "CHEST",
    "69536005": "HEAD", "T-D1100": "HEAD", "12738006": "BRAIN", "T-A0100": "BRAIN",
    "89546000": "SKULL", "T-11100": "SKULL",
}  # fmt: skip
# View Code -> View Position (PS3.16 CID 4010)
_VIEWS = {
    "399348003": "AP", "R-10206": "AP", "272479007": "PA", "R-10214": "PA",
    "399198007": "RL", "R-10232": "RL", "399173006": "LL", "R-10236": "LL",
}  # fmt: skip


NO_IMAGE = Reason("not an image")
NO_IMAGES = Reason("the study has no images")
_AGE = re.compile(r"(\d{1,3})([DWMY])")  # PS3.5 section 6.2, VR AS
_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
_VIEW_WORDS = {"PA": "PA", "P.A.": "PA", "AP": "AP", "A.P.": "AP", "LAT": "LAT", "LATERAL": "LAT"}
_VIEW_WORD = re.compile(r"(?<![A-Z])(?:PA|P\.A\.|AP|A\.P\.|LATERAL|LAT)(?![A-Z])")


@dataclass(frozen=True)
class Routed:
    """What of a study a model can read.

    Attributes
    ----------
    fitting
        SOP Instance UIDs that the model reads: in the given order, a series caudal to cranial.
    passed_over
        The images that it does not read, and why, without patient data; each reason once.
    concerned
        Whether an image of the study is of a modality that the model reads.
    """

    fitting: tuple[str, ...]
    passed_over: tuple[NotAssessed, ...] = ()
    concerned: bool = True

    @property
    def reason(self) -> str:
        """If nothing fits, why, in one sentence; else empty."""
        if self.fitting:
            return ""
        return "; ".join(each.reason for each in self.passed_over) or NO_IMAGES


def route(package: Package, headers: Sequence[Dataset]) -> Routed:
    """Choose the images of a study that a model reads: each that fits, or one series of them.

    Parameters
    ----------
    package
        The model.
    headers
        One per instance of the study, with at least ``ELEMENTS``.
    """
    manifest = package.manifest
    fitting, reasons = [], []
    for header in headers:
        reason = _misfit(manifest, header)
        if reason is None:
            fitting.append(header)
        else:
            reasons.append(reason)
    passed_over = series.counted(reasons)
    if manifest.series is not None:
        chosen = series.choose(manifest.series, fitting)
        fitting = list(chosen.headers)
        passed_over += chosen.passed_over
    concerned = any(_concerns(manifest.accepts, each) for each in headers)
    uids = tuple(str(each.SOPInstanceUID) for each in fitting)
    return Routed(uids, passed_over, concerned)


def _concerns(accepts: AcceptsSection, header: Dataset) -> bool:
    try:
        return _modality(accepts, header) is None
    except Exception:  # noqa: BLE001 - elements are parsed here, and may hold anything
        return True


def _misfit(manifest: Manifest, header: Dataset) -> Reason | None:
    try:
        reason = misfit(manifest.accepts, header)
        # Of a series, all slices are judged together.
        if reason is None and manifest.prepare.window is not None and manifest.series is None:
            reason = hounsfield_problem(header)
        return reason
    except Exception as error:  # noqa: BLE001 - elements are parsed here, and may hold anything
        return series.malformed(error)


def misfit(accepts: AcceptsSection, header: Dataset) -> Reason | None:
    """Why an image does not fit, None if it does."""
    checks = (_image_kind, _modality, _anatomy, _shape, _age)
    for check in checks:
        if reason := check(accepts, header):
            return reason
    return None


def _image_kind(_accepts: AcceptsSection, header: Dataset) -> Reason | None:
    if not header.get("Rows") or not header.get("Columns"):
        return NO_IMAGE
    image_type = [str(each).upper() for each in _values(header, "ImageType")]
    if image_type[:2] == ["DERIVED", "SECONDARY"]:
        return Reason("a derived secondary image is not read")
    if str(header.get("PresentationIntentType") or "").upper() == "FOR PROCESSING":
        return Reason("raw detector data (FOR PROCESSING) is not read")
    if "LOCALIZER" in image_type:
        return Reason("a localizer is not read")
    species = str(header.get("PatientSpeciesDescription") or "").strip().lower()
    if species not in ("", "human", "homo sapiens"):
        return Reason("the patient is an animal")
    return None


def _modality(accepts: AcceptsSection, header: Dataset) -> Reason | None:
    modality = str(header.get("Modality") or "").upper()
    if modality in accepts.modality:
        return None
    return Reason(
        "modality {found} is not {wanted}",
        found=_shown(modality),
        wanted=_listed(accepts.modality),
    )


def _anatomy(accepts: AcceptsSection, header: Dataset) -> Reason | None:
    body_part = body_part_of(header)
    if body_part not in accepts.body_part:
        wanted = _listed(accepts.body_part)
        return Reason("body part {found} is not {wanted}", found=_shown(body_part), wanted=wanted)
    view = view_of(header)
    if accepts.view and view not in accepts.view:
        wanted = _listed(accepts.view)
        return Reason("view {found} is not {wanted}", found=_shown(view), wanted=wanted)
    return None


def _shape(accepts: AcceptsSection, header: Dataset) -> Reason | None:
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > 1:
        return Reason("the image has {frames} frames, the model reads single images", frames=frames)
    photometric = str(header.get("PhotometricInterpretation") or "")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        found = _shown(photometric)
        return Reason("photometric interpretation {found} is not greyscale", found=found)
    rows, columns = int(header.Rows), int(header.Columns)
    if rows < accepts.minimum_rows or columns < accepts.minimum_columns:
        least = f"{accepts.minimum_rows} x {accepts.minimum_columns}"
        found = f"{rows} x {columns}"
        return Reason("matrix {found} is smaller than {least}", found=found, least=least)
    return None


def _age(accepts: AcceptsSection, header: Dataset) -> Reason | None:
    years = age_of(header)
    if years is None or years >= accepts.minimum_age_years:
        return None
    least = accepts.minimum_age_years
    return Reason("the patient is younger than {least} years", least=least)


def age_of(header: Dataset) -> float | None:
    """Patient's Age in years, else from Birth Date and Study Date; None if neither is stated."""
    stated = _AGE.fullmatch(str(header.get("PatientAge") or "").strip())
    if stated:
        return int(stated[1]) / _PER_YEAR[stated[2]]
    dates = [str(header.get(each) or "").strip() for each in ("PatientBirthDate", "StudyDate")]
    try:
        born, seen = (datetime.strptime(each, "%Y%m%d").replace(tzinfo=UTC) for each in dates)
    except ValueError:
        return None
    return (seen - born).days / 365.25


def body_part_of(header: Dataset) -> str:
    """Body Part Examined in upper case, or from the Anatomic Region Sequence, or empty."""
    stated = str(header.get("BodyPartExamined") or "").strip().upper()
    return stated or _REGIONS.get(_first_code(header, "AnatomicRegionSequence"), "")


def view_of(header: Dataset) -> str:
    """View Position in upper case; else from the View Code Sequence; else from the descriptions.

    Many consoles leave View Position empty and name the view in a description, e.g.
    ``CHEST AP PORT``. Empty if that does not name exactly one view either.
    """
    stated = str(header.get("ViewPosition") or "").strip().upper()
    return stated or _VIEWS.get(_first_code(header, "ViewCodeSequence")) or _described_view(header)


def _described_view(header: Dataset) -> str:
    texts = (str(header.get(keyword) or "").upper() for keyword in _DESCRIPTIONS)
    views = {_VIEW_WORDS[word] for text in texts for word in _VIEW_WORD.findall(text)}
    return views.pop() if len(views) == 1 else ""


def _first_code(header: Dataset, keyword: str) -> str:
    sequence = header.get(keyword)
    return str(sequence[0].get("CodeValue") or "") if sequence else ""


def _values(header: Dataset, keyword: str) -> list[object]:
    value = header.get(keyword)
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _shown(value: str) -> str:
    """A peer's code string in a reason: no longer than the VR allows, nothing a terminal obeys."""
    return "".join(each if each.isprintable() else "?" for each in value[:16]) or "missing"


def _listed(values: Sequence[str]) -> str:
    return " or ".join(value or "missing" for value in values)
