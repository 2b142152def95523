"""Reports that are served beside an association's loop, in threads that pynetdicom starts."""

from __future__ import annotations

import threading
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DimseServiceType


class Beside:
    """Lets an association serve N-EVENT-REPORT without losing its loop or its answer.

    pynetdicom serves that request in a thread of its own, and notes at the end of it that the
    association's loop runs. If the loop was paused meanwhile, by ``release`` or by a request of
    ours, whoever waits for the pause waits for ever. And nothing keeps a release from overtaking
    the answer, which then is never sent.

    Parameters
    ----------
    association
        Before anything can have come.
    """

    def __init__(self, association: Association) -> None:
        self._association = association
        self._threads: list[threading.Thread] = []
        self._serve = association._serve_request
        association._serve_request = self._serving  # type: ignore[method-assign]

    def settle(self, seconds: float) -> None:
        """Wait until what is being served is answered, at most so long for each."""
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(seconds)

    def _serving(self, msg: DimseServiceType, context_id: int) -> None:
        thread = threading.current_thread()
        if thread is self._association:
            self._serve(msg, context_id)
            return
        self._threads.append(thread)
        apart = cast(Association, _Apart(self._association))
        Association._serve_request(apart, msg, context_id)


class _Apart:
    """An association as a thread beside its loop sees it: the loop's pause is not its own."""

    def __init__(self, association: Association) -> None:
        object.__setattr__(self, "_association", association)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._association, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name != "_is_paused":
            setattr(self._association, name, value)
