"""A reading as an Encapsulated PDF: text and pictures on a page, for printing and portals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import EncapsulatedPDFStorage

from sr import codes
from sr.content import sop_reference
from sr.document import Origin, evidence, images_read, instances, new_result
from sr.findings import Reading
from sr.identity import Kind
from sr.pdfcontent import page_content
from sr.style import DEFAULT_STYLE, Style


def build_pdf(
    sources: Sequence[Dataset],
    pictures: Mapping[str, NDArray[np.uint8]],
    reading: Reading,
    *,
    when: datetime,
    style: Style = DEFAULT_STYLE,
    predecessors: Sequence[Dataset] = (),
) -> Dataset:
    """Build the document of a reading: an Encapsulated PDF (PS3.3 A.45.1).

    It says what the text report says, and names patient and study; the pictures are those of the
    overlays.

    Parameters
    ----------
    sources
        Headers of the images that were read, in any order; Pixel Data is not needed.
    pictures
        Displayed greyscale pictures by SOP Instance UID, as ``build_overlay`` takes them. An
        image without a picture is in the text alone.
    reading
        What the model says.
    when
        When it was said, with time zone. The same arguments give the same bytes.
    style
        How the destination wants it.
    predecessors
        Reports of earlier readings of this study that this one replaces.

    Raises
    ------
    SourceError
        The sources do not belong to one study, lack an image of the reading, or are smaller than
        its boxes say.
    """
    # Not at the top: loading reportlab takes a fifth of a second, and most sites want no PDF.
    from sr.pdflayout import pdf_bytes

    origin = Origin(sources=sources, algorithm=reading.algorithm, when=when, style=style)
    images = images_read(origin, reading)
    content = page_content(origin, images, pictures, reading, replaces=bool(predecessors))
    title = f"{content.title}: {reading.algorithm.title}"
    result = new_result(
        origin,
        Kind.PDF,
        EncapsulatedPDFStorage,
        modality="DOC",
        series_uid=origin.uid(Kind.PDF, "series"),
        texts=[title],
    )
    _put_document(result, title, pdf_bytes(content))
    referenced = evidence(origin, reading, images)
    result.SourceInstanceSequence = DicomSequence(map(sop_reference, referenced))
    if predecessors:
        result.PredecessorDocumentsSequence = instances(predecessors)
    return result


def _put_document(result: Dataset, title: str, document: bytes) -> None:
    """Write the SC Equipment and Encapsulated Document modules (PS3.3 C.8.6.1, C.24.2)."""
    result.ConversionType = "WSD"
    result.AcquisitionDateTime = None
    result.BurnedInAnnotation = "YES"  # the pages name the patient
    result.DocumentTitle = title
    name = CodedConcept.from_code(codes.DIAGNOSTIC_IMAGING_REPORT)
    result.ConceptNameCodeSequence = DicomSequence([name])
    result.VerificationFlag = "UNVERIFIED"
    result.MIMETypeOfEncapsulatedDocument = "application/pdf"
    result.EncapsulatedDocumentLength = len(document)
    result.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
