"""Who wants to know what comes in: counters, an audit trail."""

from __future__ import annotations

from typing import Protocol

from scp.access import Admitted, Caller
from scp.header import Header
from scp.status import Answer

TOO_MANY = "the node has as many associations open as it takes"
"""Why the stock negotiation rejects what the gate has let in."""


class Observer(Protocol):
    """Is told of associations and instances, in the thread that serves them: be quick.

    What it raises is logged and changes nothing for the peer.
    """

    def accepted(self, caller: Caller, admitted: Admitted) -> None:
        """Note that an association was accepted."""
        ...

    def rejected(self, caller: Caller, reason: str) -> None:
        """Note that an association was rejected."""
        ...

    def turned_away(self, address: str, reason: str) -> None:
        """Note that a connection was closed before it asked for an association."""
        ...

    def received(
        self, caller: Caller, admitted: Admitted, header: Header | None, answer: Answer
    ) -> None:
        """Note the answer to a C-STORE request, stored or refused.

        Parameters
        ----------
        caller, admitted
            Who sent it.
        header
            What the data set says; None if it was not read.
        answer
            Before it goes out; the peer may be gone by then.
        """
        ...


class Unobserved:
    """Nobody wants to know."""

    def accepted(self, caller: Caller, admitted: Admitted) -> None:
        """Do nothing."""

    def rejected(self, caller: Caller, reason: str) -> None:
        """Do nothing."""

    def turned_away(self, address: str, reason: str) -> None:
        """Do nothing."""

    def received(
        self, caller: Caller, admitted: Admitted, header: Header | None, answer: Answer
    ) -> None:
        """Do nothing."""
