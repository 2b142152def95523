"""The gate: who may come in by the settings. Closed to everyone else once a peer is listed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import combinations
from typing import Any

from scp.access import Admitted, Caller
from scp.passcode import matches
from scp.presence import Presence
from scp.rejection import Rejection

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True)
class PeerRule:
    """A peer that may come in, how it is known, and what it may do.

    Attributes
    ----------
    name
        Its name in the settings.
    ae_title
        Calling AE title.
    called
        AE titles that it may call.
    networks
        Where it may come from; empty for anywhere.
    certificate
        A name that its TLS certificate must bear; empty for none, and then without TLS too.
    user, passcode_hash
        User identity that it must show (PS3.7 Annex D.3.3.7), and the hash of its passcode; empty
        for none.
    sop_classes, object_bytes, bytes_per_second
        See ``Admitted``.
    associations
        How many it may have open at once; None for as many as the receiver takes.
    """

    name: str
    ae_title: str
    called: frozenset[str]
    networks: tuple[Network, ...] = ()
    certificate: str = ""
    user: str = ""
    passcode_hash: str = field(default="", repr=False)
    sop_classes: frozenset[str] | None = None
    object_bytes: int | None = None
    bytes_per_second: float | None = None
    associations: int | None = None

    def overlaps(self, other: PeerRule) -> bool:
        """Whether one caller could be both."""
        return (
            self.ae_title == other.ae_title
            and bool(self.called & other.called)
            and _overlap(self.networks, other.networks)
        )


class PeerGate:
    """Admits the peers that are listed; with none listed, everyone who calls our AE title.

    Parameters
    ----------
    ae_title
        Ours.
    rules
        In any order.

    Raises
    ------
    ValueError
        A caller could be two of the peers; the message names both.
    """

    def __init__(self, ae_title: str, rules: Iterable[PeerRule] = ()) -> None:
        self._ae_title = ae_title
        self._rules = tuple(rules)
        for one, other in combinations(self._rules, 2):
            if one.overlaps(other):
                raise ValueError(
                    f"{one.name!r} and {other.name!r} have the same AE title and no networks "
                    "that tell them apart"
                )
        self._present = {
            each.name: Presence(each.associations)
            for each in self._rules
            if each.associations is not None
        }

    def may_connect(self, address: str) -> bool:
        """Whether a peer may come from this IP address.

        What comes from elsewhere is not let near the places that there are for associations.
        """
        return not self._rules or any(_inside(address, each.networks) for each in self._rules)

    def admit(self, caller: Caller) -> Admitted:
        """Let a peer in.

        Raises
        ------
        Rejected
            By the first ``Rejection`` that holds, in the order in which they are defined.
        """
        if not self._rules:
            if caller.called_ae != self._ae_title:
                raise Rejection.CALLED_AE.rejected()
            return Admitted()
        rule = self._find(caller)
        if rule.certificate and rule.certificate.lower() not in names(caller.certificate):
            raise Rejection.CERTIFICATE.rejected()
        if rule.user and not _identified(rule, caller):
            raise Rejection.IDENTITY.rejected()
        inside = self._present.get(rule.name)
        if inside is not None and not inside.enter(caller.present):
            raise Rejection.ASSOCIATIONS.rejected()
        return Admitted(
            peer=rule.name,
            sop_classes=rule.sop_classes,
            object_bytes=rule.object_bytes,
            bytes_per_second=rule.bytes_per_second,
            identified=bool(rule.user),
        )

    def _find(self, caller: Caller) -> PeerRule:
        rules = [each for each in self._rules if each.ae_title == caller.calling_ae]
        if not rules:
            raise Rejection.CALLING_AE.rejected()
        rules = [each for each in rules if _inside(caller.address, each.networks)]
        if not rules:
            raise Rejection.NETWORK.rejected()
        rules = [each for each in rules if caller.called_ae in each.called]
        if not rules:
            raise Rejection.CALLED_AE.rejected()
        (rule,) = rules  # no two overlap
        return rule


def names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Subject alternative names and common names of a certificate, in lower case.

    Parameters
    ----------
    certificate
        As ``ssl.SSLSocket.getpeercert`` gives it.
    """
    if not certificate:
        return frozenset()
    common = {
        value
        for relative in certificate.get("subject", ())
        for kind, value in relative
        if kind == "commonName"
    }
    wanted = {"DNS", "IP Address", "URI", "email"}
    others = {value for kind, value in certificate.get("subjectAltName", ()) if kind in wanted}
    return frozenset(str(each).lower() for each in common | others)


def _identified(rule: PeerRule, caller: Caller) -> bool:
    # Both are always computed: how long it takes does not tell which was wrong.
    right_passcode = not rule.passcode_hash or matches(caller.passcode, rule.passcode_hash)
    return (caller.user == rule.user) & right_passcode


def _inside(address: str, networks: tuple[Network, ...]) -> bool:
    if not networks:
        return True
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped  # how a socket for both families names an IPv4 peer
    return any(parsed in each for each in networks)


def _overlap(ours: tuple[Network, ...], theirs: tuple[Network, ...]) -> bool:
    if not ours or not theirs:
        return True
    return any(
        one.version == other.version and one.overlaps(other) for one in ours for other in theirs
    )
