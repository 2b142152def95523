"""Command sets, as far as C-STORE and C-ECHO need them (PS3.7 section 6.3, Annex E)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
C_ECHO_RQ, C_ECHO_RSP = 0x0030, 0x8030
NO_DATA_SET = 0x0101  # PS3.7 Annex E.1, Command Data Set Type
_DATA_SET = 0x0001  # any other value
_MEDIUM = 0x0000  # PS3.7 Annex E.1, Priority

# Elements of group 0000 (PS3.7 table E.1-1).
_GROUP_LENGTH = 0x0000
_AFFECTED_SOP_CLASS_UID = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_RESPONDED_TO = 0x0120
_PRIORITY = 0x0700
_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000

_ELEMENT = struct.Struct("<HHI")  # Implicit VR Little Endian: group, element, length
_US = struct.Struct("<H")
_UL = struct.Struct("<I")
COMMENT_LIMIT = 64  # PS3.7 Annex C.4.2: Error Comment is LO

Elements = Mapping[int, bytes]


class MalformedCommand(ValueError):
    """A command set that cannot be read or lacks what it must have; names the element."""


@dataclass(frozen=True)
class StoreRequest:
    """A C-STORE-RQ (PS3.7 section 9.3.1.1)."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool


def parse(command: bytes | bytearray) -> dict[int, bytes]:
    """Elements of a command set by element number, their values as they came.

    Raises
    ------
    MalformedCommand
        The lengths do not add up, or an element is not of group 0000.
    """
    elements: dict[int, bytes] = {}
    at = 0
    while at < len(command):
        if at + _ELEMENT.size > len(command):
            raise MalformedCommand("the command set ends within an element")
        group, element, length = _ELEMENT.unpack_from(command, at)
        at += _ELEMENT.size
        if group != 0x0000 or at + length > len(command):
            raise MalformedCommand(f"element ({group:04X},{element:04X}) has no place there")
        elements[element] = bytes(command[at : at + length])
        at += length
    return elements


def command_field(elements: Elements) -> int:
    """Which request or response it is (PS3.7 Annex E.1).

    Raises
    ------
    MalformedCommand
        It does not say.
    """
    return _unsigned(elements, _COMMAND_FIELD)


def message_id(elements: Elements) -> int:
    """Message ID (0000,0110) of a request.

    Raises
    ------
    MalformedCommand
        It has none.
    """
    return _unsigned(elements, _MESSAGE_ID)


def store_request(elements: Elements) -> StoreRequest:
    """Read a C-STORE-RQ.

    Raises
    ------
    MalformedCommand
        A mandatory element is missing.
    """
    return StoreRequest(
        message_id=message_id(elements),
        sop_class_uid=_uid(elements, _AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=_uid(elements, _AFFECTED_SOP_INSTANCE_UID),
        has_data_set=_unsigned(elements, _DATA_SET_TYPE) != NO_DATA_SET,
    )


def encode_store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Encode a C-STORE-RQ of medium priority, with a data set (PS3.7 section 9.3.1.1)."""
    return encode(
        {
            _AFFECTED_SOP_CLASS_UID: _text(sop_class_uid, b"\0"),
            _COMMAND_FIELD: _US.pack(C_STORE_RQ),
            _MESSAGE_ID: _US.pack(message_id),
            _PRIORITY: _US.pack(_MEDIUM),
            _DATA_SET_TYPE: _US.pack(_DATA_SET),
            _AFFECTED_SOP_INSTANCE_UID: _text(sop_instance_uid, b"\0"),
        }
    )


def store_status(elements: Elements, message_id: int) -> int:
    """Status of the C-STORE-RSP to a request (PS3.7 section 9.3.1.2).

    Raises
    ------
    MalformedCommand
        It is no such response, or to another request.
    """
    if command_field(elements) != C_STORE_RSP:
        raise MalformedCommand("a command where the response to C-STORE should come")
    if _unsigned(elements, _MESSAGE_ID_RESPONDED_TO) != message_id:
        raise MalformedCommand("a response to another request")
    return _unsigned(elements, _STATUS)


def store_response(request: StoreRequest, status: int, comment: str = "") -> bytes:
    """Encode a C-STORE-RSP (PS3.7 section 9.3.1.2).

    Parameters
    ----------
    request
        What is answered.
    status
        See ``scp.status``.
    comment
        Error Comment (0000,0902); cut at 64 characters, and ``?`` for what is not printable ASCII.
    """
    elements = {
        _AFFECTED_SOP_CLASS_UID: _text(request.sop_class_uid, b"\0"),
        _COMMAND_FIELD: _US.pack(C_STORE_RSP),
        _MESSAGE_ID_RESPONDED_TO: _US.pack(request.message_id),
        _DATA_SET_TYPE: _US.pack(NO_DATA_SET),
        _STATUS: _US.pack(status),
    }
    if comment:
        elements[_ERROR_COMMENT] = _text(_plain(comment[:COMMENT_LIMIT]), b" ")
    elements[_AFFECTED_SOP_INSTANCE_UID] = _text(request.sop_instance_uid, b"\0")
    return encode(elements)


def echo_response(elements: Elements) -> bytes:
    """Encode the C-ECHO-RSP, Success, to a C-ECHO-RQ (PS3.7 section 9.3.5.2).

    Raises
    ------
    MalformedCommand
        The request has no Message ID.
    """
    sop_class = elements.get(_AFFECTED_SOP_CLASS_UID, b"")
    return encode(
        {
            **({_AFFECTED_SOP_CLASS_UID: sop_class} if sop_class else {}),
            _COMMAND_FIELD: _US.pack(C_ECHO_RSP),
            _MESSAGE_ID_RESPONDED_TO: _US.pack(message_id(elements)),
            _DATA_SET_TYPE: _US.pack(NO_DATA_SET),
            _STATUS: _US.pack(0x0000),
        }
    )


def encode(elements: Elements) -> bytes:
    """Encode elements, given in ascending order, behind their group length."""
    body = b"".join(
        _ELEMENT.pack(0x0000, element, len(value)) + value for element, value in elements.items()
    )
    return _ELEMENT.pack(0x0000, _GROUP_LENGTH, _UL.size) + _UL.pack(len(body)) + body


def _unsigned(elements: Elements, element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != _US.size:
        raise MalformedCommand(f"element (0000,{element:04X}) is missing or has no 16 bits")
    return int(_US.unpack(value)[0])


def _uid(elements: Elements, element: int) -> str:
    value = elements.get(element, b"").rstrip(b"\0 ")
    if not value:
        raise MalformedCommand(f"element (0000,{element:04X}) is missing")
    return value.decode("ascii", "replace")


def _plain(comment: str) -> str:
    """Return a comment without control characters, which no LO has (PS3.5 section 6.2)."""
    return "".join(each if each.isprintable() else "?" for each in comment)


def _text(value: str, padding: bytes) -> bytes:
    encoded = value.encode("ascii", "replace")
    return encoded + padding if len(encoded) % 2 else encoded
