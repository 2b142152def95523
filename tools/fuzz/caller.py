"""Says a conversation to the receiver, and sees to it that the receiver lets go."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

from dimse.command import C_ECHO_RSP, command_field, parse
from dimse.pdata import HEADER_BYTES, P_DATA_TF, OtherPDU, PDataReader
from tools.fuzz.conversations import LAST_ECHO, Answer, Conversation, End
from tools.fuzz.messages import ABORT, RELEASE_RQ

_ANSWER_SECONDS = 1.0  # then the receiver waits for more of a message that was cut
_LET_GO_SECONDS = 40.0  # the ARTIM timer runs for 30
_ASSOCIATE_AC, _ABORT = 0x02, 0x07
_ANSWERED = struct.pack("<H", LAST_ECHO)


class Held(Exception):
    """The receiver did not close a connection that its peer had closed."""


@dataclass
class Outcome:
    """What came of a conversation."""

    sent: int = 0  # mutated PDUs, command sets and data sets
    answered: int = 0  # steps after which the association still stood


def call(port: int, said: Conversation) -> Outcome:
    """Say a conversation.

    Raises
    ------
    Held
        The connection is still open long after the peer has left.
    """
    outcome = Outcome()
    with socket.create_connection(("127.0.0.1", port), timeout=_LET_GO_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            _say(connection, said, outcome)
            if said.end is End.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return outcome
            if said.end is End.GONE:
                return outcome
            if said.end in (End.RELEASED, End.ABORTED):
                connection.sendall(RELEASE_RQ if said.end is End.RELEASED else ABORT)
            connection.shutdown(socket.SHUT_WR)
            _drain(connection)
        except TimeoutError as error:
            raise Held(f"conversation {said.number}, which ended with {said.end.value}") from error
        except OSError:  # closed by the receiver, which it may
            pass
    return outcome


def _say(connection: socket.socket, said: Conversation, outcome: Outcome) -> None:
    ear = _Ear(connection)
    for step in said.steps:
        connection.sendall(step.data)
        outcome.sent += step.mutated
        if step.answer is not Answer.NONE and not ear.hears(step.answer):
            return
        outcome.answered += step.answer is Answer.ECHO


def _drain(connection: socket.socket) -> None:
    deadline = time.monotonic() + _LET_GO_SECONDS
    while connection.recv(65_536):
        if time.monotonic() > deadline:
            raise TimeoutError


class _Ear:
    """Reads what the receiver says until it is the answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""
        self._command = b""

    def hears(self, answer: Answer) -> bool:
        """Whether it comes; else the association is over, or the receiver waits for more."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not self._holds(answer):
            left = deadline - time.monotonic()
            self._connection.settimeout(max(0.001, left))
            try:
                data = self._connection.recv(65_536)
            except TimeoutError:
                data = b""
            finally:
                self._connection.settimeout(_LET_GO_SECONDS)
            if not data:
                return False
            self._received += data
        return True

    def _holds(self, answer: Answer) -> bool:
        while len(self._received) >= HEADER_BYTES:
            kind, length = struct.unpack_from(">BxI", self._received)
            end = HEADER_BYTES + length
            if len(self._received) < end:
                return False
            pdu, self._received = self._received[:end], self._received[end:]
            if kind == _ABORT:
                raise ConnectionAbortedError
            if kind == _ASSOCIATE_AC and answer is Answer.ACCEPTANCE:
                return True
            if kind == P_DATA_TF and self._ends_with_echo(pdu):
                return answer is Answer.ECHO
        return False

    def _ends_with_echo(self, pdu: bytes) -> bool:
        for fragment in PDataReader().feed(memoryview(pdu)):
            assert not isinstance(fragment, OtherPDU)
            if not fragment.command:
                continue
            self._command += fragment.data
            if fragment.last:
                elements, self._command = parse(self._command), b""
                if command_field(elements) == C_ECHO_RSP and elements[0x0120] == _ANSWERED:
                    return True
        return False
