"""Our own receiver, as a modality on this host reaches it that may send."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from delivery.associate import Peer
from delivery.tls import client_context
from scp.access import Caller, Rejected
from wetread.config import Settings
from wetread.listeners import Listener, listeners

NOBODY = "no [[peer]] may call from this host without a passcode or a certificate of its own"
"""Why the receiver cannot be called."""

_TITLE = "WETREAD-TEST"


class Closed(Exception):
    """Nobody may call the receiver from this host."""


def own_receiver(settings: Settings, listener: Listener | None = None) -> Peer:
    """Our receiver as a peer, called by somebody who may.

    Parameters
    ----------
    settings
        Of the node.
    listener
        Which of its ports; else the plain one if there is one.

    Raises
    ------
    Closed
        Nobody may call from this host.
    """
    host, calling, called = _admitted(settings)
    chosen = listener or listeners(settings)[-1]
    return Peer(
        ae_title=called,
        host=host,
        port=chosen.port,
        calling_ae_title=calling,
        tls=unverified(settings) if chosen.secured else None,
    )


def addresses(settings: Settings) -> list[str]:
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


def unverified(settings: Settings) -> ssl.SSLContext:
    """How we call ourselves: with our certificate, which may be for a name from outside."""
    own = settings.tls
    context = client_context("", own.certificate, own.key)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _admitted(settings: Settings) -> tuple[str, str, str]:
    """An address of ours, and the AE titles under which the gate admits a call from there."""
    gate, ours = settings.gate(), settings.node.ae_title
    titles = [(each.ae_title, (each.called or [ours])[0]) for each in settings.peer]
    for host in addresses(settings):
        for calling, called in titles or [(_TITLE, ours)]:
            with suppress(Rejected):
                gate.admit(Caller(calling_ae=calling, called_ae=called, address=host))
                return host, calling, called
    raise Closed
