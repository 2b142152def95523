"""Messages as syslog lines, and the TLS connection that carries them (RFC 5424, RFC 5425)."""

from __future__ import annotations

import contextlib
import fcntl
import re
import socket
import ssl
import struct
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from audit.messages import utc

# PS3.15 A.6: facility 10 (security/authorization), severity 5 (normal but significant).
_PRIORITY = 10 * 8 + 5
_MESSAGE_ID = "DICOM+RFC3881"  # PS3.15 A.6
_BOM = "\ufeff"  # RFC 5424 section 6.4: what follows is UTF-8
_CONNECT_SECONDS = 10.0
_ACKNOWLEDGED_SECONDS = 10.0
_SETTLE_SECONDS = 0.5
_POLL_SECONDS = 0.01
_SIOCOUTQ = 0x5411  # Linux: bytes of a socket that the other side has not acknowledged


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the header of every line of a process says (RFC 5424 section 6.2)."""

    host: str
    application: str
    process: str

    def line(self, message: str, at: datetime) -> bytes:
        """A message as SYSLOG-MSG; without structured data, for all stands in the XML."""
        host = _field(self.host, 255)
        application, process = _field(self.application, 48), _field(self.process, 128)
        header = f"<{_PRIORITY}>1 {utc(at)} {host} {application} {process} {_MESSAGE_ID} -"
        return f"{header} {_BOM}{message}".encode()


@dataclass(frozen=True, kw_only=True)
class Server:
    """The audit server, and how we and it show who we are.

    Attributes
    ----------
    host, port
        Where it listens; its certificate must be for this host.
    ca
        PEM file with the authorities that may have signed its certificate; None for those that
        the system trusts.
    certificate, key
        Our own, PEM, for a server that asks; the key may stand in the certificate's file.
    """

    host: str
    port: int
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """How to connect: TLS 1.2 or newer, and never without knowing the server.

        Raises
        ------
        OSError
            A file is missing or is no such certificate or key (``ssl.SSLError``).
        """
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            # Without a password of its own OpenSSL would ask for one at the terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
        return context

    def connect(self) -> Connection:
        """Connect; certificates are read each time, so renewed ones are used.

        Raises
        ------
        OSError
            There is no connection, or one side's certificate is not good enough for the other.
        """
        context = self.context()
        plain = socket.create_connection((self.host, self.port), timeout=_CONNECT_SECONDS)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(plain.close)
            tls = context.wrap_socket(plain, server_hostname=self.host)
            on_failure.callback(tls.close)
            connection = Connection(tls)
            connection.settle()
            on_failure.pop_all()
        return connection


class Connection:
    """An open connection to the audit server.

    RFC 5425 has no answers. What is known is what TCP knows: that the other host has the bytes.
    """

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls

    def settle(self) -> None:
        """Wait a moment for a server that does not want us.

        In TLS 1.3 our side of the handshake is over before the server has judged our certificate;
        what is sent at once would be taken by its host and thrown away.

        Raises
        ------
        OSError
            It does not want us.
        """
        if self._tls.version() != "TLSv1.3":
            return
        self._tls.settimeout(_SETTLE_SECONDS)
        try:
            if self._tls.recv(4096) == b"":
                raise ConnectionResetError("the server closed the connection")
        except TimeoutError:
            return
        finally:
            self._tls.settimeout(_CONNECT_SECONDS)

    def send(self, line: bytes) -> None:
        """Send one line, its length before it (RFC 5425 section 4.3).

        Raises
        ------
        OSError
            The connection is lost.
        """
        self._tls.sendall(b"%d %s" % (len(line), line))

    def check(self) -> None:
        """Raise ``ConnectionError`` if the server has closed the connection."""
        self._tls.setblocking(False)
        try:
            # The server has nothing to say; an end is all that can be read.
            if self._tls.recv(4096) == b"":
                raise ConnectionResetError("the server closed the connection")
        except ssl.SSLWantReadError:
            return
        finally:
            self._tls.settimeout(_CONNECT_SECONDS)

    def acknowledged(self) -> None:
        """Wait until the other host has all that was sent.

        Raises
        ------
        OSError
            It does not get it, or the connection is lost.
        """
        deadline = time.monotonic() + _ACKNOWLEDGED_SECONDS
        while _outstanding(self._tls):
            if time.monotonic() > deadline:
                raise TimeoutError("the server does not take what is sent")
            time.sleep(_POLL_SECONDS)
        self.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._tls.settimeout(1.0)
            self._tls.unwrap()  # close_notify (RFC 5425 section 4.4)
        self._tls.close()


def _outstanding(tls: ssl.SSLSocket) -> int:
    if sys.platform != "linux":
        return 0
    answer = fcntl.ioctl(tls.fileno(), _SIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def _field(text: str, longest: int) -> str:
    """A header field: printable ASCII without spaces, or the nil value (RFC 5424 section 6)."""
    return re.sub(r"[^!-~]", "_", text)[:longest] or "-"
