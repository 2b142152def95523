"""How fast files are sent, beside DCMTK's ``storescu`` and pynetdicom's own sender.

``python -m bench.send [--rounds 5] [--quick]``

300 CT of 0.5 MB and 20 CR of 10 MB go over one association to DCMTK's ``storescp`` (which writes
them without an fsync) and to a sink that reads, answers and keeps nothing, so that the sender is
the limit. ``wetread`` is the sender of ``wetread send`` and of the courier, ``pynetdicom`` its
``send_c_store`` with the file's path. Both are timed from the first file to the last answer within
a running process, as the courier sends; ``storescu`` can only be timed as a process, so the time it
takes to send one small object, its start, association and release, is taken off. Last come whole
processes, with their start: ``wetread send`` and ``storescu``. TCP_NODELAY is set everywhere.

``--quick`` sends a tenth.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import _config

from bench.receive import WORKLOADS, Workload, write_objects
from bench.receive_peers import Receiver
from bench.sink import Sink
from delivery.associate import ANSWER_SECONDS, Peer, associate
from delivery.sender import Sender

_COUNTS = {"CT": 300, "CR": 20}
_MAXIMUM_PDU = "131072"  # what storescu can be told at most

Timed = Callable[[int, Sequence[Path]], float]


def wetread(port: int, paths: Sequence[Path], contexts: Sequence[tuple[str, list[str]]]) -> float:
    """Seconds of our sender."""
    with (
        associate(_peer(port), contexts) as association,
        Sender(association, ANSWER_SECONDS) as sender,
    ):
        began = time.perf_counter()
        for path in paths:
            if sender.store(path):
                raise RuntimeError("an object was refused")
        return time.perf_counter() - began


def pynetdicom(
    port: int, paths: Sequence[Path], contexts: Sequence[tuple[str, list[str]]]
) -> float:
    """Seconds of pynetdicom's sender, which streams the files."""
    _config.STORE_SEND_CHUNKED_DATASET = True
    with associate(_peer(port), contexts) as association:
        connection = association.dul.socket.socket if association.dul.socket else None
        assert connection is not None
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        for path in paths:
            if association.send_c_store(path).Status:
                raise RuntimeError("an object was refused")
        return time.perf_counter() - began


def storescu(port: int, paths: Sequence[Path]) -> float:
    """Seconds of DCMTK's sender, as a process."""
    command = ["storescu", "-R", "--max-send-pdu", _MAXIMUM_PDU, "-aec", "STORESCP"]
    return _process([*command, "127.0.0.1", str(port), *map(str, paths)])


def wetread_send(port: int, paths: Sequence[Path]) -> float:
    """Seconds of ``wetread send``, as a process."""
    command = [sys.executable, "-m", "wetread", "send", *map(str, paths)]
    return _process([*command, "--to", f"STORESCP@127.0.0.1:{port}"])


def _process(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(
        command, env=os.environ | {"TCP_NODELAY": "1"}, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def _peer(port: int) -> Peer:
    return Peer(ae_title="STORESCP", host="127.0.0.1", port=port, calling_ae_title="BENCH")


@contextmanager
def _receiving(name: str, folder: Path) -> Iterator[int]:
    if name == "sink":
        with Sink() as sink:
            yield sink.port
        return
    with Receiver(name, folder, nodelay=True, associations=1) as receiver:
        yield receiver.port


def compare(workload: Workload, paths: Sequence[Path], folder: Path, rounds: int) -> None:
    """Print one workload's tables."""
    contexts = [(str(workload.sop_class), [str(ExplicitVRLittleEndian)])]
    senders: dict[str, Timed] = {
        "storescu": _storescu_alone,
        "wetread": lambda port, some: wetread(port, some, contexts),
        "pynetdicom": lambda port, some: pynetdicom(port, some, contexts),
        "storescu process": storescu,
        "wetread process": wetread_send,
    }
    print(f"\n{workload.name}: {len(paths)} x {paths[0].stat().st_size / 1e6:.2f} MB")
    print(f"{'receiver':<10}{'sender':<17}{'objects/s':>9}{'of storescu':>13}")
    for receiver in ("storescp", "sink"):
        seconds: dict[str, list[float]] = defaultdict(list)
        for turn in range(rounds):
            order = list(senders)[turn % len(senders) :] + list(senders)[: turn % len(senders)]
            for sender in order:
                here = folder / f"{workload.name}-{receiver}-{sender.replace(' ', '-')}-{turn}"
                with _receiving(receiver, here) as port:
                    seconds[sender].append(senders[sender](port, paths))
        _print(receiver, len(paths), {each: seconds[each] for each in senders})


def _storescu_alone(port: int, paths: Sequence[Path]) -> float:
    """Seconds of ``storescu`` without its start, association and release."""
    start = storescu(port, paths[:1])
    return storescu(port, [paths[0], *paths]) - start


def _print(receiver: str, count: int, seconds: dict[str, list[float]]) -> None:
    for sender, taken in seconds.items():
        beside = seconds["storescu process" if sender.endswith("process") else "storescu"]
        ratios = [theirs / ours for theirs, ours in zip(beside, taken, strict=True)]
        rate, ratio = count / statistics.median(taken), statistics.median(ratios)
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{receiver:<10}{sender:<17}{rate:>9.0f}{ratio:>13.2f}   {spread}", flush=True)


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--quick", action="store_true", help="a tenth of the objects")
    chosen = arguments.parse_args()
    if shutil.which("storescu") is None:
        raise SystemExit("storescu is not installed: apt-get install dcmtk")
    with tempfile.TemporaryDirectory(prefix="wetread-bench-") as temporary:
        folder = Path(temporary)
        for workload in WORKLOADS:
            if workload.name not in _COUNTS:
                continue
            count = _COUNTS[workload.name] // (10 if chosen.quick else 1)
            paths = write_objects(workload, folder / workload.name, count)
            compare(workload, paths, folder, chosen.rounds)


if __name__ == "__main__":
    main()
