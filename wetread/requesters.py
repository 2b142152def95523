"""Where those are who ask for storage commitment: destinations, and peers with a host."""

from __future__ import annotations

from delivery.associate import Peer
from wetread import certificates
from wetread.config import Settings
from wetread.peers import destination_peer, tls_to


def known_titles(settings: Settings) -> frozenset[str]:
    """AE titles whose address is known."""
    destinations = {each.ae_title for each in settings.destination if each.ae_title}
    return frozenset(destinations | {each.ae_title for each in settings.peer if each.host})


def requesters(settings: Settings) -> dict[str, Peer]:
    """Application entities to which reports go, by AE title; the first of a title counts.

    Raises
    ------
    ConfigError
        A file of a destination's TLS, or of ``[tls]`` for a peer that wants it, cannot be used.
    """
    found: dict[str, Peer] = {}
    for peer in settings.peer:
        if peer.host:
            found.setdefault(
                peer.ae_title,
                Peer(
                    ae_title=peer.ae_title,
                    host=peer.host,
                    port=peer.port,
                    calling_ae_title=settings.node.ae_title,
                    tls=tls_to(certificates.receiver_files(settings)) if peer.tls else None,
                    server_name=peer.server_name,
                ),
            )
    for destination in settings.destination:
        if destination.ae_title and destination.ae_title not in found:
            found[destination.ae_title] = destination_peer(settings, destination)
    return found
