"""Our own receiver: whether it answers on each port, as a peer of the settings would find it."""

from __future__ import annotations

from collections.abc import Iterator

from wetread import certificates
from wetread.config import Settings
from wetread.doctor.finding import Finding, failed, ok, skipped
from wetread.doctor.reach import VERIFICATION, Unreached, associated, connect, not_secured, verify
from wetread.doctor.surroundings import Surroundings
from wetread.listeners import Listener, listeners
from wetread.own_receiver import NOBODY, Closed, addresses, own_receiver, unverified

_STALE = (
    "start the roles again, for they read the settings and certificates when they start, and see "
    "that no other program has this port"
)


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
        peer = own_receiver(settings, listener)
    except Closed:
        connect(addresses(settings)[0], listener.port).close()
        return skipped(subject, f"it listens; {NOBODY}", "have a modality send C-ECHO")
    with associated(peer, [VERIFICATION]) as association:
        trouble = verify(association)
    if trouble:
        return failed(subject, trouble, _STALE)
    return ok(subject, f"answers C-ECHO from {peer.calling_ae_title} as {peer.ae_title}")


def _compare(settings: Settings, listener: Listener) -> str:
    """Compare the certificate that is shown with the one in the file.

    Returns
    -------
    str
        Why the receiver does not trust ours, which a peer would have one of its own for; empty if
        it does.
    """
    host = addresses(settings)[0]
    with connect(host, listener.port) as plain:
        try:
            with unverified(settings).wrap_socket(plain) as secured:
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
