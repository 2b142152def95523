"""Whose study it is: patient and study attributes, copied from a source image byte for byte.

Archives compare these attributes between the objects of a study, so a value is neither decoded and
encoded again nor corrected: a malformed date stays as it came. Nothing here raises because an
attribute is missing, empty or malformed; what is type 2 is then written empty, never invented.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import cast

from pydicom import DataElement, Dataset, config
from pydicom.charset import convert_encodings, decode_bytes, default_encoding, encode_string
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag
from pydicom.uid import RE_VALID_UID
from pydicom.valuerep import TEXT_VR_DELIMS

_UTF_8 = "ISO_IR 192"
_LATIN_1 = "ISO_IR 100"
_ASCII = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})  # the default repertoire
_LATIN_IN_ASCII = re.compile(rb"(?:^|\x1b\(B)[^\x1b]*[\x80-\xff]")  # after no other escape sequence
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})  # PS3.5 section 6.1.2.2
_UI_LIMIT = 64  # PS3.5 section 9.1
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")
_OFFSET_LIMIT = timedelta(hours=14)  # PS3.3 C.12.1.1.8: -1200 to +1400

# PS3.3 C.7.1.1 Patient, C.7.2.1 General Study, C.12.1 SOP Common
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_IF_PRESENT = (
    "IssuerOfPatientID",
    "QualityControlSubject",  # what is found in a phantom must not be taken for a patient's
    "StudyDescription",
    "TimezoneOffsetFromUTC",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
)
_SEQUENCES = (
    "IssuerOfPatientIDQualifiersSequence",
    "IssuerOfAccessionNumberSequence",
    "ProcedureCodeSequence",
    "DeidentificationMethodCodeSequence",
)
_METHODS = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
_REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


class SourceError(ValueError):
    """The source images cannot be referred to; the message names the attribute, never its value."""


def check_source(source: Dataset) -> None:
    """Check that ``source`` can be referred to.

    Raises
    ------
    SourceError
        A UID of its instance, class, series or study is missing or malformed.
    """
    for name in _REQUIRED:
        value = str(source.get(name) or "")
        # Not pydicom's UID class: it would quote the value in a warning.
        if len(value) > _UI_LIMIT or not re.fullmatch(RE_VALID_UID, value):
            raise SourceError(f"the source image has no valid {name}; it cannot be reported on")


def put_patient_and_study(target: Dataset, source: Dataset, texts: Iterable[str]) -> None:
    """Copy patient, study and character set from ``source`` into the empty data set ``target``.

    Parameters
    ----------
    target
        The result; afterwards it is to be written in Explicit VR Little Endian.
    source
        An image of the study; it may come from a file in any transfer syntax.
    texts
        All free text that the result will add. If the character set of the source cannot encode
        it, everything is written in Latin-1 (ISO_IR 100) where that only adds to it, else in UTF-8
        (ISO_IR 192).
    """
    character_set = source.get("SpecificCharacterSet") or None
    texts, recode = list(texts), False
    if not _encodes(character_set, texts):
        # Latin-1 holds ASCII with the same bytes.
        extends = character_set in (None, *_ASCII) and _encodes(_LATIN_1, texts)
        character_set, recode = (_LATIN_1, False) if extends else (_UTF_8, True)
    encodings: str | list[str] = default_encoding
    if character_set is not None:
        target.SpecificCharacterSet = copy.copy(character_set)
        encodings = convert_encodings(character_set)
    # Tells pydicom that raw elements already are in the encoding that will be written.
    target.set_original_encoding(False, True, encodings)
    for name in _TYPE_2:
        put_copy(target, source, name, recode=recode)
    for name in (*_IF_PRESENT, *_SEQUENCES):
        if name in source:
            put_copy(target, source, name, recode=recode)
    if not any(target.get(name) for name in _METHODS):
        # Type 1C (PS3.3 C.7.1.1): a claim that does not say how is not repeated.
        for name in ("PatientIdentityRemoved", *_METHODS):
            target.pop(name, None)
    target.StudyInstanceUID = source.StudyInstanceUID


def put_copy(target: Dataset, source: Dataset, name: str, *, recode: bool = False) -> None:
    """Copy one attribute with its bytes; it becomes empty if ``source`` lacks it.

    Parameters
    ----------
    target, source
        Where to and where from.
    name
        Keyword of the attribute.
    recode
        Copy text decoded, because ``target`` has another character set.
    """
    keyword_tag = tag_for_keyword(name)
    if keyword_tag is None:
        raise ValueError(f"{name} is no DICOM keyword")
    tag, vr = Tag(keyword_tag), dictionary_VR(keyword_tag)
    if tag not in source:
        target[tag] = DataElement(tag, vr, None)
        return
    stored = cast(DataElement | RawDataElement, source.get_item(tag))
    if vr == "SQ":
        target[tag] = _decoded(source[tag])
    elif recode and vr in _TEXT_VRS:
        target[tag] = copy.deepcopy(source[tag])
    elif isinstance(stored, RawDataElement):
        target[tag] = _raw(tag, vr, stored.value or b"")
    else:
        # Not validated: a malformed value is the study's, and all its objects must agree.
        target[tag] = DataElement(tag, vr, stored.value, validation_mode=config.IGNORE)


def _decoded(sequence: DataElement) -> DataElement:
    """Return a copy whose nested elements hold no bytes of the source's encoding any more."""
    copied = copy.deepcopy(sequence)
    for item in copied.value:
        for _ in item.iterall():  # pydicom decodes an element when it is looked at
            pass
    return copied


def _raw(tag: BaseTag, vr: str, value: bytes) -> RawDataElement:
    if len(value) % 2:  # PS3.5 section 7.1.1: a value has an even length
        value += b"\0" if vr == "UI" else b" "
    return RawDataElement(tag, vr, len(value), value, 0, False, True)


def _encodes(character_set: str | Sequence[str] | None, texts: Iterable[str]) -> bool:
    """Tell whether every text can be written in the character set of the source.

    Parameters
    ----------
    character_set
        Specific Character Set (0008,0005): a term, or several with code extensions (PS3.3
        C.12.1.1.2); None for the default repertoire.
    texts
        What is to be written.
    """
    other = [each for each in texts if not each.isascii()]
    if not character_set:
        return not other
    terms = [character_set] if isinstance(character_set, str) else list(character_set)
    encodings = convert_encodings(list(terms))
    # The letter is for headers that name a kanji set alone, which pydicom writes no ASCII in.
    return all(_survives(each, encodings, plain=terms[0] in _ASCII) for each in ("A", *other))


def _survives(text: str, encodings: list[str], *, plain: bool) -> bool:
    """Tell whether a text comes back as it was; ``plain`` if the first encoding is ASCII alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom warns where it replaces a character
        try:
            stored = encode_string(text, encodings)
            back = decode_bytes(stored, encodings, TEXT_VR_DELIMS)
        except (UnicodeError, UserWarning):
            return False
    # pydicom writes Latin-1 where only ASCII is declared, and reads it again; others would not.
    return back == text and not (plain and _LATIN_IN_ASCII.search(stored))


def local_time(when: datetime, source: Dataset) -> datetime:
    """Return ``when`` as the wall time to write beside the times of ``source``.

    The source's Timezone Offset From UTC applies; if it states none, the wall time of ``when``
    in its own zone.

    Raises
    ------
    ValueError
        ``when`` has no time zone.
    """
    if when.tzinfo is None:
        raise ValueError("the time of a result must state its time zone")
    offset = _offset(str(source.get("TimezoneOffsetFromUTC") or ""))
    return when if offset is None else when.astimezone(timezone(offset))


def _offset(value: str) -> timedelta | None:
    match = _OFFSET.fullmatch(value.strip())
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset > _OFFSET_LIMIT:
        return None
    return -offset if sign == "-" else offset


def numbers(source: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    """Return ``count`` decimal values of an attribute, or None if it is absent or malformed."""
    try:
        value = source.get(name)
        values = tuple(float(each) for each in value) if value else ()
    except (TypeError, ValueError):
        return None
    return values if len(values) == count else None


def spacing(source: Dataset, name: str) -> tuple[float, float] | None:
    """Return a pixel spacing: mm between rows, between columns; None unless both are positive."""
    values = numbers(source, name, 2)
    if values is None or min(values) <= 0:
        return None
    return values[0], values[1]


def orientation(source: Dataset) -> list[str]:
    """Return Patient Orientation as its two values, or nothing if it has not exactly two."""
    value = source.get("PatientOrientation")
    values = [] if value is None or isinstance(value, str) else [str(each) for each in value]
    return values if len(values) == 2 and all(values) else []


def image_area(source: Dataset) -> float | None:
    """Return the area of an image in mm2; None unless it is calibrated (Pixel Spacing)."""
    # Imager Pixel Spacing is measured at the detector and says nothing about the patient.
    distances = spacing(source, "PixelSpacing")
    if distances is None:
        return None
    return float(distances[0] * source.Rows * distances[1] * source.Columns)


def instance_number(source: Dataset) -> int | None:
    """Return the number that a viewer shows for an image; None if absent or malformed."""
    try:
        value = source.get("InstanceNumber")
        return None if value is None or value == "" else int(value)
    except (TypeError, ValueError):  # values are parsed on access
        return None
