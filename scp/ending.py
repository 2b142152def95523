"""An upper-layer thread that says when it is over, whatever ended it."""

from __future__ import annotations

import contextlib

import structlog
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ABORT_RQ

from db.errors import where

_log = structlog.get_logger(__name__)
_BY_PROVIDER = 2  # PS3.8 table 9-26: source of an A-ABORT


class EndingDUL(DULServiceProvider):
    """Ends in order where pynetdicom's ends in a traceback, and keeps nobody waiting.

    pynetdicom's association waits its full time for a request though the connection is closed, or
    though this thread has died of an item that it cannot decode; all that time it takes a place
    that a peer could have.
    """

    def run_reactor(self) -> None:
        """Run until the connection ends."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - what a peer sends must not end in a traceback
            _log.warning(
                "association.malformed",
                reason=where(error),
                address=self.assoc.requestor.address,
            )
            self._abort()
        finally:
            self.to_user_queue.put(None)  # as if the time had run out

    def _abort(self) -> None:
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = _BY_PROVIDER, 0
        self.assoc.is_aborted = True
        self.assoc.is_established = False
        self.assoc._kill = True
        with contextlib.suppress(Exception):  # the connection may be what is broken
            self._send(abort)
