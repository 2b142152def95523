"""What every result object has: file meta information, patient, series, equipment, times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from sr import codes
from sr.content import sop_reference
from sr.findings import Algorithm, Probability, Reading
from sr.identity import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    Kind,
    contributing_equipment,
    put_equipment,
    result_uid,
)
from sr.patient import SourceError, check_source, local_time, put_copy, put_patient_and_study
from sr.style import DEFAULT_STYLE, Style

_LO_LIMIT = 64  # PS3.5 section 6.2, VR LO
# PS3.16 Annex L: parts of the body that are not paired, and so have no Laterality.
_UNPAIRED = frozenset(
    {"ABDOMEN", "BRAIN", "CHEST", "HEAD", "HEADNECK", "NECK", "PELVIS", "SKULL", "WHOLEBODY"}
)
_BODY_PART = ("BodyPartExamined", "Laterality")
_DESCRIPTIONS = {
    Kind.REPORT: "AI report",
    Kind.TEXT: "AI text",
    Kind.OVERLAY: "AI overlay",
    Kind.PRESENTATION: "AI marks",
    Kind.KEY_IMAGES: "AI key",
    Kind.SEGMENTATION: "AI segmentation",
    Kind.MAP: "AI activation",
    Kind.PDF: "AI document",
    Kind.NOTICE: "AI notice",
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a result is made of.

    Attributes
    ----------
    sources
        Headers of the images that were read, of one study; at least one.
    algorithm
        The model that read them.
    when
        When they were read, with time zone.
    style
        How the destination wants it.
    """

    sources: Sequence[Dataset]
    algorithm: Algorithm
    when: datetime
    style: Style = DEFAULT_STYLE

    def __post_init__(self) -> None:
        if not self.sources:
            raise SourceError("a result needs at least one source image")
        for source in self.sources:
            check_source(source)
        if len({source.StudyInstanceUID for source in self.sources}) > 1:
            raise SourceError("the source images belong to more than one study")
        if len(self.sources) > 1 and len({_patient(source) for source in self.sources}) > 1:
            raise SourceError("the images of the study name different patients")

    @property
    def first(self) -> Dataset:
        """The source whose patient and study attributes the result copies."""
        return self.sources[0]

    @property
    def source_uids(self) -> list[str]:
        """SOP Instance UIDs of the sources."""
        return [str(source.SOPInstanceUID) for source in self.sources]

    def uid(self, kind: Kind, purpose: str) -> UID:
        """Derive a UID of a result of these sources."""
        return result_uid(self.source_uids, self.algorithm, kind, purpose, self.style.key)


def _patient(source: Dataset) -> tuple[str, str]:
    """Patient ID and its issuer; spaces around them mean nothing (PS3.5 section 6.2, VR LO)."""
    patient_id, issuer = (source.get(each) for each in ("PatientID", "IssuerOfPatientID"))
    return str(patient_id or "").strip(), str(issuer or "").strip()


def new_result(
    origin: Origin,
    kind: Kind,
    sop_class: UID,
    *,
    modality: str,
    series_uid: UID,
    texts: Iterable[str],
    purpose: str = "instance",
) -> Dataset:
    """Start a result object: everything but its content.

    Parameters
    ----------
    origin
        What it is made of.
    kind
        The kind of result object; it decides series number and description.
    sop_class
        SOP Class UID.
    modality
        Modality (0008,0060) of the result.
    series_uid
        Series Instance UID, never that of a source.
    texts
        All free text from the reading that the object will hold (see ``put_patient_and_study``).
    purpose
        What tells the object from others of its kind with the same origin.
    """
    result = Dataset()
    put_patient_and_study(result, origin.first, [*algorithm_texts(origin.algorithm), *texts])
    result.SOPClassUID = sop_class
    result.SOPInstanceUID = origin.uid(kind, purpose)
    result.InstanceNumber = 1
    result.Modality = modality
    result.SeriesInstanceUID = series_uid
    result.SeriesNumber = origin.style.series_number(kind)
    result.SeriesDescription = f"{_DESCRIPTIONS[kind]}: {origin.algorithm.title}"[:_LO_LIMIT]
    put_equipment(result)
    result.ContributingEquipmentSequence = DicomSequence([contributing_equipment(origin.algorithm)])
    _put_times(result, local_time(origin.when, origin.first))
    put_file_meta(result)
    return result


def images_read(origin: Origin, reading: Reading) -> Mapping[str, Dataset]:
    """Return the source of each image of ``reading`` by SOP Instance UID, in the reading's order.

    Raises
    ------
    SourceError
        An image of the reading is not among the sources, or a box does not lie on its image.
    """
    by_uid = {str(source.SOPInstanceUID): source for source in origin.sources}
    missing = [each for each in reading.images if each.sop_instance_uid not in by_uid]
    if missing:
        raise SourceError(f"{len(missing)} images of the reading are not among the sources")
    images = {each.sop_instance_uid: by_uid[each.sop_instance_uid] for each in reading.images}
    for each in reading.images:
        source = images[each.sop_instance_uid]
        if any(box.right > source.Columns or box.bottom > source.Rows for box in each.regions):
            raise SourceError("a box of the reading reaches beyond its image")
    return images


def evidence(origin: Origin, reading: Reading, images: Mapping[str, Dataset]) -> list[Dataset]:
    """Return the images that a document stands on: those shown, or all of a series read whole."""
    return list(images.values()) if reading.study is None else list(origin.sources)


def algorithm_texts(algorithm: Algorithm) -> list[str]:
    """Return the free text that an algorithm brings into a result."""
    return [algorithm.name, algorithm.version, algorithm.manufacturer, algorithm.title]


def reading_texts(reading: Reading) -> list[str]:
    """Return the free text that a reading brings into a report."""
    texts = [reading.procedure.meaning]
    if reading.urgency is not None:
        texts.append(reading.urgency.statement)
    answers = [reading.study, *reading.images]
    for answer in (each for each in answers if each is not None):
        texts += _probability_texts(answer.probabilities)
        if answer.decision is not None:
            texts += _probability_texts([answer.decision.leading])
    for image in reading.images:
        texts += [each.name.meaning for each in image.scores]
        for grade in image.grades:
            texts += [grade.name.meaning, *_probability_texts(grade.levels)]
        texts += _probability_texts([each.finding for each in image.regions])
        for segment in image.segments:
            texts += [segment.label, segment.finding.meaning]
    return texts


def _probability_texts(probabilities: Iterable[Probability]) -> list[str]:
    return [text for each in probabilities for text in (each.label, each.finding.meaning)]


def _put_times(result: Dataset, local: datetime) -> None:
    date, time = f"{local:%Y%m%d}", f"{local:%H%M%S}"
    for name in ("InstanceCreation", "Series", "Content"):
        setattr(result, f"{name}Date", date)
        setattr(result, f"{name}Time", time)


def put_body_part(result: Dataset, sources: Sequence[Dataset]) -> None:
    """Write body part and laterality where they are those of all sources (PS3.3 C.7.3.1)."""
    first = sources[0]
    same = [len({str(source.get(name) or "") for source in sources}) == 1 for name in _BODY_PART]
    if same[0] and first.get("BodyPartExamined"):
        put_copy(result, first, "BodyPartExamined")
    if result.get("BodyPartExamined") not in _UNPAIRED:
        # Type 2C beside any other part, known or not.
        put_copy(result, first if same[1] else Dataset(), "Laterality")


def put_file_meta(result: Dataset) -> None:
    """Write the file meta information (PS3.10 section 7.1) for Explicit VR Little Endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = result.SOPClassUID
    meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    result.file_meta = meta


def put_lossiness(result: Dataset, source: Dataset) -> None:
    """Write whether a picture, or what it was made of, ever lost detail (PS3.3 C.7.6.1.1.5)."""
    lossy = source.get("LossyImageCompression") == "01"
    result.LossyImageCompression = "01" if lossy else "00"
    if lossy:
        for name in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if source.get(name):
                put_copy(result, source, name)


def put_document(
    result: Dataset,
    origin: Origin,
    referenced: Sequence[Dataset],
    predecessors: Sequence[Dataset] = (),
) -> None:
    """Write the SR Document General module (PS3.3 C.17.2) and the coding schemes in use.

    Parameters
    ----------
    result
        The document, with its content tree.
    origin
        What it is made of.
    referenced
        The images that it stands on, among them all that the content tree refers to.
    predecessors
        Earlier documents that this one replaces.
    """
    result.CompletionFlag = "COMPLETE"
    result.PreliminaryFlag = "PRELIMINARY"
    result.VerificationFlag = "UNVERIFIED"
    result.PerformedProcedureCodeSequence = DicomSequence()
    result.ReferencedPerformedProcedureStepSequence = DicomSequence()
    if predecessors:
        result.PredecessorDocumentsSequence = instances(predecessors)
    put_evidence(result, origin, referenced)


def put_evidence(result: Dataset, origin: Origin, referenced: Sequence[Dataset]) -> None:
    """Write what a document stands on, who asked for it, and the coding schemes in use.

    This is what reports (PS3.3 C.17.2) and key object selections (C.17.6.2) have in common; the
    parameters are those of ``put_document``.
    """
    result.CurrentRequestedProcedureEvidenceSequence = instances(referenced)
    request = _request(origin.first)
    if request is not None:
        result.ReferencedRequestSequence = DicomSequence([request])
    schemes = codes.scheme_items(codes.designators(result))
    if schemes:
        result.CodingSchemeIdentificationSequence = DicomSequence(schemes)


def instances(referenced: Sequence[Dataset]) -> DicomSequence:
    """Return a Hierarchical SOP Instance Reference (PS3.3 C.17.2.1), in the order given."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for instance in referenced:
        series = studies.setdefault(instance.StudyInstanceUID, {})
        series.setdefault(instance.SeriesInstanceUID, []).append(sop_reference(instance))
    items = []
    for study_uid, series in studies.items():
        study = Dataset()
        study.StudyInstanceUID = study_uid
        study.ReferencedSeriesSequence = DicomSequence(
            _series_reference(series_uid, references) for series_uid, references in series.items()
        )
        items.append(study)
    return DicomSequence(items)


def _series_reference(series_uid: str, references: list[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series_uid
    item.ReferencedSOPSequence = DicomSequence(references)
    return item


def _request(source: Dataset) -> Dataset | None:
    """Return the Referenced Request Sequence item (PS3.3 C.17.2); None if nothing was ordered."""
    attributes = source.get("RequestAttributesSequence")
    order = attributes[0] if attributes else Dataset()
    if not (source.get("AccessionNumber") or order.get("RequestedProcedureID")):
        return None
    request = Dataset()
    request.StudyInstanceUID = source.StudyInstanceUID
    request.ReferencedStudySequence = DicomSequence()
    put_copy(request, source, "AccessionNumber")
    for name in ("RequestedProcedureID", "RequestedProcedureDescription"):
        put_copy(request, order, name)
    put_copy(request, order, "RequestedProcedureCodeSequence")
    request.PlacerOrderNumberImagingServiceRequest = None
    request.FillerOrderNumberImagingServiceRequest = None
    return request


def encoded(result: Dataset) -> Dataset:
    """Return the same data set with its elements encoded already.

    Writing it, or a variant that shares its elements, then copies bytes instead of walking a
    content tree of hundreds of items again.
    """
    return dcmread(BytesIO(to_bytes(result)))


def to_bytes(result: Dataset) -> bytes:
    """Return a result as a DICOM file (PS3.10); the same data set always gives the same bytes."""
    buffer = BytesIO()
    result.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
