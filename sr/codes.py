"""Coded concepts: one constant per concept, standard codes first.

Scheme ``99WETREAD`` holds only what no standard scheme names. An object that uses it, or any other
private scheme, declares it (PS3.3 C.12.1, Coding Scheme Identification Sequence).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import NAMESPACE_DNS, uuid5

from pydicom import Dataset
from pydicom.sr.coding import Code

from sr.findings import Normality
from sr.wording import in_sentence

PRIVATE_SCHEME = "99WETREAD"
PRIVATE_SCHEME_NAME = "wetread local codes"
PRIVATE_SCHEME_UID = f"2.25.{uuid5(NAMESPACE_DNS, '99WETREAD.coding-scheme.wetread').int}"

_SH_LIMIT = 16  # PS3.5 section 6.2, VR SH
_LO_LIMIT = 64  # PS3.5 section 6.2, VR LO


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


def _sct(value: str, meaning: str) -> Code:
    return Code(value, "SCT", meaning)


# Document titles (PS3.16 CID 7021, CID 7000)
IMAGING_MEASUREMENT_REPORT = _dcm("126000", "Imaging Measurement Report")
DIAGNOSTIC_IMAGING_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")

# Context (PS3.16 TID 1204, 1002, 1004, 1500)
LANGUAGE = _dcm("121049", "Language of Content Item and Descendants")
OBSERVER_TYPE = _dcm("121005", "Observer Type")
DEVICE = _dcm("121007", "Device")
DEVICE_OBSERVER_UID = _dcm("121012", "Device Observer UID")
DEVICE_OBSERVER_NAME = _dcm("121013", "Device Observer Name")
DEVICE_OBSERVER_MANUFACTURER = _dcm("121014", "Device Observer Manufacturer")
DEVICE_OBSERVER_MODEL = _dcm("121015", "Device Observer Model Name")
DEVICE_OBSERVER_SERIAL = _dcm("121016", "Device Observer Serial Number")
PROCEDURE_REPORTED = _dcm("121058", "Procedure reported")

# Image Library (PS3.16 TID 1600 to 1603)
IMAGE_LIBRARY = _dcm("111028", "Image Library")
IMAGE_LIBRARY_GROUP = _dcm("126200", "Image Library Group")
MODALITY = _dcm("121139", "Modality")
PIXEL_DATA_ROWS = _dcm("110910", "Pixel Data Rows")
PIXEL_DATA_COLUMNS = _dcm("110911", "Pixel Data Columns")
PATIENT_ORIENTATION_ROW = _dcm("111044", "Patient Orientation Row")
PATIENT_ORIENTATION_COLUMN = _dcm("111043", "Patient Orientation Column")
HORIZONTAL_PIXEL_SPACING = _dcm("111026", "Horizontal Pixel Spacing")
VERTICAL_PIXEL_SPACING = _dcm("111066", "Vertical Pixel Spacing")
_MODALITIES = {  # PS3.16 CID 29, those that a reading can come from
    "CR": _dcm("CR", "Computed Radiography"),
    "CT": _dcm("CT", "Computed Tomography"),
    "DX": _dcm("DX", "Digital Radiography"),
    "MG": _dcm("MG", "Mammography"),
    "MR": _dcm("MR", "Magnetic Resonance"),
    "RF": _dcm("RF", "Radiofluoroscopy"),
    "RG": _dcm("RG", "Radiographic imaging"),
    "XA": _dcm("XA", "X-Ray Angiography"),
}
OTHER_MODALITY = _dcm("OT", "Other Modality")

# Measurement groups (PS3.16 TID 1501, 4019)
IMAGING_MEASUREMENTS = _dcm("126010", "Imaging Measurements")
MEASUREMENT_GROUP = _dcm("125007", "Measurement Group")
TRACKING_IDENTIFIER = _dcm("112039", "Tracking Identifier")
TRACKING_UNIQUE_IDENTIFIER = _dcm("112040", "Tracking Unique Identifier")
FINDING = _dcm("121071", "Finding")
ALGORITHM_NAME = _dcm("111001", "Algorithm Name")
ALGORITHM_VERSION = _dcm("111003", "Algorithm Version")
ALGORITHM_MANUFACTURER = _dcm("122405", "Algorithm Manufacturer")
ALGORITHM_FAMILY = _dcm("111000", "Algorithm Family")
ARTIFICIAL_INTELLIGENCE = _dcm("123110", "Artificial Intelligence")
SOURCE_OF_MEASUREMENT = _dcm("121112", "Source of Measurement")
ABNORMAL_PROBABILITY = Code("PROB-ABNORMAL", PRIVATE_SCHEME, "Probability of abnormality")
OPERATING_POINT = Code("OPERATING-POINT", PRIVATE_SCHEME, "Operating point")
IMAGES_READ = Code("IMAGES-READ", PRIVATE_SCHEME, "Number of images read")
ACTIVATION_FROM = Code("ACTIVATION-FROM", PRIVATE_SCHEME, "Activation from")
REGIONS_MARKED = Code("REGIONS-MARKED", PRIVATE_SCHEME, "Number of regions marked")
RANK = Code("SUSPICION-RANK", PRIVATE_SCHEME, "Rank among the most suspicious images")
NORMALITY = _dcm("121402", "Normality")
_NORMALITY = {
    Normality.NORMAL: _sct("17621005", "Normal"),
    Normality.ABNORMAL: _sct("263654008", "Abnormal"),
    Normality.INDETERMINATE: _sct("82334004", "Indeterminate"),
}
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
COMMENT = _dcm("121106", "Comment")

# Regions (PS3.16 TID 1410, CID 219)
IMAGE_REGION = _dcm("111030", "Image Region")
GEOMETRIC_PURPOSE = _dcm("130400", "Geometric purpose of region")
BOUNDED_BY = _sct("75958009", "Bounded by")
OUTLINE = _dcm("111041", "Outline")
VISUAL_EXPLANATION = _dcm("130401", "Visual explanation")
CLASS_ACTIVATION = _dcm("130402", "Class activation")  # CID 217, CID 7180
AREA = _sct("42798000", "Area")
COVERED_SHARE = Code("COVERED-SHARE", PRIVATE_SCHEME, "Covered share of the image")

# Urgency. PS3.16 CID 7035 has the classes, but no template names the question.
URGENCY = _sct("103391001", "Urgency")
ACTIONABLE = Code("ACTIONABLE", PRIVATE_SCHEME, "Actionable Finding Classification")
_ACTIONABLE = {
    1: Code("RID49480", "RADLEX", "ACR Category 1 Actionable Finding"),
    2: Code("RID49481", "RADLEX", "ACR Category 2 Actionable Finding"),
    3: Code("RID49482", "RADLEX", "ACR Category 3 Actionable Finding"),
}

# Basic report (PS3.16 TID 2000, CID 7001, CID 7002)
CURRENT_PROCEDURE_DESCRIPTIONS = _dcm("121064", "Current Procedure Descriptions")
PROCEDURE_DESCRIPTION = _dcm("121065", "Procedure Description")
FINDINGS = _dcm("121070", "Findings")
IMPRESSIONS = _dcm("121072", "Impressions")
IMPRESSION = _dcm("121073", "Impression")
RECOMMENDATIONS = _dcm("121074", "Recommendations")
RECOMMENDATION = _dcm("121075", "Recommendation")

# Key object selection (PS3.16 TID 2010, CID 7010)
OF_INTEREST = _dcm("113000", "Of Interest")
FOR_RESEARCH = _dcm("113009", "For Research")
KEY_OBJECT_DESCRIPTION = _dcm("113012", "Key Object Description")

# Purposes of reference (PS3.16 CID 7005, CID 7202) and the image library's source
PROCESSING_EQUIPMENT = _dcm("109102", "Processing Equipment")
SOURCE_IMAGE = _dcm("121322", "Source image for image processing operation")
SOURCE = _sct("260753009", "Source")

# Segmentations and parametric maps (PS3.16 CID 7203, CID 7150)
SEGMENTED = _dcm("113076", "Segmentation")
RESAMPLED = _dcm("113085", "Spatial resampling")
ABNORMAL_STRUCTURE = _sct("49755003", "Morphologically abnormal structure")

# Units
PERCENT = Code("%", "UCUM", "Percent")
PIXELS = Code("{pixels}", "UCUM", "Pixels")
NO_UNITS = Code("1", "UCUM", "no units")
MILLIMETRE = Code("mm", "UCUM", "mm")
SQUARE_MILLIMETRE = Code("mm2", "UCUM", "mm2")
IMAGES = Code("{images}", "UCUM", "images")
REGIONS = Code("{regions}", "UCUM", "regions")
RANKS = Code("{rank}", "UCUM", "rank")

# Findings that the reference models name; a model package may bring others in its manifest.
NORMAL = _NORMALITY[Normality.NORMAL]
PNEUMONIA = _sct("233604007", "Pneumonia")
COVID_19 = _sct("840539006", "COVID-19")
OPACITY = _dcm("112001", "Opacity")
GROUND_GLASS = _dcm("112120", "Ground glass opacity")
INTRACRANIAL_HAEMORRHAGE = _sct("1386000", "Intracranial hemorrhage")

# Procedures reported
XR_VIEWS = Code("43468-8", "LN", "XR unspecified body region Views")
CT_VIEWS = Code("25045-6", "LN", "CT unspecified body region")

# Scales that no standard scheme names
GEOGRAPHIC_EXTENT = Code("GEO-EXTENT", PRIVATE_SCHEME, "Geographic extent score")
OPACITY_SCORE = Code("OPACITY-SCORE", PRIVATE_SCHEME, "Opacity score")
TRIAGE_SCORE = Code("TRIAGE-SCORE", PRIVATE_SCHEME, "Triage score")


def language(tag: str, meaning: str) -> Code:
    """Return a coded language, e.g. ("ja-JP", RFC5646, "Japanese (Japan)")."""
    return Code(tag, "RFC5646", meaning)


def normality(value: Normality) -> Code:
    """Return the coded normality (PS3.16 CID 222; indeterminate is the SNOMED CT qualifier)."""
    return _NORMALITY[value]


def modality(value: str) -> Code:
    """Return the coded modality (PS3.16 CID 29) of a Modality (0008,0060) value, OT if unknown."""
    return _MODALITIES.get(value, OTHER_MODALITY)


def actionable(category: int) -> Code:
    """Return the coded ACR category of an actionable finding (PS3.16 CID 7035), 1 to 3."""
    return _ACTIONABLE[category]


def class_probability(finding: Code, label: str) -> Code:
    """Name the probability of one class among several in a group.

    (122157, DCM, "Probability") is that of the group's own finding; viewers print concept names
    only, so the other classes need names of their own.

    Parameters
    ----------
    finding
        The class; its code value becomes part of the private code.
    label
        The class's name for people; cut to what Code Meaning holds.
    """
    return _derived("P", finding.value, f"Probability of {in_sentence(label)}")


def level_probability(scale: Code, level: int, label: str) -> Code:
    """Name the probability of one level of an ordinal scale; ``level`` counts from 0."""
    return _derived(f"L{level}", scale.value, f"{scale.meaning}: probability of {label}")


def class_area(finding: Code, label: str) -> Code:
    """Name the area of all that one class covers on an image."""
    return _derived("A", finding.value, f"Area of {in_sentence(label)}")


def class_share(finding: Code, label: str) -> Code:
    """Name the share of the image that one class covers."""
    return _derived("S", finding.value, f"Share of the image covered by {in_sentence(label)}")


def _derived(prefix: str, of: str, meaning: str) -> Code:
    """Return a private code made of another one's value, or of a hash of it if it is long."""
    value = f"{prefix}-{of}"
    if len(value) > _SH_LIMIT:
        value = f"{prefix}-{uuid5(NAMESPACE_DNS, of).hex}"[:_SH_LIMIT]
    return Code(value, PRIVATE_SCHEME, meaning[:_LO_LIMIT])


def scale_unit(lowest: float, highest: float) -> Code:
    """Return the unit of a score on a scale, e.g. ({0:8}, UCUM, "range: 0:8").

    A scale whose ends are too long for a code value has no units.
    """
    span = f"{lowest:g}:{highest:g}"
    value = f"{{{span}}}"
    return Code(value, "UCUM", f"range: {span}") if len(value) <= _SH_LIMIT else NO_UNITS


def scheme_items(designators: Iterable[str]) -> list[Dataset]:
    """Return Coding Scheme Identification Sequence items for the private schemes among them.

    A private designator starts with ``99`` (PS3.16 section 8).
    """
    return [_scheme_item(name) for name in sorted(set(designators)) if name.startswith("99")]


def _scheme_item(designator: str) -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator = designator
    if designator == PRIVATE_SCHEME:
        item.CodingSchemeUID = PRIVATE_SCHEME_UID
        item.CodingSchemeName = PRIVATE_SCHEME_NAME
        item.CodingSchemeResponsibleOrganization = "wetread"
    return item


def designators(dataset: Dataset) -> Iterator[str]:
    """Yield every Coding Scheme Designator in a content tree."""
    for name in ("ConceptNameCodeSequence", "ConceptCodeSequence", "MeasurementUnitsCodeSequence"):
        for code in dataset.get(name, ()):
            yield code.CodingSchemeDesignator
    for name in ("ContentSequence", "MeasuredValueSequence"):
        for child in dataset.get(name, ()):
            yield from designators(child)
