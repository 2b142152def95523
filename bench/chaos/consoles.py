"""Consoles that send their studies over one association each, and again what was not answered."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

from bench.chaos.studies import Study
from bench.receive_sender import Prepared
from tests.rawpeer import RawPeer

_AGAIN_SECONDS = 0.5
_LATE_SECONDS = 20.0  # the quiet time, and some for reading


class Console(threading.Thread):
    """Sends studies one after the other, spread over a time.

    Parameters
    ----------
    port
        Of the node, on this machine.
    ae_title
        Of the node.
    studies
        What it sends.
    seconds
        How long it takes its time; each study is begun no sooner than its share of it.

    Attributes
    ----------
    acknowledged
        What was answered with Success, by SOP Instance UID.
    refusals
        How often each other status came; 0 stands for a lost connection.
    """

    def __init__(self, port: int, ae_title: str, studies: Sequence[Study], seconds: float) -> None:
        super().__init__(name="console", daemon=True)
        self._port = port
        self._ae_title = ae_title
        self._studies = studies
        self._pause = seconds / max(1, len(studies))
        self.acknowledged: dict[str, Prepared] = {}
        self.refusals: Counter[int] = Counter()

    def run(self) -> None:
        """Send all; a node that is away or refuses is asked again until it takes them."""
        began = time.monotonic()
        parts = [
            (number * self._pause + place * _LATE_SECONDS, part)
            for number, study in enumerate(self._studies)
            for place, part in enumerate(study.parts)
        ]
        for due, part in sorted(parts, key=lambda each: each[0]):
            time.sleep(max(0.0, began + due - time.monotonic()))
            while left := self._left(part):
                try:
                    self._send(left)
                except OSError:
                    self.refusals[0] += 1
                if self._left(part):
                    time.sleep(_AGAIN_SECONDS)

    def _left(self, part: Sequence[Prepared]) -> list[Prepared]:
        return [one for one in part if one.sop_instance_uid not in self.acknowledged]

    def _send(self, instances: Sequence[Prepared]) -> None:
        with RawPeer(self._port, self._ae_title, instances) as sender:
            for each in instances:
                status = sender.store(each)
                if status == 0:
                    self.acknowledged[each.sop_instance_uid] = each
                else:
                    self.refusals[status] += 1
                    break
            sender.release()
