"""TLS for what comes in: BCP 195 as of RFC 8996 and RFC 9325 (PS3.15 Annex B.12)."""

from __future__ import annotations

import socket
import ssl

# RFC 9325 section 4.2: forward secrecy and AEAD. The suites of TLS 1.3 are all of that kind.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class HandshakeFailed(Exception):
    """No secure connection came about; the message says why."""


def server_context(certificate: str, key: str, ca: str = "") -> ssl.SSLContext:
    """TLS as the receiver speaks it: version 1.2 or 1.3.

    Parameters
    ----------
    certificate, key
        PEM files: our certificate with its chain, and its private key.
    ca
        PEM file of those who sign the peers' certificates; with one, a peer must show its own.

    Raises
    ------
    OSError
        A file cannot be used (``ssl.SSLError`` is one too).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION  # RFC 9325 3.3 and 3.5
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    # Tickets are only as good as the key that protects them, and nobody renews that (RFC 9325 3.4).
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.load_cert_chain(certificate, key)
    if ca:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def accept(connection: socket.socket, context: ssl.SSLContext, seconds: float) -> ssl.SSLSocket:
    """Make a connection that was accepted a secure one; closes it if that fails.

    Never to be called in the thread that accepts: a peer may take ``seconds`` for it.

    Parameters
    ----------
    connection
        As ``socket.accept`` gave it.
    context
        See ``server_context``.
    seconds
        The whole handshake takes no longer.

    Raises
    ------
    HandshakeFailed
        The peer speaks no TLS, or none that is good enough, or shows no certificate that is
        trusted, or takes too long.
    """
    try:
        connection.settimeout(seconds)
        secured = context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
    except (OSError, ValueError) as error:
        connection.close()
        raise HandshakeFailed(_why(error)) from error
    try:
        secured.do_handshake()
    except (OSError, ValueError) as error:
        secured.close()
        raise HandshakeFailed(_why(error)) from error
    return secured


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "the peer took too long"
    if isinstance(error, ssl.SSLError) and error.reason and "EOF" not in error.reason:
        return error.reason.lower().replace("_", " ")
    return "the connection ended"
