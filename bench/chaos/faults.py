"""Faults: each begins, lasts a while, and ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random

from bench.chaos.site import Site

_START_SECONDS = 60.0
_LEAST = 3  # faults, however slow the host is
_ROLES = ("receive", "work", "deliver")
POWER_CUT, _NODE_KILLED = "power cut", "node killed"
_WHOLE_NODE = (POWER_CUT, _NODE_KILLED)
_NAMES = {"receive": "receiver killed", "work": "worker killed", "deliver": "courier killed"}

Fault = Callable[[Site], AbstractContextManager[None]]


@contextmanager
def node_killed(site: Site) -> Iterator[None]:
    """The supervisor with all roles."""
    site.node.kill()
    yield
    start_node(site)


@contextmanager
def pacs_killed(site: Site) -> Iterator[None]:
    """Orthanc."""
    site.orthanc.kill()
    yield
    site.orthanc.start()


@contextmanager
def pacs_refuses(site: Site) -> Iterator[None]:
    """Orthanc takes nothing from us."""
    _take_all(site, takes_all=False)
    yield
    _take_all(site, takes_all=True)


@contextmanager
def database_killed(site: Site) -> Iterator[None]:
    """PostgreSQL."""
    assert site.postgres is not None
    site.postgres.kill()
    yield
    site.postgres.start()


@contextmanager
def disk_full(site: Site) -> Iterator[None]:
    """Not one block is free."""
    assert site.disk is not None
    full = site.disk.fill()
    yield
    full.unlink()


@contextmanager
def power_cut(site: Site) -> Iterator[None]:
    """The node's host: all its processes, and what was not brought to the disk."""
    assert site.disk is not None
    site.disk.cut()
    site.node.cut_off()
    site.disk.unmount()
    yield
    site.disk.mount()
    start_node(site)


class Faults(threading.Thread):
    """Does things to a site, one after the other, until it is stopped.

    Parameters
    ----------
    site
        What suffers.
    seconds
        How long it is to go on: what happens once happens at a third and at two thirds.
    random
        Decides what, when and how long.
    power_alone
        Whether nothing happens but power cuts.

    Attributes
    ----------
    counts
        How often each fault was there.
    error
        What went wrong with a fault itself; None if nothing did.
    """

    def __init__(
        self, site: Site, seconds: float, random: Random, *, power_alone: bool = False
    ) -> None:
        super().__init__(name="faults")
        self._site = site
        self._over = time.monotonic() + seconds
        self._random = random
        self._power_alone = power_alone
        once: list[tuple[str, Fault]] = [("PACS refuses", pacs_refuses)]
        self._often: list[tuple[str, Fault]] = [
            (_NODE_KILLED, node_killed),
            ("PACS killed", pacs_killed),
        ]
        if site.postgres is not None:
            self._often.append(("database killed", database_killed))
        if site.disk is not None:
            once.insert(0, ("disk full", disk_full))
            self._often.append((POWER_CUT, power_cut))
        if power_alone:
            once, self._often = [], [(POWER_CUT, power_cut)]
        share = seconds / (len(once) + 1)
        self._once = [
            (self._over - share * (len(once) - number), *each) for number, each in enumerate(once)
        ]
        self.counts: Counter[str] = Counter()
        self.error: Exception | None = None

    def run(self) -> None:
        """Go on until the time is over; everything runs again at the end."""
        try:
            while time.monotonic() < self._over or self.counts.total() < _LEAST:
                time.sleep(self._random.uniform(0.5, 4.0))
                self._next()
        except Exception as error:  # noqa: BLE001 - told by the main thread
            self.error = error

    def _next(self) -> None:
        if self._once and time.monotonic() > self._once[0][0]:
            _, name, fault = self._once.pop(0)
            self._suffer(name, fault, 10.0)
        elif not self._power_alone and self._random.random() < 0.6:
            self._kill_role()
        else:
            name, fault = self._random.choice(self._often)
            seconds = self._random.uniform(0.2, 1.0 if self._power_alone else 6.0)
            self._suffer(name, fault, seconds)

    def _suffer(self, name: str, fault: Fault, seconds: float) -> None:
        self.counts[name] += 1
        with fault(self._site):
            time.sleep(seconds / 2)
            if self._random.random() < 0.5 and name not in _WHOLE_NODE:
                self._kill_role()
            time.sleep(seconds / 2)

    def _kill_role(self) -> None:
        role = self._random.choice(_ROLES)
        if pids := self._site.node.role_pids(role):
            os.kill(self._random.choice(pids), signal.SIGKILL)
            self.counts[_NAMES[role]] += 1


def start_node(site: Site) -> None:
    """Start the node as a service manager does: again, if what it needs is not there yet."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            site.node.start()
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _take_all(site: Site, *, takes_all: bool) -> None:
    site.orthanc.takes_all = takes_all
    site.orthanc.stop()
    site.orthanc.start()
