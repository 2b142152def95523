"""Why a peer is kept out, and how it is told so."""

from __future__ import annotations

from enum import Enum

from scp.access import Rejected


class Rejection(Enum):
    """Each reason: what the A-ASSOCIATE-RJ states (PS3.8 Table 9-21), and what our log says.

    What the peer is told tells a stranger nothing: a known AE title from a wrong address or with
    a wrong certificate gets the answer that an unknown one gets. The log has the reason.
    """

    CALLING_AE = (1, 1, 3, "no peer in the settings has this calling AE title")
    NETWORK = (1, 1, 3, "the address is in none of the peer's networks")
    CALLED_AE = (1, 1, 7, "the peer may not call this AE title")
    CERTIFICATE = (1, 1, 3, "the peer's TLS certificate is missing or bears another name")
    # PS3.7 Annex D.3.3.7: rejected permanently by the ACSE related function.
    IDENTITY = (1, 2, 1, "the user or passcode is missing or wrong")
    ASSOCIATIONS = (2, 3, 2, "the peer has as many associations open as it may")
    FULL = (2, 3, 2, "the receiver has as many associations open as it takes")
    FAULT = (2, 1, 1, "a fault of this node while it decided")

    @property
    def reason(self) -> str:
        """What the log says."""
        return self.value[3]

    def rejected(self) -> Rejected:
        """The exception that refuses the association."""
        return Rejected(*self.value)
