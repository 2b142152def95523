"""Work that is looked for over and over, each kind in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import structlog

from db.errors import where
from db.wake import Waiter

_log = structlog.get_logger(__name__)
_TROUBLE_SECONDS = 2.0

Turn = Callable[[], bool]
"""Does a piece of work; False if there was none."""


def run(
    turns: Mapping[str, Turn],
    stop: threading.Event,
    poll_seconds: float,
    waiter: Waiter | None = None,
) -> None:
    """Take turns until ``stop`` is set; those at work finish first, so that a slow one delays none.

    Parameters
    ----------
    turns
        What to do, by the name of its thread.
    stop
        Set to end it.
    poll_seconds
        How long one waits that found nothing to do.
    waiter
        Ends that wait when there may be something.
    """
    bells = [threading.Event() for _ in turns]
    threads = [
        threading.Thread(target=_serve, args=(turn, stop, bell, poll_seconds), name=name)
        for bell, (name, turn) in zip(bells, turns.items(), strict=True)
    ]
    for thread in threads:
        thread.start()
    while not stop.is_set():
        if waiter is None:
            stop.wait()
        else:
            waiter.wait(poll_seconds, stop)
        for bell in bells:
            bell.set()
    for thread in threads:
        thread.join()


def _serve(turn: Turn, stop: threading.Event, bell: threading.Event, poll_seconds: float) -> None:
    while not stop.is_set():
        bell.clear()
        try:
            busy = turn()
        except Exception as error:  # noqa: BLE001 - the supervised loop: the database may be away
            thread = threading.current_thread().name
            _log.error("delivery.trouble", thread=thread, error=where(error))
            stop.wait(_TROUBLE_SECONDS)
            continue
        if not busy:
            bell.wait(poll_seconds)
