"""What result objects must satisfy: other people's validators, and this project's own rules.

Every function returns the problems it found, as text; an empty list means none. The rules were
collected by trying objects in viewers and archives: their identifiers (S, G, C, and one letter for
each kind) stand in the messages.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

PIXELMED = Path("/usr/share/java/pixelmed.jar")
_JAVA = (  # Java's XPath limits are below what the templates need
    "java",
    "-XX:TieredStopAtLevel=1",  # it ends before better code would pay
    "-XX:+UseSerialGC",
    "-Xss16m",
    "-Djdk.xml.xpathTotalOpLimit=0",
    "-Djdk.xml.xpathExprOpLimit=0",
    "-Djdk.xml.xpathExprGrpLimit=0",
    "-cp",
)
# Complaints that are faults of the tool, not of the object:
# context group 100 is extensible; TID 1410 is for image regions; TID 1500 allows further items.
_PIXELMED_FAULTS = re.compile(
    r"not found in context group 100$|Template 1410 .*Missing conditional content item"
    r"|Content Item not in template|different code meaning"
)
_TOO_LONG = re.compile(r"= <(.*)> - Length invalid for this VR = <\d+> - expected <= (\d+)")
# PS3.5 section 6.2: text whose bytes depend on Specific Character Set
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
# What every result says, in the languages that there are
_NOTICE = re.compile(
    "not for diagnosis|診断には使用しない|pas (utiliser )?pour le diagnostic", re.IGNORECASE
)

_COPIED = [
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "QualityControlSubject",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
]


# -- other people's validators --


def missing_tools(*names: str) -> str:
    """Return which programs are not installed, as a reason to skip; empty if all are."""
    missing = [name for name in names if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=240)


def dciodvfy(path: Path) -> list[str]:
    """Check the object against its IOD with dicom3tools."""
    output = run("dciodvfy", "-new", str(path))
    errors = [line for line in output.stderr.splitlines() if line.startswith("Error")]
    return [line for line in errors if not _counted_in_bytes(line)]


def _counted_in_bytes(error: str) -> bool:
    """Whether a text is too long for dicom3tools alone, which counts bytes and not characters."""
    match = _TOO_LONG.search(error)
    return match is not None and not match[1].isascii() and len(match[1]) <= int(match[2])


def dcentvfy(paths: Iterable[Path]) -> list[str]:
    """Check with dicom3tools that the objects of one study agree on patient and study."""
    output = run("dcentvfy", *map(str, paths))
    return sorted({line for line in output.stderr.splitlines() if line.startswith("Error")})


def dsrdump(path: Path) -> list[str]:
    """Let DCMTK read and print the document tree."""
    output = run("dsrdump", str(path))
    return [] if output.returncode == 0 else [f"dsrdump: {output.stderr}"]


def dcm2pnm(path: Path) -> list[str]:
    """Let DCMTK decode the pixels."""
    with TemporaryDirectory() as folder:
        output = run("dcm2pnm", str(path), f"{folder}/picture.ppm")
    return [] if output.returncode == 0 else [f"dcm2pnm: {output.stderr}"]


def dcmpschk(path: Path) -> list[str]:
    """Check a presentation state with DCMTK."""
    output = run("dcmpschk", str(path))
    # It looks at text byte by byte, and takes letters in UTF-8 for forbidden ones: what it says of
    # those is not counted.
    text = output.stdout + output.stderr
    faults = [each for each in text.split("Error:")[1:] if each.isascii()]
    passed = "Test passed" in text or "Error:" in text
    return [f"dcmpschk: {each}" for each in faults] or ([] if passed else [f"dcmpschk: {text}"])


def pdfinfo(path: Path) -> list[str]:
    """Let DCMTK take the document out, and poppler open it."""
    with TemporaryDirectory() as folder:
        document = f"{folder}/document.pdf"
        outputs = [run("dcm2pdf", str(path), document), run("pdfinfo", document)]
    return [f"pdfinfo: {each.stderr}" for each in outputs if each.returncode or each.stderr]


def pixelmed(path: Path) -> list[str]:
    """Check the document against its templates with PixelMed (seconds per document)."""
    validator = "com.pixelmed.validate.DicomSRValidator"
    output = run(*_JAVA, str(PIXELMED), validator, "-checktemplateid", str(path))
    text = output.stdout + output.stderr
    if "validation complete" not in text:
        return [f"PixelMed did not finish: {text[-400:]}"]
    errors = [line for line in text.splitlines() if line.startswith("Error") or "Exception" in line]
    return [line for line in errors if not _PIXELMED_FAULTS.search(line)]


# -- our own rules --


def rule_violations(path: Path, source_path: Path) -> list[str]:
    """Check one result object against the image that it was made from."""
    result, source = dcmread(path), dcmread(source_path, stop_before_pixels=True)
    problems = [*_copied(dcmread(path), source), *_general(result, source), *_coded(result)]
    modality, rules = _KINDS.get(result.SOPClassUID, _REPORT)
    if result.Modality != modality:
        problems.append(f"G5: Modality {result.Modality} does not fit the SOP class")
    return [*problems, *rules(result, source)]


def _copied(result: Dataset, source: Dataset) -> Iterator[str]:
    same_set = result.get("SpecificCharacterSet") == source.get("SpecificCharacterSet")
    for name in _COPIED:
        as_bytes = same_set or _vr(result, name) not in _TEXT_VRS
        if name in source and _value(result, name, as_bytes) != _value(source, name, as_bytes):
            yield f"S2: {name} is not the source's"
    for name in _COPIED:
        if name not in source and result.get(name):
            yield f"S2: {name} is invented"


def _vr(dataset: Dataset, name: str) -> str:
    tag = Tag(tag_for_keyword(name) or 0)
    return str(dataset.get_item(tag).VR) if tag in dataset else ""


def _value(dataset: Dataset, name: str, as_bytes: bool) -> bytes | str:
    """Return the stored bytes without padding, or the decoded text."""
    tag = Tag(tag_for_keyword(name) or 0)
    if tag not in dataset:
        return b"" if as_bytes else ""
    element: object = dataset.get_item(tag)
    if as_bytes and isinstance(element, RawDataElement):
        return (element.value or b"").rstrip(b" \0")
    return str(dataset[tag].value or "")


def _general(result: Dataset, source: Dataset) -> Iterator[str]:
    if result.SeriesInstanceUID == source.SeriesInstanceUID:
        yield "S1: the result is in the series of its source"
    for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        if not UID(result[name].value).is_valid:
            yield f"G1: {name} is not a valid UID"
    meta = result.file_meta
    stored_as = (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID)
    if stored_as != (result.SOPClassUID, result.SOPInstanceUID):
        yield "G1: file meta information names another object"
    if meta.TransferSyntaxUID not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        yield "G2: not stored in a little endian transfer syntax without compression"
    description = str(result.get("SeriesDescription", ""))
    if not description.startswith("AI ") or len(description) > 64:
        yield f"G3: Series Description {description!r}"
    if not 900 <= int(result.SeriesNumber) <= 999:
        yield f"G4: Series Number {result.SeriesNumber} is not in the 900s"
    if not result.get("SoftwareVersions"):
        yield "G6: no Software Versions"
    yield from _equipment(result)


def _equipment(result: Dataset) -> Iterator[str]:
    items = result.get("ContributingEquipmentSequence") or []
    if not items:
        yield "G6: no Contributing Equipment"
    for item in items:
        for name in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceUID"):
            if not item.get(name):
                yield f"G6: Contributing Equipment lacks {name}"


def _coded(result: Dataset) -> Iterator[str]:
    character_set = result.get("SpecificCharacterSet")
    schemes = set()
    for element in result.iterall():
        text = str(element.value) if element.VR in _TEXT_VRS else ""
        if "\ufffd" in text or "\x1b" in text or not (character_set or text.isascii()):
            yield f"C1: {element.keyword} does not decode with character set {character_set}"
        if element.keyword == "CodingSchemeDesignator" and text.startswith("99"):
            schemes.add(text)
        if element.keyword == "CodeValue" and len(text) > 16:
            yield f"C2: code value {text} has over 16 characters"
    declared = result.get("CodingSchemeIdentificationSequence") or []
    procedures = result.get("ProcedureCodeSequence") or []
    known = {item.get("CodingSchemeDesignator") for item in (*declared, *procedures)}
    for scheme in sorted(schemes - known):
        yield f"C2: private coding scheme {scheme} is not declared"


# -- reports --


def walk(item: Dataset) -> Iterator[Dataset]:
    """Yield every content item of a report, parents before children."""
    yield item
    for child in item.get("ContentSequence", ()):
        yield from walk(child)


def predecessors(report: Dataset) -> list[str]:
    """SOP Instance UIDs of the documents that a report says it replaces."""
    return [
        str(each.ReferencedSOPInstanceUID)
        for study in report.get("PredecessorDocumentsSequence", ())
        for series in study.ReferencedSeriesSequence
        for each in series.ReferencedSOPSequence
    ]


def concept(item: Dataset) -> str:
    """Return the code value of an item's concept name, or nothing."""
    name = item.get("ConceptNameCodeSequence")
    return str(name[0].CodeValue) if name else ""


def _report(result: Dataset, _source: Dataset) -> Iterator[str]:
    yield from _document(result)
    flags = (result.CompletionFlag, result.PreliminaryFlag, result.VerificationFlag)
    if flags != ("COMPLETE", "PRELIMINARY", "UNVERIFIED"):
        yield f"R10: flags {flags}"
    template = result.ContentTemplateSequence[0].TemplateIdentifier
    if concept(result) == "126000":
        yield from _measurement_report(result, template)


def _document(result: Dataset) -> Iterator[str]:
    """Rules of everything with a content tree."""
    texts = [item.TextValue for item in walk(result) if item.get("ValueType") == "TEXT"]
    if not any(_NOTICE.search(text) for text in texts):
        yield "R11: nothing says that this is not for diagnosis"
    if _referenced(result) - _evidence(result):
        yield "R12: an image that is referenced is not in the evidence"
    if result.AccessionNumber and not result.get("ReferencedRequestSequence"):
        yield "R12: no Referenced Request Sequence"
    for item in walk(result):
        if item.ValueType == "CONTAINER" and item.ContinuityOfContent != "SEPARATE":
            yield f"R4: container {concept(item)} is not SEPARATE"


def _referenced(result: Dataset) -> set[str]:
    return {
        str(reference.ReferencedSOPInstanceUID)
        for item in walk(result)
        for reference in item.get("ReferencedSOPSequence", ())
    }


def _evidence(result: Dataset) -> set[str]:
    return {
        str(instance.ReferencedSOPInstanceUID)
        for study in result.get("CurrentRequestedProcedureEvidenceSequence", ())
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def _measurement_report(result: Dataset, template: str) -> Iterator[str]:
    if template != "1500":
        yield f"R1: template {template}"
    items = {concept(item): item for item in result.ContentSequence}
    # language, observer type, observer UID, procedure, image library
    for need in ("121049", "121005", "121012", "121058", "111028"):
        if need not in items:
            yield f"R2: no {need}"
    yield from _english(result)
    measurements = items.get("126010")
    groups = [] if measurements is None else list(measurements.ContentSequence)
    if not groups:
        yield "R9: no measurement group"
    for group in groups:
        yield from _group(group)
    tracking = [item.UID for group in groups for item in walk(group) if concept(item) == "112040"]
    if len(set(tracking)) != len(groups):
        yield "R5: groups share a tracking UID"


def _english(result: Dataset) -> Iterator[str]:
    names = {
        "126010": "Imaging Measurements",
        "125007": "Measurement Group",
        "112039": "Tracking Identifier",
        "112040": "Tracking Unique Identifier",
    }
    for item in walk(result):
        expected = names.get(concept(item))
        if expected and item.ConceptNameCodeSequence[0].CodeMeaning != expected:
            yield f"R3: the meaning of {concept(item)} is not {expected!r}"


def _group(group: Dataset) -> Iterator[str]:
    children = list(group.ContentSequence)
    concepts = [concept(child) for child in children]
    # tracking identifier, tracking UID, algorithm name
    for need in ("112039", "112040", "111001"):
        if need not in concepts:
            yield f"R5: a measurement group has no {need}"
    # Where nothing was decided, nothing is found: a model may only measure.
    decided = "121402" in concepts or "111030" in concepts
    if decided and "121071" not in concepts:
        yield "R5: a measurement group with an answer or a region has no finding"
    uids = [child for child in children if child.ValueType == "UIDREF"]
    if uids and concept(uids[0]) != "112040":
        yield "R5: the first UID reference is not the tracking UID"
    for child in children:
        if (
            child.ValueType == "NUM"
            and len(child.MeasuredValueSequence[0]["NumericValue"].value.original_string) > 16
        ):
            yield "R7: a numeric value has over 16 characters"
    coordinates = [child for child in children if child.ValueType == "SCOORD"]
    if not coordinates:
        yield "R6: a measurement group has no coordinates"
    for item in coordinates:
        selected = [each.RelationshipType for each in item.get("ContentSequence", ())]
        if selected != ["SELECTED FROM"] or not concept(item):
            yield "R8: coordinates are not selected from one image, or have no name"
        yield from _region(item)


def _region(item: Dataset) -> Iterator[str]:
    data = list(item.GraphicData)
    if (item.GraphicType == "POINT") != (len(data) == 2):
        yield f"R8: {item.GraphicType} of {len(data) // 2} points"
    if item.GraphicType == "POLYLINE" and (data[:2] != data[-2:] or len(data) <= 2 * 5):
        yield "R8: a region is not a closed polyline of more than 5 points"
    if min(data) < 0:
        yield "R8: coordinates lie outside the image"


# -- secondary captures --


def _secondary_capture(result: Dataset, source: Dataset) -> Iterator[str]:
    yield from _pixels(result)
    if list(result.ImageType)[:2] != ["DERIVED", "SECONDARY"]:
        yield f"I1: Image Type {result.ImageType}"
    if result.ConversionType != "WSD":
        yield f"I4: Conversion Type {result.ConversionType}"
    if result.get("BurnedInAnnotation") not in ("YES", "NO"):
        yield "I5: Burned In Annotation is not stated"
    if not result.get("DerivationDescription"):
        yield "I6: no Derivation Description"
    purposes = [item.PurposeOfReferenceCodeSequence[0] for item in result.SourceImageSequence]
    if [purpose.CodeValue for purpose in purposes] != ["121322"]:
        yield "I6: no source image, or with another purpose"
    if "PatientOrientation" not in result:
        yield "I7: no Patient Orientation"
    if "PixelSpacing" in result and "PixelSpacing" not in source:
        yield "I8: Pixel Spacing is invented"
    plane = ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient")
    written = [name for name in plane if name in result]
    if written and (len(written) < len(plane) or "PixelSpacing" not in result):
        yield f"I8: of the plane there is only {written}"
    if any(name not in source for name in written):
        yield "I8: the plane is invented"


def _pixels(result: Dataset) -> Iterator[str]:
    names = "SamplesPerPixel PlanarConfiguration BitsAllocated BitsStored HighBit"
    layout = [int(result[name].value) for name in f"{names} PixelRepresentation".split()]
    if result.PhotometricInterpretation != "RGB" or layout != [3, 0, 8, 8, 7, 0]:
        yield f"I2: pixels are laid out as {result.PhotometricInterpretation} {layout}"
    size = result.Rows * result.Columns * 3
    if len(result.PixelData) != size + size % 2:
        yield "I2: Pixel Data has another length than Rows and Columns say"
    for name in ("WindowCenter", "WindowWidth", "RescaleSlope", "PresentationLUTShape"):
        if name in result:
            yield f"I3: {name} in a colour image"


# -- presentation states --


def _presentation(result: Dataset, source: Dataset) -> Iterator[str]:
    inverse = source.PhotometricInterpretation == "MONOCHROME1"
    if result.PresentationLUTShape != ("INVERSE" if inverse else "IDENTITY"):
        yield f"P1: Presentation LUT Shape {result.PresentationLUTShape} on another polarity"
    for name in ("RescaleSlope", "ModalityLUTSequence"):
        if name in source and name not in result:
            yield f"P1: {name} is lost"
    for name in ("WindowCenter", "VOILUTSequence"):
        if name in source and "SoftcopyVOILUTSequence" not in result:
            yield f"P2: {name} is lost"
    if not re.fullmatch("[A-Z0-9 _]{1,16}", result.ContentLabel):
        yield f"P3: Content Label {result.ContentLabel!r} is no CS"
    texts = [each for item in result.GraphicAnnotationSequence for each in _texts(item)]
    if not any(_NOTICE.search(each) for each in texts):
        yield "R11: nothing says that this is not for diagnosis"
    layers = {item.GraphicLayer for item in result.GraphicLayerSequence}
    if layers != {item.GraphicLayer for item in result.GraphicAnnotationSequence}:
        yield "P4: layers and annotations do not belong together"
    yield from _drawn_inside(result)


def _texts(annotation: Dataset) -> list[str]:
    return [each.UnformattedTextValue for each in annotation.get("TextObjectSequence", ())]


def _drawn_inside(result: Dataset) -> Iterator[str]:
    """Everything lies on its image; the displayed areas say how large the images are."""
    sizes = {}
    for area in result.DisplayedAreaSelectionSequence:
        for reference in area.get("ReferencedImageSequence") or _all_images(result):
            uid = reference.ReferencedSOPInstanceUID
            sizes[uid] = list(area.DisplayedAreaBottomRightHandCorner)
    for annotation in result.GraphicAnnotationSequence:
        columns, rows = sizes[annotation.ReferencedImageSequence[0].ReferencedSOPInstanceUID]
        corners = [
            [*item.BoundingBoxTopLeftHandCorner, *item.BoundingBoxBottomRightHandCorner]
            for item in annotation.get("TextObjectSequence", ())
            if item.BoundingBoxAnnotationUnits == "PIXEL"
        ]
        lines = [list(item.GraphicData) for item in annotation.get("GraphicObjectSequence", ())]
        for data in (*corners, *lines):
            if min(data) < 0 or max(data[::2]) > columns or max(data[1::2]) > rows:
                yield "P5: an annotation lies outside its image"
        if any(data[:2] != data[-2:] for data in lines):
            yield "P5: a polyline is not closed"


def _all_images(result: Dataset) -> list[Dataset]:
    return [
        each for item in result.ReferencedSeriesSequence for each in item.ReferencedImageSequence
    ]


# -- key object selections --


def _key_images(result: Dataset, _source: Dataset) -> Iterator[str]:
    yield from _document(result)
    if concept(result) not in ("113000", "113009"):
        yield f"K1: archives may hide the images of a selection titled {concept(result)}"
    images = [item for item in result.ContentSequence if item.ValueType == "IMAGE"]
    if not images or any("ConceptNameCodeSequence" in item for item in images):
        yield "K2: no images, or images with a concept name"
    if _referenced(result) != _evidence(result):
        yield "K3: the evidence is not the images selected"
    for name in ("CompletionFlag", "PreliminaryFlag", "VerificationFlag"):
        if name in result:
            yield f"K4: {name} belongs to reports"


# -- documents --


def _pdf(result: Dataset, source: Dataset) -> Iterator[str]:
    document = result.EncapsulatedDocument
    if len(document) % 2 or not document.startswith(b"%PDF-"):
        yield "D1: no PDF of even length"
    if result.MIMETypeOfEncapsulatedDocument != "application/pdf":
        yield f"D1: MIME type {result.MIMETypeOfEncapsulatedDocument}"
    referenced = [
        each.ReferencedSOPInstanceUID for each in result.get("SourceInstanceSequence", ())
    ]
    if source.SOPInstanceUID not in referenced:
        yield "D2: the source is not among the source instances"
    if result.BurnedInAnnotation != "YES":
        yield "D3: a page that names the patient has burned in annotation"
    if result.VerificationFlag != "UNVERIFIED":
        yield f"R10: Verification Flag {result.VerificationFlag}"


# -- segmentations and parametric maps --


def _segmentation(result: Dataset, source: Dataset) -> Iterator[str]:
    yield from _frames(result, source)
    numbers = [each.SegmentNumber for each in result.SegmentSequence]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"X2: segments are numbered {numbers}"
    for segment in result.SegmentSequence:
        if not segment.get("SegmentAlgorithmName") or not segment.get(
            "SegmentationAlgorithmIdentificationSequence"
        ):
            yield f"X2: segment {segment.SegmentLabel} names no algorithm"
        if "RecommendedDisplayCIELabValue" not in segment:
            yield f"X3: segment {segment.SegmentLabel} has no colour"
    shown = {
        item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for item in result.PerFrameFunctionalGroupsSequence
    }
    if shown != set(numbers):
        yield "X4: segments and frames do not belong together"
    bits = result.NumberOfFrames * result.Rows * result.Columns
    size = (bits + 7) // 8
    if len(result.PixelData) != size + size % 2:
        yield "X5: Pixel Data has another length than its frames say"


def _parametric_map(result: Dataset, source: Dataset) -> Iterator[str]:
    yield from _frames(result, source)
    (mapping,) = result.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    if not mapping.get("QuantityDefinitionSequence"):
        yield "X6: nothing says what the values are"
    if len(result.FloatPixelData) != 4 * result.NumberOfFrames * result.Rows * result.Columns:
        yield "X5: Float Pixel Data has another length than its frames say"


def _frames(result: Dataset, source: Dataset) -> Iterator[str]:
    """Every frame lies in the frame of reference of the source, on an image that is listed."""
    if source.Modality not in ("CT", "MR") or (
        result.get("FrameOfReferenceUID") != source.get("FrameOfReferenceUID")
    ):
        yield "X1: not in the frame of reference of a CT or MR image"
    if not re.fullmatch("[A-Z0-9 _]{1,16}", result.ContentLabel):
        yield f"P3: Content Label {result.ContentLabel!r} is no CS"
    if not _NOTICE.search(result.ContentDescription):
        yield "R11: nothing says that this is not for diagnosis"
    listed = {
        each.ReferencedSOPInstanceUID
        for series in result.ReferencedSeriesSequence
        for each in series.ReferencedInstanceSequence
    }
    items = result.PerFrameFunctionalGroupsSequence
    used = {
        each.ReferencedSOPInstanceUID
        for item in items
        for each in item.DerivationImageSequence[0].SourceImageSequence
    }
    if used != listed:
        yield "X4: the images listed are not those of the frames"
    places = [str(item.FrameContentSequence[0].DimensionIndexValues) for item in items]
    if len(items) != result.NumberOfFrames or len(set(places)) != len(places):
        yield "X4: frames are missing, or share a place"


_Rules = Callable[[Dataset, Dataset], Iterator[str]]
_REPORT: tuple[str, _Rules] = ("SR", _report)
_KINDS: dict[str, tuple[str, _Rules]] = {
    SecondaryCaptureImageStorage: ("OT", _secondary_capture),
    GrayscaleSoftcopyPresentationStateStorage: ("PR", _presentation),
    KeyObjectSelectionDocumentStorage: ("KO", _key_images),
    EncapsulatedPDFStorage: ("DOC", _pdf),
    SegmentationStorage: ("SEG", _segmentation),
    ParametricMapStorage: ("OT", _parametric_map),
}
