"""Preamble and file meta information before the bytes as received (PS3.10 section 7.1)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

from pydicom.uid import UID

IMPLEMENTATION_CLASS_UID = UID("2.25.151818344662683678200917921992779718210")
IMPLEMENTATION_VERSION = "WETREAD_0_1"

_PREFIX = bytes(128) + b"DICM"
_SHORT = struct.Struct("<HH2sH")  # Explicit VR Little Endian: group, element, VR, length
_LENGTH_ELEMENT = struct.Struct("<HH2sHI")  # (0002,0000) UL with its value
_LENGTH_ELEMENT_AT = len(_PREFIX)
# (0002,0001) OB: a long form, whose VR is followed by two reserved bytes and 32 bits of length.
_VERSION = struct.pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01"

META_BYTES = 4096  # more than nearly all file meta information takes
_GROUP = b"\x02\x00"
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
START_BYTES = _LENGTH_ELEMENT_AT + _LENGTH_ELEMENT.size


class FileMeta(NamedTuple):
    """What the file meta information says of an instance, and where its data set begins."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    data_set_at: int


def file_header(
    *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str, calling_ae: str
) -> bytes:
    """Everything that a Part 10 file holds before its data set."""
    before, after = _unchanging(sop_class_uid, transfer_syntax, calling_ae)
    meta = before + _element(0x0003, b"UI", sop_instance_uid) + after
    return _PREFIX + _LENGTH_ELEMENT.pack(0x0002, 0x0000, b"UL", 4, len(meta)) + meta


@lru_cache(maxsize=256)
def _unchanging(sop_class_uid: str, transfer_syntax: str, calling_ae: str) -> tuple[bytes, bytes]:
    """Elements before and after the SOP Instance UID, alike for most of what a peer sends."""
    before = _VERSION + _element(0x0002, b"UI", sop_class_uid)
    after = (
        _element(0x0010, b"UI", transfer_syntax)
        + _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
        + _element(0x0013, b"SH", IMPLEMENTATION_VERSION)
        + _element(0x0016, b"AE", calling_ae)
    )
    return before, after


def data_set_offset(start: bytes) -> int:
    """Where the data set begins in a file of ours, from its first ``START_BYTES`` bytes.

    Raises
    ------
    ValueError
        They are not the start of a Part 10 file.
    """
    if len(start) < START_BYTES or start[128:132] != b"DICM":
        raise ValueError("no Part 10 file")
    length = _LENGTH_ELEMENT.unpack_from(start, _LENGTH_ELEMENT_AT)[-1]
    return START_BYTES + int(length)


def read_meta(start: bytes) -> FileMeta:
    """Read the file meta information of any Part 10 file, from its first ``META_BYTES`` bytes.

    Raises
    ------
    ValueError
        It is no Part 10 file, or its meta information is longer, damaged or not complete.
    """
    if start[_LENGTH_ELEMENT_AT - 4 : _LENGTH_ELEMENT_AT] != b"DICM":
        raise ValueError("no Part 10 file")
    values: dict[int, str] = {}
    at = _LENGTH_ELEMENT_AT
    # The group length is not asked: there are files in which it is wrong.
    while start[at : at + 2] == _GROUP and at + _SHORT.size <= len(start):
        _, element, vr, length = _SHORT.unpack_from(start, at)
        at += _SHORT.size
        if vr in _LONG_VRS:
            length = int.from_bytes(start[at : at + 4], "little")
            at += 4
        values[element] = start[at : at + length].rstrip(b"\0 ").decode("latin-1")
        at += length
    if at + 2 > len(start) or start[at : at + 2] == _GROUP:
        raise ValueError("the file meta information does not end")
    found = FileMeta(values.get(0x0002, ""), values.get(0x0003, ""), values.get(0x0010, ""), at)
    if not all(found):
        raise ValueError("the file meta information lacks a UID")
    return found


def _element(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _SHORT.pack(0x0002, element, vr, len(value)) + value
