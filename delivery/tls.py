"""TLS for what goes out: BCP 195 as of RFC 8996 and RFC 9325 (PS3.15 Annex B.12)."""

from __future__ import annotations

import socket
import ssl
from typing import Any

# RFC 9325 section 4.2: forward secrecy and AEAD. The suites of TLS 1.3 are all of that kind.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class _Socket(ssl.SSLSocket):
    """Keeps the error for which it is of no use."""

    trouble: OSError | None = None

    def connect(self, addr: Any) -> None:
        try:
            super().connect(addr)
        except OSError as error:
            self.trouble = error
            self.close()  # pynetdicom shuts a socket down first, which fails, and leaves it open
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except OSError as error:
            # With TLS 1.3 a certificate of ours that is refused is learned of here.
            self.trouble = error
            raise


def client_context(ca: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """TLS as the courier speaks it: version 1.2 or 1.3; the peer's certificate bears its name.

    Parameters
    ----------
    ca
        PEM file of those who sign the peer's certificate; empty for those that the operating
        system trusts.
    certificate, key
        PEM files: our certificate with its chain, and its private key; empty where the peer wants
        none.

    Raises
    ------
    OSError
        A file cannot be used (``ssl.SSLError`` is one too).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    context.sslsocket_class = _Socket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION  # RFC 9325 3.3 and 3.5
    if ca:
        context.load_verify_locations(ca)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


class Witness:
    """Secures one connection as a context does, and remembers why that failed.

    pynetdicom tells only that there is no connection.

    Parameters
    ----------
    context
        See ``client_context``.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._secured: _Socket | None = None

    def wrap_socket(
        self, sock: socket.socket, server_side: bool = False, server_hostname: str | None = None
    ) -> ssl.SSLSocket:
        """What pynetdicom asks of a context."""
        secured = self._context.wrap_socket(
            sock, server_side=server_side, server_hostname=server_hostname
        )
        self._secured = secured if isinstance(secured, _Socket) else None
        return secured

    def close(self) -> None:
        """Close the connection if pynetdicom left it open."""
        if self._secured is not None:
            self._secured.close()

    @property
    def trouble(self) -> str:
        """Why there is no secure connection; empty if nothing is known."""
        return trouble(self._secured.trouble if self._secured is not None else None)


def trouble(error: BaseException | None) -> str:
    """What an error says of TLS; empty if nothing."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or 'refused').lower().replace('_', ' ')}"
    return ""
