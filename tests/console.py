"""A console that sends and sends, and keeps what was answered with Success."""

from __future__ import annotations

import threading
import time

from tests.rawpeer import RawPeer
from tests.receivable import prepared


class Console(threading.Thread):
    """Sends one instance after the other, and again what was not answered.

    Parameters
    ----------
    port
        Of the receiver, on this machine.
    number
        Tells consoles apart.
    stop
        Ends it when set.

    Attributes
    ----------
    acknowledged
        Data sets that were answered with Success, by SOP Instance UID.
    """

    def __init__(self, port: int, number: int, stop: threading.Event) -> None:
        super().__init__()
        self._port = port
        self._next = number * 100_000
        self._stopped = stop
        self.acknowledged: dict[str, bytes] = {}

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._send_until_broken()
            except OSError:
                time.sleep(0.05)

    def _send_until_broken(self) -> None:
        with RawPeer(self._port, "WETREAD", [prepared()]) as peer:
            while not self._stopped.is_set():
                one = prepared(self._next, size=3 * (1 + self._next % 40) * 1000)
                if peer.store(one) == 0:
                    self.acknowledged[one.sop_instance_uid] = bytes(one.data_set)
                    self._next += 1
            peer.release()
