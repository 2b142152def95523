"""Keeps what is served beside an association's loop from saying that the loop runs."""

from __future__ import annotations

import threading
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DimseServiceType


def serve_beside(association: Association) -> None:
    """Let an association serve N-EVENT-REPORT without losing sight of its own loop.

    pynetdicom serves that request in a thread of its own, and notes at the end of it that the
    association's loop runs. If the loop was paused meanwhile, by ``release`` or by a request of
    ours, whoever waits for the pause waits for ever.
    """
    serve = association._serve_request

    def serving(msg: DimseServiceType, context_id: int) -> None:
        if threading.current_thread() is association:
            serve(msg, context_id)
        else:
            Association._serve_request(cast(Association, _Beside(association)), msg, context_id)

    association._serve_request = serving  # type: ignore[method-assign]


class _Beside:
    """An association as a thread beside its loop sees it: all but the loop's pause is its own."""

    def __init__(self, association: Association) -> None:
        object.__setattr__(self, "_association", association)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._association, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name != "_is_paused":
            setattr(self._association, name, value)
