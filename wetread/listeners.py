"""The ports that the receiver listens on, and what is spoken there."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from wetread import certificates
from wetread.config import Settings


@dataclass(frozen=True)
class Listener:
    """A port to listen on; secured with TLS, or plain."""

    port: int
    secured: bool


def listeners(settings: Settings) -> list[Listener]:
    """Without a certificate the plain port; with one that of TLS, or both if not ``require``."""
    plain, secured = Listener(settings.node.port, False), Listener(settings.tls.port, True)
    if not settings.tls.certificate:
        return [plain]
    return [secured] if settings.tls.require else [secured, plain]


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS of the receiver; None without a certificate.

    Raises
    ------
    ConfigError
        A file of it cannot be used; the message names it.
    """
    from scp.tls import server_context

    files = certificates.receiver_files(settings)
    if not files.certificate:
        return None
    certificates.check(files)
    return server_context(files.certificate, files.key, files.ca)
