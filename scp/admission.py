"""Asks the gate before an association is negotiated."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import structlog
from pynetdicom import evt
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE, UserIdentityNegotiation

from scp.access import Admitted, Caller, Gate, Rejected
from scp.presence import Presence
from scp.rejection import Rejection
from scp.sop_classes import storage_classes

_log = structlog.get_logger(__name__)

# User identity types, PS3.7 Table D.3-14.
_WITH_PASSCODE = 2
_NAMED = (1, _WITH_PASSCODE)


class GuardedACSE(ACSE):
    """An acceptor's ACSE with a gate before it.

    It refuses what the gate refuses, takes from the contexts what the peer may not send, and
    leaves all else to the stock negotiation. It leans on private names of pynetdicom; the contract
    test tells when they move.

    Parameters
    ----------
    assoc
        The association that it serves.
    gate
        Decides who may come in.
    room
        Those who are in; None for as many as pynetdicom takes.

    Attributes
    ----------
    rejected
        Why the peer was kept out by the gate, if it was; what it was let in with stands in
        ``admitted`` of the association.
    """

    def __init__(self, assoc: Association, gate: Gate, room: Presence | None = None) -> None:
        super().__init__(assoc)
        self._gate = gate
        self._room = room
        self._admitted: Admitted | None = None
        self.rejected: Rejected | None = None

    def _negotiate_as_acceptor(self) -> None:
        request = cast(A_ASSOCIATE, self.requestor.primitive)
        self.requestor.ae_title = request.calling_ae_title
        caller = caller_of(self.assoc)
        try:
            admitted = self._ask(caller)
        except Rejected as rejected:
            self._reject(caller, rejected)
            return
        self._admitted = admitted
        setattr(self.assoc, "admitted", admitted)  # noqa: B010 - whoever serves it looks there
        # The gate has judged the called AE title; the stock check knows only one.
        self.acceptor.ae_title = caller.called_ae
        if admitted.sop_classes is not None:
            others = storage_classes() - admitted.sop_classes
            self.acceptor.supported_contexts = [
                each
                for each in self.acceptor.supported_contexts
                if str(each.abstract_syntax) not in others
            ]
        super()._negotiate_as_acceptor()

    def _ask(self, caller: Caller) -> Admitted:
        _, passcode = _identity(self.requestor.user_identity)
        try:
            admitted = self._gate.admit(replace(caller, passcode=passcode))
            if self._room is not None and not self._room.enter(caller.present):
                raise Rejection.FULL.rejected()
            return admitted
        except Rejected:
            raise
        except Exception as error:  # whatever goes wrong in a gate, it stays shut
            _log.error("gate.trouble", error=type(error).__name__)
            raise Rejection.FAULT.rejected() from error

    def _reject(self, caller: Caller, rejected: Rejected) -> None:
        self.rejected = rejected
        _log.warning(
            "association.rejected",
            reason=rejected.reason,
            calling_ae=caller.calling_ae,
            called_ae=caller.called_ae,
            address=caller.address,
        )
        # As the stock negotiation ends when it rejects.
        self.send_reject(rejected.result, rejected.source, rejected.diagnostic)
        evt.trigger(self.assoc, evt.EVT_REJECTED, {})
        self.assoc.kill()

    def _check_user_identity(self) -> tuple[bool, UserIdentityNegotiation | None]:
        """Confirm an identity that the gate has checked, where the peer asks for that.

        PS3.7 Annex D.3.3.7.2: the response to a user name is empty. An identity that nobody
        checked is not confirmed.
        """
        request = self.requestor.user_identity
        identified = self._admitted is not None and self._admitted.identified
        if request is None or not identified or not request.positive_response_requested:
            return True, None
        response = UserIdentityNegotiation()
        response.server_response = b""
        return True, response


def caller_of(association: Association) -> Caller:
    """What is known of the peer behind an association that it has asked for.

    But for its passcode, which is nobody's business but the gate's.
    """
    request = cast(A_ASSOCIATE, association.requestor.primitive)
    user, _ = _identity(association.requestor.user_identity)
    return Caller(
        calling_ae=request.calling_ae_title.strip(),
        called_ae=request.called_ae_title.strip(),
        address=association.requestor.address,
        certificate=_certificate(association),
        user=user,
        present=association.is_alive,
    )


def _identity(item: UserIdentityNegotiation | None) -> tuple[str, bytes]:
    """User and passcode; tickets and assertions (types 3 to 5) are nobody's user name."""
    if item is None or item.user_identity_type not in _NAMED:
        return "", b""
    user = (item.primary_field or b"").decode("utf-8", "replace").strip(" \0")
    passcode = item.secondary_field if item.user_identity_type == _WITH_PASSCODE else None
    return user, passcode or b""


def _certificate(association: Association) -> Mapping[str, Any] | None:
    transport = association.dul.socket
    connection = transport.socket if transport is not None else None
    if not isinstance(connection, ssl.SSLSocket):
        return None
    try:
        return connection.getpeercert()
    except (OSError, ValueError):  # the connection is gone
        return None
