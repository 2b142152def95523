"""The few elements of a received data set that the job table needs; pixels are never touched.

They stand within the first kilobytes. A small scanner takes them from there for little endian
data sets, which is nearly all there are; pydicom reads the rest, from the first megabytes alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from db.archive import checked_uid
from db.errors import InvalidUID

_WANTED = {
    "sop_class_uid": Tag("SOPClassUID"),
    "sop_instance_uid": Tag("SOPInstanceUID"),
    "modality": Tag("Modality"),
    "manufacturer": Tag("Manufacturer"),
    "model_name": Tag("ManufacturerModelName"),
    "study_uid": Tag("StudyInstanceUID"),
    "series_uid": Tag("SeriesInstanceUID"),
}
# Plain numbers: pydicom's tags take their time to compare.
_LAST = int(max(_WANTED.values()))
_NAMES = {int(tag): name for name, tag in _WANTED.items()}

# Enough for any header, whatever sequences stand in it, and too little for a bomb.
START_BYTES = 4 * 1024 * 1024

_SHORT_FORM = struct.Struct("<HH2sH")  # PS3.5 table 7.1-2
_LONG_FORM_LENGTH = struct.Struct("<I")  # PS3.5 table 7.1-1, behind two reserved bytes
_IMPLICIT_FORM = struct.Struct("<HHI")  # PS3.5 table 7.1-3
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_OWN = "wetread"


class HeaderError(ValueError):
    """A data set whose header cannot be read or lacks an identifier; names the element."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """Identifiers of a received instance; the UIDs are checked and may become paths."""

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    modality: str
    own: bool  # made by this software, so not to be read again


def read_header(
    head: bytes, transfer_syntax: UID, read_start: Callable[[int], bytes] | None = None
) -> Header:
    """Read the identifiers of an encoded data set.

    Parameters
    ----------
    head
        The first bytes as received, without file meta information.
    transfer_syntax
        As negotiated.
    read_start
        Gives the first bytes of the data set, as many as asked for, should ``head`` not do; by
        default ``head`` is all there is.

    Raises
    ------
    HeaderError
        The data set cannot be parsed, or a UID is missing or is none.
    """
    values = _scan(head, transfer_syntax)
    if values is None:
        start = head if read_start is None else read_start(START_BYTES)
        values = _parse(start, transfer_syntax)
    try:
        return Header(
            sop_class_uid=checked_uid(values.get("sop_class_uid", ""), "SOP Class UID"),
            sop_instance_uid=checked_uid(values.get("sop_instance_uid", ""), "SOP Instance UID"),
            study_uid=checked_uid(values.get("study_uid", ""), "Study Instance UID"),
            series_uid=checked_uid(values.get("series_uid", ""), "Series Instance UID"),
            modality=values.get("modality", "").strip()[:16],
            own=values.get("manufacturer") == _OWN and values.get("model_name") == _OWN,
        )
    except InvalidUID as error:
        raise HeaderError(str(error)) from error


def _scan(head: bytes, transfer_syntax: UID) -> dict[str, str] | None:
    """Values from the first bytes; None where pydicom must look."""
    if transfer_syntax.is_deflated or not transfer_syntax.is_little_endian:
        return None
    found = _implicit(head) if transfer_syntax.is_implicit_VR else _explicit(head)
    if found is None:
        return None
    values: dict[str, str] = {}
    for tag, value in found.items():
        text = value.decode("latin-1").rstrip("\0 ").lstrip(" ")
        # pydicom strips tabs and the like, and parts values at backslashes.
        if not (text.isascii() and text.isprintable()) or "\\" in text:
            return None
        values[_NAMES[tag]] = text
    return values


def _explicit(head: bytes) -> dict[int, bytes] | None:
    """Wanted elements of the top level; None where something is not plain."""
    found: dict[int, bytes] = {}
    at, previous, last_at = 0, -1, len(head) - _SHORT_FORM.size
    while at <= last_at:
        group, element, vr, length = _SHORT_FORM.unpack_from(head, at)
        tag = group << 16 | element
        if tag > _LAST:
            return found
        at += _SHORT_FORM.size
        if vr in _LONG_VRS:
            if at + _LONG_FORM_LENGTH.size > len(head):
                return None
            (length,) = _LONG_FORM_LENGTH.unpack_from(head, at)
            at += _LONG_FORM_LENGTH.size
        elif vr not in _SHORT_VRS:
            return None
        if tag <= previous or at + length > len(head):  # of undefined length, too
            return None
        if tag in _NAMES:
            found[tag] = head[at : at + length]
        previous = tag
        at += length
    return None


def _implicit(head: bytes) -> dict[int, bytes] | None:
    """The same for Implicit VR."""
    found: dict[int, bytes] = {}
    at, previous, last_at = 0, -1, len(head) - _IMPLICIT_FORM.size
    while at <= last_at:
        group, element, length = _IMPLICIT_FORM.unpack_from(head, at)
        tag = group << 16 | element
        if tag > _LAST:
            return found
        at += _IMPLICIT_FORM.size
        if tag <= previous or at + length > len(head):
            return None
        if tag in _NAMES:
            found[tag] = head[at : at + length]
        previous = tag
        at += length
    return None


def _parse(start: bytes, transfer_syntax: UID) -> dict[str, str]:
    try:
        found = _read(start, transfer_syntax)
        return {name: str(found[tag].value or "") for name, tag in _WANTED.items() if tag in found}
    except Exception as error:  # the parser meets a peer's bytes and may raise anything
        raise HeaderError(f"data set cannot be parsed ({type(error).__name__})") from error


def _read(start: bytes, transfer_syntax: UID) -> Dataset:
    if transfer_syntax.is_deflated:
        start = zlib.decompressobj(-zlib.MAX_WBITS).decompress(start, START_BYTES)
    return read_dataset(
        BytesIO(start),
        is_implicit_VR=transfer_syntax.is_implicit_VR,
        is_little_endian=transfer_syntax.is_little_endian,
        stop_when=_past_last,
        specific_tags=list(_WANTED.values()),
    )


def _past_last(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag > _LAST)
