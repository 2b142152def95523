"""Reaches for somebody on the network, and says how far that went and what to do about it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from delivery.associate import NoAssociation, Peer, associate
from delivery.tls import trouble

_CONNECT_SECONDS = 5.0

VERIFICATION = (str(Verification), [str(ImplicitVRLittleEndian)])
"""The presentation context of C-ECHO."""

# PS3.8 section 9.3.4, A-ASSOCIATE-RJ: (source, diagnostic)
_UNKNOWN_CALLER, _UNKNOWN_CALLED = (1, 3), (1, 7)
_TOO_BUSY = ((3, 1), (3, 2))
# What OpenSSL calls a certificate for another host name, and for another IP address.
_NAME_MISMATCH = (62, 64)


class Unreached(Exception):
    """How far it went, and what to do about it."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found)
        self.remedy = remedy


def connect(host: str, port: int) -> socket.socket:
    """Open a TCP connection.

    Raises
    ------
    Unreached
        There is none; a name that nobody knows, a port that nobody listens on, and a host that
        does not answer are told apart.
    """
    try:
        return socket.create_connection((host, port), _CONNECT_SECONDS)
    except (socket.gaierror, UnicodeError) as error:
        raise Unreached(
            f"nobody knows the name {host}", "correct host in the settings, or the DNS"
        ) from error
    except ConnectionRefusedError as error:
        raise Unreached(
            f"{host} refuses connections to port {port}: nobody listens there",
            "correct port in the settings, or start the service there",
        ) from error
    except TimeoutError as error:
        raise Unreached(
            f"{host} does not answer on port {port} within {_CONNECT_SECONDS:.0f} s",
            "see that the host runs, and that no firewall between drops the connection",
        ) from error
    except OSError as error:
        raise Unreached(
            f"no way to {host}, port {port}: {error.strerror or type(error).__name__}",
            "correct host in the settings, or the routes of this network",
        ) from error


@contextmanager
def associated(peer: Peer, contexts: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Association]:
    """Open an association; if there is none, find out step by step how far it goes.

    Raises
    ------
    Unreached
        There is no connection, no TLS, or no association.
    """
    try:
        with associate(peer, contexts) as association:
            yield association
    except NoAssociation as error:
        if error.rejection is None:
            _follow(peer)
        raise _refused(peer, error) from error


def verify(association: Association) -> str:
    """Send C-ECHO; why it was not answered with Success, empty if it was."""
    if str(Verification) not in {
        str(each.abstract_syntax) for each in association.accepted_contexts
    }:
        return "it does not offer C-ECHO (Verification)"
    try:
        answer = association.send_c_echo()
    except (RuntimeError, ValueError):
        return "the association ended before C-ECHO"
    if "Status" not in answer:
        return "no answer to C-ECHO"
    return f"status {int(answer.Status):04X} for C-ECHO" if answer.Status else ""


def _follow(peer: Peer) -> None:
    """Connect, and secure the connection; that there is no association is told otherwise."""
    name = peer.server_name or peer.host
    with connect(peer.host, peer.port) as plain:
        if peer.tls is None:
            return
        try:
            with peer.tls.wrap_socket(plain, server_hostname=name):
                pass
        except OSError as error:
            raise not_secured(name, error) from error


def not_secured(name: str, error: OSError) -> Unreached:
    """What a TLS handshake that failed says.

    Parameters
    ----------
    name
        That the certificate of the other side must bear.
    error
        What went wrong.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _NAME_MISMATCH:
            return Unreached(
                f"its TLS certificate does not bear the name {name}",
                "set server_name (or host) to a name that stands in its certificate",
            )
        return Unreached(
            trouble(error),
            "have it renewed if it has expired; else let ca name the file of who signed it",
        )
    why = trouble(error) or f"TLS failed: {type(error).__name__}"
    return Unreached(
        why, "see that this port speaks TLS, and that it trusts who signed our certificate"
    )


def _refused(peer: Peer, error: NoAssociation) -> Unreached:
    found = str(error).removeprefix(f"{peer}: ")
    if error.rejection == _UNKNOWN_CALLED:
        remedy = f"correct ae_title: it does not go by {peer.ae_title}"
    elif error.rejection == _UNKNOWN_CALLER:
        remedy = f"add our AE title, {peer.calling_ae_title}, and this host's address there"
    elif error.rejection in _TOO_BUSY:
        remedy = "try again later; allow more associations there"
    elif error.rejection is not None:
        remedy = "look into its log: it says why it rejects us"
    else:
        remedy = "see that a DICOM service listens on this port, with TLS only if we use it"
    return Unreached(found, remedy)
