"""Ways to break what a peer says: bytes, PDUs, command sets and data sets."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from random import Random

from tools.fuzz.messages import STORAGE, Element, Message, deflated, encode, item

ESCAPE = "escaped"  # a file of this name must appear nowhere
_UNDEFINED = 0xFFFFFFFF
_LENGTHS = (0, 1, 3, 5, 6, 7, 131_072, 131_073, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_FIELDS = (
    0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150, 0x0FFF,
)  # fmt: skip
_VRS = (b"OB", b"SQ", b"UN", b"UT", b"UI", b"US", b"PN", b"AT", b"\0\0", b"??")


def hostile_uid(random: Random) -> bytes:
    """What may not become a path, a row or a line of the log."""
    up = "../" * random.randint(1, 8)
    return random.choice(
        [
            f"{up}{ESCAPE}".encode(),
            f"1.2.3/{up}{ESCAPE}".encode(),
            f"{up}{ESCAPE}\0.dcm".encode(),
            f"..\\..\\{ESCAPE}".encode(),
            f"/tmp/{ESCAPE}".encode(),
            b"%2e%2e%2f" + ESCAPE.encode(),
            b"", b" ", b".", b"..", b"1..2", b"1.2.", b"\0\0", b"01.02", b"1.2\n", b"1.2\r\n3",
            b"1.2\x003.4", b"1\\2", b"-1.2", b"1.2;--", b"'", "\uff11.\uff12".encode(),
            b"\xff\xfe1.2", b"1" * 64, b"1" * 65, b"1." * 40, b"9" * 1000, b"A" * 30_000,
            bytes(random.randbytes(random.randint(1, 70))),
        ]
    )  # fmt: skip


def break_bytes(data: bytes, random: Random) -> bytes:
    """Flip, insert, delete, repeat, cut off or move bytes."""
    broken = bytearray(data)
    at = random.randrange(len(broken) + 1)
    end = min(len(broken), at + random.choice([1, 2, 4, 16, 200]))
    kind = random.randrange(6)
    if kind == 0:
        for index in range(at, end):
            broken[index] ^= 1 << random.randrange(8)
    elif kind == 1:
        broken[at:at] = random.randbytes(random.choice([1, 2, 8, 100]))
    elif kind == 2:
        del broken[at:end]
    elif kind == 3:
        broken[at:at] = broken[at:end]
    elif kind == 4:
        del broken[at:]
    else:
        piece = broken[at:end]
        del broken[at:end]
        to = random.randrange(len(broken) + 1)
        broken[to:to] = piece
    return bytes(broken)


def break_pdu(data: bytes, random: Random) -> bytes:
    """Make the header of a PDU, or of its first PDV, say something else."""
    broken = bytearray(data.ljust(12, b"\0"))
    kind = random.randrange(6)
    if kind == 0:
        broken[0] = random.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 0x42, 0xFF])
    elif kind == 1:
        (length,) = struct.unpack_from(">I", broken, 2)
        other = random.choice([*_LENGTHS, length + 1, max(0, length - 1), length + 6])
        struct.pack_into(">I", broken, 2, other)
    elif kind == 2:
        (length,) = struct.unpack_from(">I", broken, 6)
        struct.pack_into(">I", broken, 6, random.choice([*_LENGTHS, (length + 1) & _UNDEFINED]))
    elif kind == 3:
        broken[10] = random.choice([0, 2, 1, 5, 15, 255])
    elif kind == 4:
        broken[11] = random.choice([0, 1, 2, 3, 4, 0x81, 0xFF])
    else:
        broken += random.randbytes(random.randint(1, 40))
    return bytes(broken)


def break_association(items: list[bytes], random: Random) -> list[bytes]:
    """Drop, repeat, move, break or add items of an A-ASSOCIATE-RQ."""
    broken = list(items)
    index = random.randrange(len(broken))
    kind = random.randrange(7)
    if kind == 0:
        del broken[index]
    elif kind == 1:
        broken[index:index] = [broken[index]] * random.choice([1, 2, 128, 300])
    elif kind == 2:
        random.shuffle(broken)
    elif kind == 3:
        broken[index] = break_bytes(broken[index], random)
    elif kind == 4:
        broken[index] = item(random.choice([0, 0x10, 0x20, 0x30, 0x50, 0x58, 0xFF]), b"\xff" * 9)
    elif kind == 5:
        (length,) = struct.unpack_from(">H", broken[index], 2)
        other = random.choice([0, 1, length - 1, length + 1, 0xFFFF])
        broken[index] = broken[index][:2] + struct.pack(">H", other) + broken[index][4:]
    else:
        broken[index] = item(0x10, hostile_uid(random))
    return broken


def break_command(message: Message, random: Random) -> None:
    """Break one thing of a command set; mostly so that it can still be read."""
    kind = random.choices(_COMMAND_WAYS, _COMMAND_WEIGHTS)[0]
    kind(message, random)


def _drop(message: Message, random: Random) -> None:
    del message.command[random.randrange(len(message.command))]


def _repeat(message: Message, random: Random) -> None:
    message.command.append(random.choice(message.command))


def _disorder(message: Message, random: Random) -> None:
    random.shuffle(message.command)


def _foreign_uid(message: Message, random: Random) -> None:
    tags = (0x0002, 0x0003, 0x1000, 0x1001)
    uids = [each for each in message.command if each.tag in tags]
    if uids:
        random.choice(uids).value = hostile_uid(random)
    else:
        message.command.append(Element(0x1000, hostile_uid(random)))


def _other_field(message: Message, random: Random) -> None:
    field = random.choice([*_FIELDS, *(each | 0x8000 for each in _FIELDS), random.getrandbits(16)])
    _set(message, 0x0100, struct.pack("<H", field))


def _other_number(message: Message, random: Random) -> None:
    value = random.choice([b"", b"\0", b"\0\0", b"\1\1", b"\xff\xff", b"\1\0\0\0", bytes(300)])
    _set(message, random.choice([0x0110, 0x0120, 0x0700, 0x0800, 0x0900, 0x1008]), value)


def _more_elements(message: Message, random: Random) -> None:
    size = random.choice([0, 1, 100, 30_000])
    message.command.append(Element(random.getrandbits(16), random.randbytes(size)))


def _wrong_length(message: Message, random: Random) -> None:
    element = random.choice(message.command)
    element.length = random.choice([len(element.value) + 1, len(element.value) ^ 1, _UNDEFINED, 0])


def _wrong_group(message: Message, random: Random) -> None:
    random.choice(message.command).tag |= random.choice([2, 8, 0xFFFE]) << 16


def _noise(message: Message, random: Random) -> None:
    whole = message.encoded_command()
    message.raw_command = random.choice(
        [b"", random.randbytes(60), break_bytes(whole, random), whole[12:], whole + whole]
    )


def _wrong_context(message: Message, random: Random) -> None:
    message.context = random.choice([1, 3, 5, *STORAGE, 2, 99])


def _data_set_or_not(message: Message, random: Random) -> None:
    message.data_set = b"" if message.data_set is None else None


_COMMAND_WAYS: list[Callable[[Message, Random], None]] = [
    _foreign_uid, _other_field, _other_number, _more_elements, _repeat, _disorder,
    _drop, _wrong_length, _wrong_group, _noise, _wrong_context, _data_set_or_not,
]  # fmt: skip
_COMMAND_WEIGHTS = [40, 4, 8, 12, 12, 12, 3, 2, 1, 3, 3, 2]


def break_data_set(elements: list[Element], context: int, random: Random) -> bytes:
    """Break one thing of a data set."""
    kind = random.choices(range(9), [30, 12, 12, 12, 12, 4, 30, 3, 1])[0]
    if kind == 8:
        return _bomb(context)
    chosen = random.choice(elements[:-1])
    if kind == 0:
        uids = [each for each in elements if each.vr == b"UI"]
        random.choice(uids or elements).value = hostile_uid(random)
    elif kind == 1:
        elements.remove(chosen)
    elif kind == 2:
        elements.insert(random.randrange(len(elements)), chosen)
    elif kind == 3:
        chosen.vr = random.choice(_VRS)
    elif kind == 4:
        chosen.length = random.choice([0, 1, 0xFFFF, 0x7FFFFFFF, _UNDEFINED])
    elif kind == 5:
        elements.insert(random.choice([0, 2]), _nest(random))
    elif kind == 7:
        other = random.choice(list(STORAGE))
        return encode(elements, other)
    encoded = encode(elements, context)
    return break_bytes(encoded, random) if kind == 6 else encoded


def _nest(random: Random) -> Element:
    """A sequence in a sequence, and so on."""
    depth = random.choice([3, 50, 500, 3000])
    if random.random() < 0.5:
        start = struct.pack("<HH2sxxI", 0x0008, 0x1140, b"SQ", _UNDEFINED)
        start += struct.pack("<HHI", 0xFFFE, 0xE000, _UNDEFINED)
        return Element(0x00081140, start * depth, b"SQ", _UNDEFINED)
    content = b""
    for _ in range(min(depth, 500)):
        inner = struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
        content = struct.pack("<HH2sxxI", 0x0008, 0x1140, b"SQ", len(inner)) + inner
    return Element(0x00081140, struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content, b"SQ")


@cache
def _bomb(context: int) -> bytes:
    """A million elements of eight bytes; a few kilobytes of it where it is deflated."""
    empty = encode([Element(0x00080008, b"", b"CS")], 7)
    syntax = STORAGE.get(context)
    return deflated(empty * 1_000_000) if syntax and syntax.is_deflated else empty * 20_000


def _set(message: Message, tag: int, value: bytes) -> None:
    for each in message.command:
        if each.tag == tag:
            each.value = value
            return
    message.command.append(Element(tag, value))
