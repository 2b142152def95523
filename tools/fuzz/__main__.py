"""Fuzz a receiver.

``python -m tools.fuzz [--messages 100000] [--seed 1] [--callers 4] [--silent 20]``

Starts a node in a folder of its own and lets hostile peers call its receiver, until so many
mutated PDUs, command sets and data sets were sent. After each tenth of them it looks whether the
receiver still is what it was: see ``tools/fuzz/watch.py``. Where it is not, the bytes of the
conversations that came last are written to ``fuzz-broken/``; ``--seed N --replay NUMBER...`` says
them again.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from random import Random

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from bench.receive_sender import Prepared, RawSender
from tools.fuzz import messages
from tools.fuzz.caller import Held, Outcome, call
from tools.fuzz.conversations import LAST_ECHO, Answer, Conversation, End, Step, conversation
from tools.fuzz.watch import Broken, Watch
from tools.node import Node

_BLOCKS = 10
_GROWTH_MEGABYTES = 64.0  # of memory, in the second half
_CUT_OFF_SECONDS = 75.0  # a silent peer has 60
_BROKEN = Path("fuzz-broken")


class Fuzzer:
    """Calls one receiver from several threads.

    Parameters
    ----------
    port
        The receiver's.
    seed
        Of all conversations.
    callers
        How many call at the same time.
    """

    def __init__(self, port: int, seed: int, callers: int) -> None:
        self._port = port
        self._seed = seed
        self._callers = callers
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self.total = Outcome()
        self.block: list[int] = []

    def send(self, mutated: int) -> None:
        """Call until so many mutated messages were sent in all.

        Raises
        ------
        Broken
            A connection was not let go, or none could be made.
        """
        self.block = []
        threads = [
            threading.Thread(target=self._call_until, args=(mutated,)) for _ in range(self._callers)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        if self._error is not None:
            raise Broken(f"{type(self._error).__name__}: {self._error}")

    def say(self, said: Conversation) -> None:
        """Say one."""
        outcome = call(self._port, said)
        with self._lock:
            self.total.sent += outcome.sent
            self.total.answered += outcome.answered

    def _call_until(self, mutated: int) -> None:
        try:
            while self.total.sent < mutated and self._error is None:
                with self._lock:
                    number = next(self._numbers)
                    self.block.append(number)
                self.say(conversation(self._seed, number))
        except (OSError, Held) as error:
            self._error = error


class Silent:
    """Peers that connect, say little or nothing, and wait to be cut off."""

    def __init__(self, port: int, count: int) -> None:
        self._over = time.monotonic() + _CUT_OFF_SECONDS
        request = messages.associate_request(b"SILENT")
        starts = itertools.cycle([b"", request[:3], request[:90], request, request + b"\4\0\0"])
        self._connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
        for connection, start in zip(self._connections, starts, strict=False):
            connection.sendall(start)

    @property
    def left(self) -> int:
        """How many may still be open."""
        return len(self._connections) if time.monotonic() < self._over else 0

    def wait(self) -> None:
        """Wait until each is closed.

        Raises
        ------
        Broken
            One is not.
        """
        for each in self._connections:
            with each, suppress(ConnectionError):
                try:
                    each.settimeout(max(0.1, self._over - time.monotonic()))
                    while each.recv(65_536):
                        pass
                except TimeoutError as error:
                    raise Broken("a silent peer is not cut off") from error


def run(total: int, seed: int, callers: int, silent: int, folder: Path) -> None:
    """Fuzz a new node in a folder, and print what was seen.

    Raises
    ------
    Broken
        Something did not hold.
    """
    node = _node(folder)
    with node:
        _check_serving(node.port)
        watch = Watch(node, folder)
        print(f"at first: {watch.baseline}")
        waiting = Silent(node.port, silent)
        fuzzer = Fuzzer(node.port, seed, callers)
        began, memory = time.monotonic(), []
        try:
            for block in range(1, _BLOCKS + 1):
                fuzzer.send(total * block // _BLOCKS)
                if block == _BLOCKS:
                    waiting.wait()
                _check_serving(node.port)
                cost, kept = watch.check(waiting=0 if block == _BLOCKS else waiting.left)
                memory.append(cost.megabytes)
                print(
                    f"{time.monotonic() - began:5.0f} s  {fuzzer.total}  {cost}  {kept}", flush=True
                )
            if memory[-1] - memory[_BLOCKS // 2 - 1] > _GROWTH_MEGABYTES:
                raise Broken(f"memory grows: {memory} MB")
        except Broken:
            _write(seed, fuzzer.block)
            raise


def replay(seed: int, numbers: list[int], folder: Path) -> None:
    """Say some conversations to a new node.

    Raises
    ------
    Broken
        Something did not hold.
    """
    node = _node(folder)
    with node:
        _check_serving(node.port)
        watch = Watch(node, folder)
        for number in numbers:
            said = conversation(seed, number)
            print(number, said.end, call(node.port, said))
        _check_serving(node.port)
        print(*watch.check())


def _node(folder: Path) -> Node:
    """A node far down: a path with many ``../`` still ends in the folder that is watched."""
    return Node(folder.joinpath(*"abcdefgh") / "node", extra="[worker]\nprocesses = 0\n")


def _check_serving(port: int) -> None:
    """One of each, and all is well."""
    random = Random(time.monotonic())
    uid = f"{messages.ROOT}.3.{random.getrandbits(60)}"
    valid = [
        messages.echo(1),
        messages.store(2, 7, uid, messages.header(uid, f"{messages.ROOT}.4")),
        messages.normalized(3, messages.N_ACTION_RQ, uid),
    ]
    echo = b"".join(messages.echo(LAST_ECHO).pdus(random))
    steps = [Step(messages.associate_request(b"VALID"), 0, Answer.ACCEPTANCE)]
    steps += [Step(b"".join(each.pdus(random)) + echo, 0, Answer.ECHO) for each in valid]
    answered = call(port, Conversation(0, tuple(steps), End.RELEASED)).answered
    if answered != len(valid):
        raise Broken(f"only {answered} of {len(valid)} valid requests were answered")
    data_set = messages.encode(messages.header(f"{uid}.1", f"{messages.ROOT}.4"), 7)
    sent = Prepared(CTImageStorage, f"{uid}.1", ExplicitVRLittleEndian, memoryview(data_set))
    sender = RawSender(port, "WETREAD", [sent])
    status = sender.store(sent)
    sender.release()
    if status:
        raise Broken(f"a valid C-STORE is answered with {status:04X}")


def _write(seed: int, numbers: list[int]) -> None:
    _BROKEN.mkdir(exist_ok=True)
    for number in numbers:
        said = conversation(seed, number).hexadecimal()
        (_BROKEN / f"{seed}-{number}.hex").write_text(said, "ascii")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Fuzz a receiver.")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--silent", type=int, default=20)
    parser.add_argument("--replay", type=int, nargs="+", metavar="NUMBER")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wetread-fuzz-") as folder:
        try:
            if asked.replay:
                replay(asked.seed, asked.replay, Path(folder))
            else:
                run(asked.messages, asked.seed, asked.callers, asked.silent, Path(folder))
        except Broken as broken:
            raise SystemExit(f"seed {asked.seed}: {broken}") from broken


if __name__ == "__main__":
    main()
