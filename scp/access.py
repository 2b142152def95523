"""Who may come in, and what they may send once they are in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


def _always() -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Caller:
    """What is known of a peer that asks for an association.

    Attributes
    ----------
    calling_ae, called_ae
        AE titles of the request, without padding.
    address
        IP address that it comes from.
    certificate
        What its TLS certificate says, as ``ssl.SSLSocket.getpeercert`` gives it; None without TLS
        or without a certificate.
    user, passcode
        User identity negotiated (PS3.7 Annex D.3.3.7), empty if none. Only the gate is shown the
        passcode.
    present
        Whether its association still stands. Asking beats counting: an association that ends in
        whatever way can never be forgotten.
    """

    calling_ae: str
    called_ae: str
    address: str
    certificate: Mapping[str, Any] | None = field(default=None, repr=False)
    user: str = ""
    passcode: bytes = field(default=b"", repr=False)
    present: Callable[[], bool] = field(default=_always, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """What a peer that was let in may do.

    Attributes
    ----------
    peer
        Its name in the settings; empty for one that no setting names.
    sop_classes
        SOP Class UIDs that it may send; None for all.
    object_bytes
        No data set may be larger; None for any size.
    bytes_per_second
        It is slowed down to this on average; None for as fast as it goes.
    identified
        Whether its user identity was checked; one that was not is not confirmed to it either.
    """

    peer: str = ""
    sop_classes: frozenset[str] | None = None
    object_bytes: int | None = None
    bytes_per_second: float | None = None
    identified: bool = False


class Rejected(Exception):
    """An association that is refused (PS3.8 section 9.3.4).

    Attributes
    ----------
    result, source, diagnostic
        As the A-ASSOCIATE-RJ states them.
    reason
        For the log and the audit trail.
    """

    def __init__(self, result: int, source: int, diagnostic: int, reason: str) -> None:
        super().__init__(reason)
        self.result, self.source, self.diagnostic = result, source, diagnostic
        self.reason = reason


class Gate(Protocol):
    """Decides who may come in."""

    def may_connect(self, address: str) -> bool:
        """Whether some peer may come from this IP address; else the connection is closed."""
        ...

    def admit(self, caller: Caller) -> Admitted:
        """Let a peer in.

        Raises
        ------
        Rejected
            It may not come in.
        """
        ...
