"""What one hostile peer says, made from a seed and a number alone."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random

from tools.fuzz import messages, mutations
from tools.fuzz.messages import Message

LAST_ECHO = 0xFFFF  # Message ID of the C-ECHO that comes after what is answered
_MOST_MESSAGES = 40  # of one association


class End(Enum):
    """How the peer leaves."""

    FINISHED = "no more bytes"
    RESET = "a reset"
    RELEASED = "a release"
    ABORTED = "an abort"
    GONE = "closed while an answer may be under way"


class Answer(Enum):
    """What is waited for before the next step."""

    NONE = "nothing"
    ACCEPTANCE = "an A-ASSOCIATE-AC"
    ECHO = "the answer to the C-ECHO-RQ with which the step ends"


@dataclass(frozen=True)
class Step:
    """Bytes that are sent in one go.

    Attributes
    ----------
    data
        The bytes.
    mutated
        How many PDUs, command sets or data sets in it are not as they should be.
    answer
        What is waited for.
    """

    data: bytes
    mutated: int
    answer: Answer = Answer.NONE


@dataclass(frozen=True)
class Conversation:
    """All that a peer says, and how it leaves."""

    number: int
    steps: tuple[Step, ...]
    end: End

    def hexadecimal(self) -> str:
        """One line per step."""
        return "".join(f"{step.data.hex()}\n" for step in self.steps)


def conversation(seed: int, number: int) -> Conversation:
    """Make one; always the same from the same seed and number."""
    random = Random(f"{seed}/{number}")
    kind = random.choices(_KINDS, _WEIGHTS)[0]
    # A valid name, for the log to say whose it is; hostile names are among what is mutated.
    steps = kind(f"FZ{number}".encode(), random)
    return Conversation(number, tuple(steps), random.choice(list(End)))


def _hostile_content(calling: bytes, random: Random) -> list[Step]:
    """Messages whose PDUs are sound."""
    steps = [_associate(calling, random)]
    for _ in range(random.randint(1, _MOST_MESSAGES)):
        message = _broken(random)
        data = b"".join(message.pdus(random) + messages.echo(LAST_ECHO).pdus(random))
        steps.append(Step(data, 1, Answer.ECHO))
    return steps


def _hostile_framing(calling: bytes, random: Random) -> list[Step]:
    """A valid message, then one whose PDUs are broken."""
    pdus = _valid(random).pdus(random)
    for _ in range(random.choice([1, 1, 1, 3])):
        index = random.randrange(len(pdus))
        way = random.choice([mutations.break_bytes, mutations.break_pdu])
        pdus[index] = way(pdus[index], random)
    if random.random() < 0.2:
        random.shuffle(pdus)
    valid = _valid(random).pdus(random) + messages.echo(LAST_ECHO).pdus(random)
    return [
        _associate(calling, random),
        Step(b"".join(valid), 0, Answer.ECHO),
        Step(b"".join(pdus), 1),
    ]


def _hostile_request(calling: bytes, random: Random) -> list[Step]:
    """An A-ASSOCIATE-RQ that is broken."""
    head = messages.associate_head(calling)
    items = messages.associate_items(random.random() < 0.5, random.choice([0, 1, 7, 16_384]))
    way = random.randrange(4)
    if way == 0:
        user = _sub_items(items.pop()[4:])
        items.append(messages.item(0x50, b"".join(mutations.break_association(user, random))))
    elif way == 1:
        items = mutations.break_association(items, random)
    elif way == 2:
        title = random.choice([b"", b"\0" * 16, b"A\0B", b"\xff" * 16, b"..\\..", b"\n\r\t"])
        head = head[:20] + title.ljust(16) + head[36:]
    request = messages.pdu(1, head + b"".join(items))
    if way == 3:
        request = random.choice([mutations.break_bytes, mutations.break_pdu])(request, random)
    echo = b"".join(messages.echo(LAST_ECHO).pdus(random))
    return [Step(request, 1, Answer.ACCEPTANCE), Step(echo, 0)]


def _wrong_order(calling: bytes, random: Random) -> list[Step]:
    """Valid PDUs at the wrong moment (PS3.8 table 9-10)."""
    request = messages.associate_request(calling)
    stored = b"".join(_valid(random).pdus(random))
    everything = [
        request,
        b"\2" + request[1:],  # an A-ASSOCIATE-AC
        messages.pdu(3, b"\0\1\1\1"),
        stored,
        stored[: random.randrange(len(stored))],
        messages.RELEASE_RQ,
        messages.RELEASE_RP,
        messages.ABORT,
        b"".join(_valid_response(random).pdus(random)),
    ]
    chosen = [random.choice(everything) for _ in range(random.randint(1, 4))]
    before = [_associate(calling, random)] if random.random() < 0.6 else []
    return [*before, *(Step(each, 1) for each in chosen)]


def _half_open(calling: bytes, random: Random) -> list[Step]:
    """One that goes in the middle, or is something else altogether."""
    request = messages.associate_request(calling, identity=True)
    stored = b"".join(_valid(random).pdus(random))
    garbage = [
        b"",
        b"GET / HTTP/1.1\r\nHost: pacs\r\n\r\n",
        bytes.fromhex("1603010200010001fc0303") + random.randbytes(500),  # a TLS ClientHello
        random.randbytes(random.randint(1, 3000)),
        request[: random.randrange(len(request))],
    ]
    if random.random() < 0.5:
        return [Step(random.choice(garbage), 1)]
    return [_associate(calling, random), Step(stored[: random.randrange(len(stored))], 1)]


_KINDS: list[Callable[[bytes, Random], list[Step]]] = [
    _hostile_content, _hostile_framing, _hostile_request, _wrong_order, _half_open
]  # fmt: skip
_WEIGHTS = [55, 20, 10, 8, 7]


def _associate(calling: bytes, random: Random) -> Step:
    identity, longest = random.random() < 0.2, random.choice([0, 1, 7, 128, 16_384, 0xFFFFFFFF])
    request = messages.associate_request(calling, identity=identity, maximum_length=longest)
    return Step(request, 0, Answer.ACCEPTANCE)


def _broken(random: Random) -> Message:
    """A message with one thing wrong in its command set or data set."""
    kind = random.randrange(10)
    if kind < 6:
        return _broken_store(random)
    message = _valid(random)
    if message.data_set is not None and kind < 8:
        message.data_set = mutations.break_bytes(message.data_set, random)
    else:
        mutations.break_command(message, random)
    return message


def _broken_store(random: Random) -> Message:
    context, uid = random.choice(list(messages.STORAGE)), _uid(random)
    header = messages.header(uid, _study(random))
    message = messages.store(_number(random), context, uid, header)
    way = random.randrange(4)
    if way == 0:
        mutations.break_command(message, random)
    elif way == 1:  # the command agrees with what is hostile in the data set
        hostile = mutations.hostile_uid(random)
        header[1].value = message.command[-1].value = hostile
        message.data_set = messages.encode(header, context)
    else:
        message.data_set = mutations.break_data_set(header, context, random)
    return message


def _valid(random: Random) -> Message:
    number, uid = _number(random), _uid(random)
    kind = random.randrange(10)
    if kind < 4:
        context = random.choice(list(messages.STORAGE))
        return messages.store(number, context, uid, messages.header(uid, _study(random)))
    if kind == 4:
        return messages.echo(number)
    if kind == 5:
        return messages.cancel(number)
    if kind == 6:
        fields = (messages.C_FIND_RQ, messages.C_GET_RQ, messages.C_MOVE_RQ)
        return messages.query(number, random.choice(fields))
    others = (
        messages.N_EVENT_REPORT_RQ, messages.N_GET_RQ, messages.N_SET_RQ,
        messages.N_CREATE_RQ, messages.N_DELETE_RQ,
    )  # fmt: skip
    action = kind < 9
    return messages.normalized(
        number, messages.N_ACTION_RQ if action else random.choice(others), uid
    )


def _valid_response(random: Random) -> Message:
    message = _valid(random)
    for each in message.command:
        if each.tag == 0x0100:
            each.value = bytes([each.value[0], each.value[1] | 0x80])
    message.command.append(messages.Element(0x0120, b"\1\0"))
    message.command.append(messages.Element(0x0900, b"\0\0"))
    return message


def _sub_items(content: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(content):
        (length,) = struct.unpack_from(">H", content, at + 2)
        found.append(content[at : at + 4 + length])
        at += 4 + length
    return found


def _uid(random: Random) -> str:
    """Mostly a new one; sometimes one that came before."""
    return f"{messages.ROOT}.1.{random.choice([random.randint(1, 50), random.getrandbits(60)])}"


def _study(random: Random) -> str:
    return f"{messages.ROOT}.2.{random.randint(1, 500)}"


def _number(random: Random) -> int:
    return random.choice([0, 1, random.randrange(LAST_ECHO)])
