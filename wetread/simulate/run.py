"""Sends the studies of a plan: made ahead by processes, sent over several associations at once."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from delivery.associate import NoAssociation, Peer
from delivery.destination import Away
from delivery.send import SendOutcome
from wetread.peers import send_files
from wetread.simulate.making import Made, make
from wetread.simulate.plan import Plan
from wetread.simulate.tally import Outcome, Tally

if TYPE_CHECKING:
    from delivery.dicomweb import WebPeer

_MOST_MAKERS = 4
_LOOK_SECONDS = 0.1  # how often a wait looks whether it should stop
_REST_SECONDS = 1.0  # before the next try where there was no association


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much is sent, and how fast.

    Attributes
    ----------
    studies
        0: no end by number.
    seconds
        No study begins after that time; 0: no end by time.
    per_minute
        Studies that begin in a minute; 0: as fast as it goes.
    associations
        How many studies are under way at once, each over an association of its own.
    """

    studies: int = 0
    seconds: float = 0.0
    per_minute: float = 0.0
    associations: int = 1


def simulate(
    peer: Peer | WebPeer,
    plan: Plan,
    pace: Pace,
    stop: threading.Event,
    told: Callable[[Outcome], object],
) -> dict[str, Any]:
    """Send studies until enough are sent, time is up, or somebody stops it.

    It ends early if the peer cannot be reached before anything was sent.

    Parameters
    ----------
    peer, plan, pace
        To whom, what, how fast.
    stop
        Set by whoever wants it to end; studies under way are finished.
    told
        Called with each outcome, in this thread.

    Returns
    -------
    dict[str, Any]
        ``Tally.summary``. Its time begins with the first study sent, not with drawing it.

    Raises
    ------
    OSError
        There is no room for the files.
    BrokenProcessPool
        A process that makes studies was killed.
    """
    tally = Tally()
    with TemporaryDirectory(prefix="wetread-simulate-") as root:
        run = _Run(peer, pace, stop, told, tally)
        with (
            _makers() as makers,
            ThreadPoolExecutor(pace.associations) as senders,
        ):
            try:
                run.send_all(_made_ahead(makers, plan, pace, Path(root)), senders)
            finally:
                # Once told not to wait, the pool cannot be waited for any more, and its thread
                # and files that are being written would outlive the folder.
                makers.shutdown(cancel_futures=True)
    return tally.summary(run.elapsed)


def _makers() -> ProcessPoolExecutor:
    # Not by fork: there are threads. Ctrl-C on a terminal reaches every process of it.
    return ProcessPoolExecutor(
        _makers_count(),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )


def _makers_count() -> int:
    return max(1, min(_MOST_MAKERS, (os.cpu_count() or 1) - 1))


def _made_ahead(
    makers: ProcessPoolExecutor, plan: Plan, pace: Pace, root: Path
) -> Iterator[Future[Made]]:
    """Yield studies in their order while the next ones are made."""
    ahead: deque[Future[Made]] = deque()
    for order in plan.orders(pace.studies):
        ahead.append(makers.submit(make, order, root))
        if len(ahead) > pace.associations + 2 * _makers_count():
            yield ahead.popleft()
    yield from ahead


class _Run:
    """One run, seen from the thread that directs it."""

    def __init__(
        self,
        peer: Peer | WebPeer,
        pace: Pace,
        stop: threading.Event,
        told: Callable[[Outcome], object],
        tally: Tally,
    ) -> None:
        self._peer, self._pace, self._stop, self._told, self._tally = peer, pace, stop, told, tally
        self._under_way: set[Future[Outcome]] = set()
        self._begun_at: float | None = None
        self._ended_at: float | None = None
        self._reached = False
        self._given_up = False

    @property
    def elapsed(self) -> float:
        """Seconds from the first study's beginning until now, or until the last one's end."""
        if self._begun_at is None:
            return 0.0
        return (self._ended_at or time.monotonic()) - self._begun_at

    def send_all(self, studies: Iterator[Future[Made]], senders: ThreadPoolExecutor) -> None:
        """Send what comes until it is over, and wait for what is under way."""
        for number, made in enumerate(studies):
            while not made.done() and not self._over():
                expected: list[Future[Any]] = [made, *self._under_way]
                wait(expected, _LOOK_SECONDS, return_when=FIRST_COMPLETED)
                self._collect(at_once=True)
            self._wait_for_turn(number)
            if self._over():
                break
            if self._begun_at is None:
                self._begun_at = time.monotonic()
            self._under_way.add(senders.submit(self._send, made.result()))
        while self._under_way:
            self._collect()
        self._ended_at = time.monotonic()

    def _over(self) -> bool:
        late = self._pace.seconds and self.elapsed >= self._pace.seconds
        return self._stop.is_set() or self._given_up or bool(late)

    def _wait_for_turn(self, number: int) -> None:
        """Wait until the pace allows the next study, and until a line is free."""
        interval = 60.0 / self._pace.per_minute if self._pace.per_minute else 0.0
        while not self._over():
            early = number * interval - self.elapsed if self._begun_at is not None else 0.0
            if early <= 0 and len(self._under_way) < self._pace.associations:
                return
            if early > 0:
                self._stop.wait(min(early, _LOOK_SECONDS))
            self._collect(at_once=early > 0)

    def _collect(self, *, at_once: bool = False) -> None:
        timeout = 0.0 if at_once else _LOOK_SECONDS
        done, self._under_way = wait(self._under_way, timeout, return_when=FIRST_COMPLETED)
        for each in done:
            outcome = each.result()
            self._reached = self._reached or not outcome.no_association
            self._given_up = not self._reached
            self._tally.add(outcome)
            self._told(outcome)

    def _send(self, made: Made) -> Outcome:
        """Send one study in a thread of its own; its files go away."""
        started = time.monotonic()
        outcomes: list[SendOutcome] = []
        reasons: Counter[str] = Counter()
        trouble = ""
        try:
            outcomes.extend(send_files(self._peer, made.paths))
        except (NoAssociation, Away) as error:
            trouble = str(error)
            reasons[trouble] += len(made.paths) - len(outcomes)
        seconds = time.monotonic() - started
        shutil.rmtree(made.folder)
        if trouble:
            self._stop.wait(_REST_SECONDS)
        return _outcome(made, outcomes, reasons, seconds, no_association=bool(trouble))


def _outcome(
    made: Made,
    outcomes: list[SendOutcome],
    reasons: Counter[str],
    seconds: float,
    *,
    no_association: bool,
) -> Outcome:
    sizes = dict(zip(made.paths, made.sizes, strict=True))
    statuses = Counter("none" if each.status is None else f"{each.status:04X}" for each in outcomes)
    return Outcome(
        number=made.order.number,
        kind=made.order.pattern.kind,
        instances=len(made.paths),
        stored=sum(each.stored for each in outcomes),
        sent_bytes=sum(sizes[each.path] for each in outcomes if each.stored),
        seconds=seconds,
        statuses=statuses,
        reasons=reasons + Counter(each.reason for each in outcomes if not each.stored),
        no_association=no_association,
    )
