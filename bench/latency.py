"""From the last C-STORE response to the report's arrival in the PACS, and where the time goes.

``python -m bench.latency [--rounds 15] [--rows 2500] [--study FOLDER]``

One synthetic DX per round, or a copy of the study in FOLDER with new UIDs, is sent to a running
node whose destination is a storage SCP in this process, so that the moment of arrival is known. The
parts come from the node's own log. Beside them stands a floor measured in the same run: send the
same results, ready-made, over a fresh association, with nothing to compute.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pynetdicom import AE, evt

from delivery.associate import Peer
from delivery.send import send
from tools.node import Node
from tools.ports import free_port
from wetread.phantom import write_study

_RELEASE_SECONDS = 1.0
_RESULT_CLASSES = (Comprehensive3DSRStorage, BasicTextSRStorage, SecondaryCaptureImageStorage)
_ALTERNATIVES = 2  # simpler classes of the report, stored but not sent here
_STAGES = ("decode_seconds", "inference_seconds", "results_seconds", "store_seconds")


class ArrivalClock:
    """A storage SCP that notes when each object came."""

    def __init__(self) -> None:
        self.port = free_port()
        self.arrivals: list[tuple[float, str, bytes]] = []
        self.changed = threading.Condition()
        self._ae = AE("PACS")
        for each in _RESULT_CLASSES:
            self._ae.add_supported_context(each)
        handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, self._on_store)]
        self._ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def _on_store(self, event: evt.Event) -> int:
        moment = time.time()
        with self.changed:
            sop_class = str(event.request.AffectedSOPClassUID)
            self.arrivals.append((moment, sop_class, event.encoded_dataset()))
            self.changed.notify_all()
        return 0

    def wait(self, count: int) -> None:
        """Wait until ``count`` objects came."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.arrivals) >= count, timeout=60):
                raise TimeoutError(f"{len(self.arrivals)} of {count} objects came")

    def close(self) -> None:
        """Stop listening."""
        self._ae.shutdown()


def one_round(node: Node, clock: ArrivalClock, paths: Sequence[Path]) -> dict[str, float]:
    """Send one study and take its times, seconds."""
    already, events = len(clock.arrivals), len(node.events())
    outcomes = list(send(_peer(node.ae_title, node.port), paths))  # sent as they are asked for
    answered = time.time()
    if not all(each.stored for each in outcomes):
        raise RuntimeError(next(each.reason for each in outcomes if not each.stored))
    done = _done(node, events)
    clock.wait(already + int(done["objects"]) - _ALTERNATIVES)
    arrived = {sop_class: moment for moment, sop_class, _ in clock.arrivals[already:]}
    routed = next(
        each
        for each in node.events()[events:]
        if each["event"] == "study.routed" and each["model"] == done["model"]
    )
    parts = {stage: float(done[stage]) for stage in _STAGES}
    report = arrived[str(Comprehensive3DSRStorage)]
    total = report - answered
    parts["waiting_seconds"] = _time(routed) - answered
    parts["delivery_seconds"] = report - _time(done)
    parts["total"] = total
    parts["work"] = total - _RELEASE_SECONDS
    parts["all results"] = max(arrived.values()) - answered
    parts["objects"] = len(clock.arrivals) - already
    return parts


def _done(node: Node, events: int) -> dict[str, Any]:
    """Wait for the node to say that it has read the study."""
    for _ in range(6000):
        found = [each for each in node.events()[events:] if each["event"] == "job.done"]
        if found:
            return found[0]
        time.sleep(0.01)
    raise TimeoutError("the study was not read within a minute")


def floor(clock: ArrivalClock, folder: Path, count: int) -> float:
    """Seconds to bring ready-made results to the PACS."""
    paths = []
    for number, (_, _, content) in enumerate(clock.arrivals[-count:]):
        path = folder / f"ready{number}.dcm"
        path.write_bytes(content)
        paths.append(path)
    started = time.perf_counter()
    if not all(each.stored for each in send(_peer("PACS", clock.port), paths)):
        raise RuntimeError("the floor's objects were not stored")
    return time.perf_counter() - started


def copy_of(study: Path, folder: Path) -> list[Path]:
    """Write a study again under new UIDs, so that it is read again."""
    folder.mkdir()
    prefix = f"{folder.name}-"
    paths = []
    for number, file in enumerate(sorted(each for each in study.rglob("*") if each.is_file())):
        dataset = dcmread(file)
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(dataset, name, generate_uid(entropy_srcs=[prefix, dataset[name].value]))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        paths.append(folder / f"{number}.dcm")
        dataset.save_as(paths[-1])
    return paths


def show(rounds: Sequence[dict[str, float]], floors: Sequence[float]) -> None:
    """Print medians, milliseconds."""
    names = ["waiting_seconds", *_STAGES, "delivery_seconds", "total", "work", "all results"]
    print(f"{'part':<22}{'median ms':>10}{'min':>8}{'max':>8}")
    for name in names:
        values = [1000 * each[name] for each in rounds]
        label = name.removesuffix("_seconds")
        print(
            f"{label:<22}{statistics.median(values):>10.0f}{min(values):>8.0f}{max(values):>8.0f}"
        )
    sending = 1000 * statistics.median(floors)
    work = 1000 * statistics.median(each["work"] for each in rounds)
    print(f"{'floor: sending alone':<22}{sending:>10.0f}")
    print(f"work / floor {work / sending:.1f}; aim: work under 500 ms")
    print("waiting: last C-STORE response to routed, release_seconds = 1 of it by design.")
    print("work: last C-STORE response to the report's arrival, without that second.")


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--rows", type=int, default=2500)
    arguments.add_argument("--study", type=Path, help="folder of a study to send instead")
    chosen = arguments.parse_args()
    clock = ArrivalClock()
    with tempfile.TemporaryDirectory(prefix="wetread-bench-") as temporary:
        folder = Path(temporary)
        columns = chosen.rows * 2048 // 2500
        studies = [
            copy_of(chosen.study, folder / str(seed))
            if chosen.study
            else write_study(folder / str(seed), seed=seed, rows=chosen.rows, columns=columns)
            for seed in range(chosen.rounds + 1)
        ]
        size = sum(path.stat().st_size for path in studies[0])
        print(f"{len(studies[0])} instances, {size / 1e6:.1f} MB")
        with Node(folder / "node", [("pacs", "PACS", clock.port)]) as node:
            one_round(node, clock, studies[0])  # warm-up
            rounds, floors = [], []
            for paths in studies[1:]:
                rounds.append(one_round(node, clock, paths))
                floors.append(floor(clock, folder, int(rounds[-1]["objects"])))
    clock.close()
    show(rounds, floors)


def _peer(title: str, port: int) -> Peer:
    return Peer(ae_title=title, host="127.0.0.1", port=port, calling_ae_title="BENCH")


def _time(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


if __name__ == "__main__":
    main()
