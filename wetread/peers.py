"""Names and addresses of application entities, as the settings and the command line give them."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from delivery.associate import Peer
from delivery.tls import client_context
from wetread import certificates
from wetread.certificates import TlsFiles
from wetread.config import Settings
from wetread.origin import ConfigError
from wetread.sections import Destination

if TYPE_CHECKING:
    from delivery.dicomweb import WebPeer
    from delivery.send import SendOutcome

_ADDRESS = re.compile(r"(?P<title>[^@]{1,16})@(?P<host>[^:@]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")


def web_peer(destination: Destination) -> WebPeer:
    """The DICOMweb server of a configured destination that has a URL.

    Raises
    ------
    ConfigError
        A file of its TLS, or the one with the secret, cannot be used.
    """
    # Only where it is needed: it imports a large library.
    from delivery.dicomweb import Credentials, Unwilling, WebPeer

    credentials = None
    if destination.secret_file:
        credentials = Credentials(Path(destination.secret_file), destination.user)
        try:
            credentials.secret()
        except Unwilling as error:
            raise ConfigError(str(error)) from error
    tls = tls_to(certificates.delivery_files(destination)) if destination.secured else None
    return WebPeer(url=destination.url, tls=tls, credentials=credentials)


def destination_peer(settings: Settings, destination: Destination) -> Peer:
    """The application entity of a configured destination that has an AE title.

    Raises
    ------
    ConfigError
        A file of its TLS cannot be used.
    """
    return Peer(
        ae_title=destination.ae_title,
        host=destination.host,
        port=destination.port,
        calling_ae_title=settings.node.ae_title,
        tls=tls_to(certificates.delivery_files(destination)) if destination.tls else None,
        server_name=destination.server_name,
    )


def tls_to(files: TlsFiles) -> ssl.SSLContext:
    """How a connection to somebody else is secured with these files.

    Raises
    ------
    ConfigError
        One cannot be used.
    """
    certificates.check(files)
    return client_context(files.ca, files.certificate, files.key)


def parse_peer(settings: Settings, text: str) -> Peer | WebPeer:
    """Resolve the name of a destination, or ``AET@host:port``.

    Raises
    ------
    ConfigError
        It is neither, or a file of its TLS, or the one with its secret, cannot be used.
    """
    for destination in settings.destination:
        if destination.name == text:
            if destination.url:
                return web_peer(destination)
            return destination_peer(settings, destination)
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        names = ", ".join(each.name for each in settings.destination) or "none configured"
        raise ConfigError(
            f"{text!r} is neither a destination ({names}) nor AET@host:port, "
            "e.g. WETREAD@127.0.0.1:11112"
        )
    return Peer(
        ae_title=match["title"],
        host=match["host"].strip("[]"),
        port=int(match["port"]),
        calling_ae_title=settings.node.ae_title,
    )


def send_files(peer: Peer | WebPeer, paths: Sequence[Path]) -> Iterator[SendOutcome]:
    """Send files and folders with C-STORE, to a DICOMweb server with STOW-RS.

    Raises
    ------
    NoAssociation, Away
        There is no connection, or the peer does not let us in.
    """
    # Only what is needed: each imports a large library.
    if isinstance(peer, Peer):
        from delivery import send

        return send.send(peer, paths)
    from delivery import stow

    return stow.send(peer, paths)
