"""What a well-behaved peer says, in parts that can be broken one by one."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from random import Random

from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    StorageCommitmentPushModel,
    Verification,
)

from db.verdict import PUSH_MODEL_INSTANCE
from dimse.command import C_ECHO_RQ, C_STORE_RQ, NO_DATA_SET

SECRET = "Fuzz^Secret"  # the patient's name and ID in every data set: must stand in no log
ROOT = "1.2.826.0.1.3680043.8.498.77"
_EXPLICIT_LONG = frozenset((b"OB", b"SQ", b"UN", b"UT"))

# Presentation context IDs of every association: abstract and transfer syntax.
VERIFICATION, COMMITMENT, QUERY = 1, 3, 5
STORAGE = {
    7: ExplicitVRLittleEndian,
    9: ImplicitVRLittleEndian,
    11: ExplicitVRBigEndian,
    13: DeflatedExplicitVRLittleEndian,
}
_CONTEXTS = {
    VERIFICATION: (Verification, ImplicitVRLittleEndian),
    COMMITMENT: (StorageCommitmentPushModel, ExplicitVRLittleEndian),
    QUERY: (PatientRootQueryRetrieveInformationModelFind, ExplicitVRLittleEndian),
    **{number: (CTImageStorage, syntax) for number, syntax in STORAGE.items()},
}

C_GET_RQ, C_FIND_RQ, C_MOVE_RQ, C_CANCEL_RQ = 0x0010, 0x0020, 0x0021, 0x0FFF
N_EVENT_REPORT_RQ, N_GET_RQ, N_SET_RQ, N_ACTION_RQ = 0x0100, 0x0110, 0x0120, 0x0130
N_CREATE_RQ, N_DELETE_RQ = 0x0140, 0x0150
RELEASE_RQ = struct.pack(">BxII", 5, 4, 0)
RELEASE_RP = struct.pack(">BxII", 6, 4, 0)
ABORT = struct.pack(">BxII", 7, 4, 0)


@dataclass
class Element:
    """An element of a command set or data set; ``length`` where it is not that of the value."""

    tag: int
    value: bytes
    vr: bytes = b"UN"
    length: int | None = None


@dataclass
class Message:
    """A DIMSE message before it is cut into PDVs."""

    context: int
    command: list[Element]
    data_set: bytes | None = None
    raw_command: bytes | None = field(default=None)

    def encoded_command(self) -> bytes:
        """The command set, with a group length that fits."""
        if self.raw_command is not None:
            return self.raw_command
        body = b"".join(map(_implicit, self.command))
        return struct.pack("<HHII", 0, 0, 4, len(body)) + body

    def pdus(self, random: Random) -> list[bytes]:
        """Cut it into PDUs: whole, in odd pieces, or all in one PDU."""
        longest = random.choice([1, 7, 100, 4096, 60_000]) if random.random() < 0.3 else 60_000
        pdvs = _pdvs(self.context, 1, self.encoded_command(), max(longest, 64))
        if self.data_set is not None:
            pdvs += _pdvs(self.context, 0, self.data_set, max(longest, len(self.data_set) // 100))
        if random.random() < 0.1 and sum(map(len, pdvs)) < 100_000:
            return [pdu(4, b"".join(pdvs))]
        return [pdu(4, each) for each in pdvs]


def pdu(kind: int, body: bytes) -> bytes:
    """One PDU."""
    return struct.pack(">BxI", kind, len(body)) + body


def _pdvs(context: int, control: int, content: bytes, longest: int) -> list[bytes]:
    pdvs = []
    for start in range(0, max(1, len(content)), longest):
        piece = content[start : start + longest]
        last = 2 if start + longest >= len(content) else 0
        pdvs.append(struct.pack(">IBB", len(piece) + 2, context, control | last) + piece)
    return pdvs


def associate_request(
    calling: bytes, *, identity: bool = False, maximum_length: int = 16_384
) -> bytes:
    """An A-ASSOCIATE-RQ (PS3.8 section 9.3.2) with every context, a role, and an identity."""
    return pdu(1, associate_head(calling) + b"".join(associate_items(identity, maximum_length)))


def associate_head(calling: bytes) -> bytes:
    """What stands before its items."""
    return struct.pack(">HH16s16s32x", 1, 0, b"WETREAD".ljust(16), calling.ljust(16))


def associate_items(identity: bool, maximum_length: int) -> list[bytes]:
    """Its items."""
    contexts = [
        item(
            0x20,
            struct.pack(">B3x", number) + item(0x30, _bytes(abstract)) + item(0x40, _bytes(syntax)),
        )
        for number, (abstract, syntax) in _CONTEXTS.items()
    ]
    role = struct.pack(">H", len(CTImageStorage)) + CTImageStorage.encode() + b"\1\0"
    user = [
        item(0x51, struct.pack(">I", maximum_length)),
        item(0x52, b"1.2.826.0.1.3680043.8.498.777"),
        item(0x54, role),
    ]
    if identity:
        secret = SECRET.encode()
        user.append(item(0x58, b"\2\1" + _counted(b"anna") + _counted(secret)))
    return [item(0x10, b"1.2.840.10008.3.1.1.1"), *contexts, item(0x50, b"".join(user))]


def item(kind: int, content: bytes) -> bytes:
    """One item or sub-item."""
    return struct.pack(">BxH", kind, len(content)) + content


def echo(message_id: int) -> Message:
    """C-ECHO-RQ."""
    return Message(VERIFICATION, _command(C_ECHO_RQ, message_id, Verification, data_set=False))


def store(message_id: int, context: int, uid: str, header: list[Element]) -> Message:
    """C-STORE-RQ with a data set."""
    command = _command(C_STORE_RQ, message_id, CTImageStorage)
    command += [Element(0x0700, b"\0\0"), Element(0x1000, _even(uid.encode()))]
    command.sort(key=lambda each: each.tag)
    return Message(context, command, encode(header, context))


def header(uid: str, study: str) -> list[Element]:
    """The data set of an image that is as small as it can be."""
    return [
        Element(0x00080016, _even(CTImageStorage.encode()), b"UI"),
        Element(0x00080018, _even(uid.encode()), b"UI"),
        Element(0x00080060, b"CT", b"CS"),
        Element(0x00100010, _even(SECRET.encode(), b" "), b"PN"),
        Element(0x00100020, _even(SECRET.encode(), b" "), b"LO"),
        Element(0x0020000D, _even(study.encode()), b"UI"),
        Element(0x0020000E, _even(f"{study}.1".encode()), b"UI"),
        Element(0x7FE00010, bytes(300), b"OB"),
    ]


def query(message_id: int, field: int) -> Message:
    """A C-FIND-RQ, C-GET-RQ or C-MOVE-RQ, which this node does not serve."""
    command = _command(field, message_id, PatientRootQueryRetrieveInformationModelFind)
    identifier = [Element(0x00080052, b"PATIENT ", b"CS"), Element(0x00100010, b"", b"PN")]
    return Message(QUERY, command, encode(identifier, 7))


def cancel(message_id: int) -> Message:
    """C-CANCEL-RQ (PS3.7 section 9.3.2.3)."""
    command = [
        Element(0x0100, struct.pack("<H", C_CANCEL_RQ)),
        Element(0x0120, struct.pack("<H", message_id)),
        Element(0x0800, struct.pack("<H", NO_DATA_SET)),
    ]
    return Message(QUERY, command)


def normalized(message_id: int, field: int, uid: str) -> Message:
    """An N-ACTION-RQ that asks for storage commitment, or another service with its data set."""
    command = [
        Element(0x0003, _even(StorageCommitmentPushModel.encode())),
        Element(0x0100, struct.pack("<H", field)),
        Element(0x0110, struct.pack("<H", message_id)),
        Element(0x0800, b"\1\0"),
        Element(0x1001, _even(PUSH_MODEL_INSTANCE.encode())),
        Element(0x1008, b"\1\0"),
    ]
    reference = [
        Element(0x00081150, _even(CTImageStorage.encode()), b"UI"),
        Element(0x00081155, _even(uid.encode()), b"UI"),
    ]
    inner = encode(reference, 7)
    items = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    information = [
        Element(0x00081195, _even(f"{uid}.9".encode()), b"UI"),
        Element(0x00081199, items, b"SQ"),
    ]
    return Message(COMMITMENT, command, encode(information, 7))


def encode(elements: list[Element], context: int) -> bytes:
    """A data set in the transfer syntax of a storage context."""
    syntax = STORAGE.get(context, ExplicitVRLittleEndian)
    if syntax.is_implicit_VR:
        return b"".join(map(_implicit, elements))
    encoded = b"".join(
        _explicit(each, "<" if syntax.is_little_endian else ">") for each in elements
    )
    return deflated(encoded) if syntax.is_deflated else encoded


def deflated(content: bytes) -> bytes:
    """As PS3.5 Annex A.5 has it."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def _command(field: int, message_id: int, sop_class: str, data_set: bool = True) -> list[Element]:
    return [
        Element(0x0002, _even(sop_class.encode())),
        Element(0x0100, struct.pack("<H", field)),
        Element(0x0110, struct.pack("<H", message_id)),
        Element(0x0800, struct.pack("<H", 1 if data_set else NO_DATA_SET)),
    ]


def _implicit(element: Element) -> bytes:
    length = len(element.value) if element.length is None else element.length
    return struct.pack("<HHI", element.tag >> 16, element.tag & 0xFFFF, length) + element.value


def _explicit(element: Element, order: str) -> bytes:
    length = len(element.value) if element.length is None else element.length
    start = struct.pack(f"{order}HH", element.tag >> 16, element.tag & 0xFFFF) + element.vr
    if element.vr in _EXPLICIT_LONG:
        return start + struct.pack(f"{order}xxI", length) + element.value
    return start + struct.pack(f"{order}H", length & 0xFFFF) + element.value


def _even(value: bytes, padding: bytes = b"\0") -> bytes:
    return value + padding * (len(value) % 2)


def _counted(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def _bytes(uid: str) -> bytes:
    return str(uid).encode()
