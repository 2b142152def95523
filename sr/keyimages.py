"""The images of a reading worth looking at, as a Key Object Selection Document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import KeyObjectSelectionDocumentStorage

from sr import codes
from sr.content import Relation, put_root, text
from sr.content import image as image_item
from sr.context import observation_context
from sr.document import Origin, images_read, new_result, put_evidence
from sr.findings import ImageReading, Reading
from sr.identity import Kind
from sr.lines import NEW_LINE
from sr.paragraphs import measurements
from sr.patient import image_area
from sr.style import DEFAULT_STYLE, KeyImagesFor, Style
from sr.wording import Words

# PS3.16 CID 7010. Not among them, because archives hide the images that these name: Rejected for
# Quality Reasons (113001), ... for Patient Safety Reasons (113037), Incorrect Modality Worklist
# Entry (113038), Data Retention Policy Expired (113039).
_TITLES = {
    KeyImagesFor.INTEREST: codes.OF_INTEREST,
    KeyImagesFor.RESEARCH: codes.FOR_RESEARCH,
}


def build_key_images(
    sources: Sequence[Dataset],
    reading: Reading,
    *,
    when: datetime,
    style: Style = DEFAULT_STYLE,
) -> Dataset | None:
    """Build the selection of the images that a reading flags (PS3.3 A.35.4, PS3.16 TID 2010).

    They are those called abnormal or indeterminate, those with something marked on them, and of a
    series the suspicious slices. There is nothing to select in a study called normal.

    Parameters
    ----------
    sources
        Headers of the images that were read, in any order; Pixel Data is not needed.
    reading
        What the model says.
    when
        When it was said, with time zone.
    style
        How the destination wants it.

    Raises
    ------
    SourceError
        The sources do not belong to one study, lack an image of the reading, or are smaller than
        its boxes say.
    """
    origin = Origin(sources=sources, algorithm=reading.algorithm, when=when, style=style)
    images = images_read(origin, reading)
    flagged = [images[each.sop_instance_uid] for each in reading.images if reading.is_flagged(each)]
    if not flagged:
        return None
    description = _description(reading, images, Words(style.language, reading.translations))
    result = new_result(
        origin,
        Kind.KEY_IMAGES,
        KeyObjectSelectionDocumentStorage,
        modality="KO",
        series_uid=origin.uid(Kind.KEY_IMAGES, "series"),
        texts=[description],
    )
    result.ReferencedPerformedProcedureStepSequence = DicomSequence()
    told = text(codes.KEY_OBJECT_DESCRIPTION, description)
    shown = [image_item(each, Relation.CONTAINS) for each in flagged]
    title = _TITLES[style.key_images_for]
    put_root(result, title, "2010", [*observation_context(style.language), told, *shown])
    for item in shown:
        del item.ConceptNameCodeSequence  # TID 2010 has none here
    put_evidence(result, origin, flagged)
    return result


def _description(reading: Reading, images: Mapping[str, Dataset], words: Words) -> str:
    """Return the answers in words, each once, and the notice."""
    if reading.study is not None:
        answers = [words.headline(reading.study.decision)]
    else:
        flagged = (each for each in reading.images if reading.is_flagged(each))
        answers = [_answer(reading, each, images[each.sop_instance_uid], words) for each in flagged]
    told = [reading.algorithm.title, *dict.fromkeys(answers), words.notice]
    return NEW_LINE.join(words.sentence(each) for each in told)


def _answer(reading: Reading, image: ImageReading, source: Dataset, words: Words) -> str:
    """Return what was decided on an image, or what was measured where nothing was decided."""
    if image.decision is not None:
        return words.headline(image.decision)
    return words.catalogue.semicolon.join(measurements(words, reading, image, image_area(source)))
