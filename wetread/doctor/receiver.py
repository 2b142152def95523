"""Our own receiver: whether it answers on each port, as a peer of the settings would find it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress

from delivery.associate import Peer
from delivery.tls import client_context
from scp.access import Caller, Rejected
from wetread import certificates
from wetread.config import Settings
from wetread.doctor.finding import Finding, failed, ok, skipped
from wetread.doctor.reach import VERIFICATION, Unreached, associated, connect, not_secured, verify
from wetread.doctor.surroundings import Surroundings
from wetread.listeners import Listener, listeners

_TITLE = "WETREAD-DOCTOR"
_STALE = (
    "start the roles again, for they read the settings and certificates when they start, and see "
    "that no other program has this port"
)
NOBODY = "no [[peer]] may call from this host without a passcode or a certificate of its own"
"""Why the receiver cannot be called."""


class Closed(Exception):
    """Nobody may call the receiver from this host."""


def receiver(surroundings: Surroundings) -> Iterator[Finding]:
    """Call each port, as somebody who may."""
    for listener in listeners(surroundings.settings):
        subject = f"port {listener.port}" + (" (TLS)" if listener.secured else "")
        try:
            yield _called(surroundings.settings, listener, subject)
        except Unreached as error:
            yield failed(subject, str(error), f"{error.remedy}; {_STALE}")


def _called(settings: Settings, listener: Listener, subject: str) -> Finding:
    refusal = _compare(settings, listener) if listener.secured else ""
    if refusal:
        return skipped(subject, f"it listens, and refuses our own certificate: {refusal}")
    try:
        peer = ourselves(settings, listener)
    except Closed:
        connect(_addresses(settings)[0], listener.port).close()
        return skipped(subject, f"it listens; {NOBODY}", "have a modality send C-ECHO")
    with associated(peer, [VERIFICATION]) as association:
        trouble = verify(association)
    if trouble:
        return failed(subject, trouble, _STALE)
    return ok(subject, f"answers C-ECHO from {peer.calling_ae_title} as {peer.ae_title}")


def ourselves(settings: Settings, listener: Listener) -> Peer:
    """Our receiver as a peer, called by somebody who may.

    Raises
    ------
    Closed
        Nobody may call from this host.
    """
    host, calling, called = _admitted(settings)
    return Peer(
        ae_title=called,
        host=host,
        port=listener.port,
        calling_ae_title=calling,
        tls=_unverified(settings) if listener.secured else None,
    )


def _admitted(settings: Settings) -> tuple[str, str, str]:
    """An address of ours, and the AE titles under which the gate admits a call from there."""
    gate, ours = settings.gate(), settings.node.ae_title
    titles = [(each.ae_title, (each.called or [ours])[0]) for each in settings.peer]
    for host in _addresses(settings):
        for calling, called in titles or [(_TITLE, ours)]:
            with suppress(Rejected):
                gate.admit(Caller(calling_ae=calling, called_ae=called, address=host))
                return host, calling, called
    raise Closed


def _addresses(settings: Settings) -> list[str]:
    """Where our receiver can be called from this host: a call comes from the address it goes to."""
    host = settings.node.host
    if host not in ("0.0.0.0", "::"):
        return [host]
    found = ["127.0.0.1" if host == "0.0.0.0" else "::1"]
    with suppress(OSError):
        family = socket.AF_INET if host == "0.0.0.0" else socket.AF_INET6
        known = socket.getaddrinfo(socket.gethostname(), None, family, socket.SOCK_STREAM)
        found += [str(address[0]) for *_, address in known]
    return list(dict.fromkeys(found))


def _compare(settings: Settings, listener: Listener) -> str:
    """Compare the certificate that is shown with the one in the file.

    Returns
    -------
    str
        Why the receiver does not trust ours, which a peer would have one of its own for; empty if
        it does.
    """
    host = _addresses(settings)[0]
    with connect(host, listener.port) as plain:
        try:
            with _unverified(settings).wrap_socket(plain) as secured:
                shown = secured.getpeercert(binary_form=True)
        except OSError as error:
            found = not_secured(host, error)
            if settings.tls.ca and "alert" in str(found):
                return str(found)
            raise found from error
    if shown != certificates.leaf(settings.tls.certificate):
        raise Unreached(
            f"it shows another certificate than {settings.tls.certificate}",
            "it was renewed since the receiver started",
        )
    return ""


def _unverified(settings: Settings) -> ssl.SSLContext:
    """How we call ourselves: we compare the certificate, and it may be for a name from outside."""
    own = settings.tls
    context = client_context("", own.certificate, own.key)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
