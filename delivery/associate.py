"""Opens associations as SCU."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context, build_role
from pynetdicom.transport import AddressInformation

from delivery.beside import Beside
from delivery.lending import LendingSocket
from delivery.tls import Witness

_CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
_MAXIMUM_PDU_SIZE = 131_072

# PS3.8 section 9.3.4, A-ASSOCIATE-RJ: (source, diagnostic)
_REJECTIONS = {
    (1, 1): "no reason given",
    (1, 2): "the application context is not supported",
    (1, 3): "it does not know our AE title",
    (1, 7): "it has another AE title",
    (2, 1): "no reason given",
    (2, 2): "the protocol version is not supported",
    (3, 1): "temporary congestion",
    (3, 2): "its local limit is exceeded",
}


class NoAssociation(Exception):
    """No association could be opened; the message says why and with whom.

    Attributes
    ----------
    rejection
        Source and diagnostic of the A-ASSOCIATE-RJ (PS3.8 section 9.3.4); None if none came.
    """

    def __init__(self, reason: str, rejection: tuple[int, int] | None = None) -> None:
        super().__init__(reason)
        self.rejection = rejection


@dataclass(frozen=True, kw_only=True)
class Peer:
    """An application entity to call, and the title under which we call.

    Attributes
    ----------
    tls
        How connections to it are secured; None for not at all.
    server_name
        The name that its TLS certificate must bear; empty for ``host``.
    """

    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    server_name: str = ""

    def __str__(self) -> str:
        """``AET@host:port``."""
        return f"{self.ae_title}@{self.host}:{self.port}"


class _CallingAE(AE):
    """Makes associations whose socket can be borrowed, and which serve requests beside ours."""

    beside: Beside

    def _create_socket(
        self,
        assoc: Association,
        address: AddressInformation,
        tls_args: tuple[ssl.SSLContext, str] | None,
    ) -> LendingSocket:
        self.beside = Beside(assoc)  # here, since nothing can have come yet
        lending = LendingSocket(assoc, address=address)
        lending.tls_args = tls_args
        return lending


@contextmanager
def associate(
    peer: Peer,
    contexts: Sequence[tuple[str, Sequence[str]]],
    as_scp: Sequence[str] = (),
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Iterator[Association]:
    """Open an association and release it at the end.

    Parameters
    ----------
    peer
        Whom to call.
    contexts
        SOP class UID and transfer syntax UIDs of each presentation context; at most 128. The
        peer takes one transfer syntax per context.
    as_scp
        SOP class UIDs among them of which we propose to be the SCP (PS3.7 Annex D.3.3.4).
    handlers
        pynetdicom event handlers for what the peer requests.

    Raises
    ------
    NoAssociation
        There is no connection, or the peer rejects or aborts.
    """
    ae = _CallingAE(ae_title=peer.calling_ae_title)
    ae.connection_timeout = _CONNECT_SECONDS
    ae.acse_timeout = _CONNECT_SECONDS
    ae.dimse_timeout = ANSWER_SECONDS
    ae.network_timeout = ANSWER_SECONDS
    ae.maximum_pdu_size = _MAXIMUM_PDU_SIZE
    opened: list[evt.Event] = []
    witness = Witness(peer.tls) if peer.tls is not None else None
    try:
        association = ae.associate(
            peer.host,
            peer.port,
            contexts=[build_context(sop_class, list(syntaxes)) for sop_class, syntaxes in contexts],
            ae_title=peer.ae_title,
            max_pdu=_MAXIMUM_PDU_SIZE,
            ext_neg=[build_role(each, scp_role=True) for each in as_scp],
            evt_handlers=[(evt.EVT_CONN_OPEN, opened.append), *handlers],
            tls_args=_tls_args(peer, witness),
        )
    except (socket.gaierror, UnicodeError) as error:  # the second for what can be no name at all
        raise NoAssociation(f"{peer}: no address is known for this name") from error
    try:
        if not association.is_established:
            why = witness.trouble if witness is not None else ""
            why = why or (_why_not(association) if opened else "no connection")
            raise NoAssociation(f"{peer}: {why}", _rejection(association))
        yield association
    finally:
        ae.beside.settle(ANSWER_SECONDS)
        if association.is_established:
            association.release()
        if witness is not None:
            witness.close()


def _tls_args(peer: Peer, witness: Witness | None) -> tuple[ssl.SSLContext, str] | None:
    if witness is None:
        return None
    # pynetdicom asks nothing of a context but to wrap a socket.
    return cast(ssl.SSLContext, witness), peer.server_name or peer.host


def _why_not(association: Association) -> str:
    rejection = _rejection(association)
    if rejection is not None:
        return f"association rejected: {_REJECTIONS.get(rejection, 'no reason given')}"
    return "association aborted, or no common presentation context"


def _rejection(association: Association) -> tuple[int, int] | None:
    if not association.is_rejected:
        return None
    answer = association.acceptor.primitive
    source = getattr(answer, "result_source", None)
    diagnostic = getattr(answer, "diagnostic", None)
    return source or 0, diagnostic or 0
