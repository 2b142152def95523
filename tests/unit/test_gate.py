"""The gate: closed by default, the same in any order, and what each rejection is."""

from __future__ import annotations

import threading
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scp.access import Admitted, Caller, Rejected
from scp.gate import Network, PeerGate, PeerRule, names
from scp.passcode import checked, hashed, matches
from scp.presence import Lobby
from scp.rejection import Rejection

OURS = "WETREAD"
HASH = hashed(b"open sesame")
CERTIFICATE = {
    "subject": ((("organizationName", "Clinic"),), (("commonName", "ct1"),)),
    "subjectAltName": (("DNS", "CT1.clinic.example"), ("IP Address", "10.0.0.1"), ("DirName", "x")),
}


def rule(name: str = "ct", **given: Any) -> PeerRule:
    return PeerRule(**{"name": name, "ae_title": "CT1", "called": frozenset({OURS})} | given)


def caller(**given: Any) -> Caller:
    return Caller(**{"calling_ae": "CT1", "called_ae": OURS, "address": "10.0.0.1"} | given)


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(each) for each in texts)


def rejection(gate: PeerGate, who: Caller) -> Rejection | None:
    """Why a caller is kept out; None if it is let in."""
    try:
        gate.admit(who)
    except Rejected as refused:
        return Rejection((refused.result, refused.source, refused.diagnostic, refused.reason))
    return None


def test_without_peers_everyone_who_calls_our_title_comes_in() -> None:
    assert PeerGate(OURS).admit(caller(calling_ae="ANYBODY")) == Admitted()
    assert rejection(PeerGate(OURS), caller(called_ae="OTHER")) is Rejection.CALLED_AE


@pytest.mark.parametrize(
    ("given_rule", "given_caller", "expected"),
    [
        ({}, {}, None),
        ({}, {"calling_ae": "ct1"}, Rejection.CALLING_AE),
        ({}, {"calling_ae": ""}, Rejection.CALLING_AE),
        ({}, {"called_ae": "OTHER"}, Rejection.CALLED_AE),
        ({"called": frozenset({"OTHER"})}, {"called_ae": "OTHER"}, None),
        ({"called": frozenset({"OTHER"})}, {}, Rejection.CALLED_AE),
        ({"networks": networks("10.0.0.0/24")}, {}, None),
        ({"networks": networks("10.0.0.0/24")}, {"address": "::ffff:10.0.0.9"}, None),
        ({"networks": networks("10.0.0.0/24")}, {"address": "10.0.1.1"}, Rejection.NETWORK),
        ({"networks": networks("10.0.0.0/24")}, {"address": "fe80::1%eth0"}, Rejection.NETWORK),
        ({"networks": networks("10.0.0.0/24")}, {"address": ""}, Rejection.NETWORK),
        ({"networks": networks("fe80::/10", "10.9.9.9")}, {"address": "fe80::1%eth0"}, None),
        ({"certificate": "ct1"}, {"certificate": CERTIFICATE}, None),
        ({"certificate": "ct1.CLINIC.example"}, {"certificate": CERTIFICATE}, None),
        ({"certificate": "10.0.0.1"}, {"certificate": CERTIFICATE}, None),
        ({"certificate": "Clinic"}, {"certificate": CERTIFICATE}, Rejection.CERTIFICATE),
        ({"certificate": "x"}, {"certificate": CERTIFICATE}, Rejection.CERTIFICATE),
        ({"certificate": "ct1"}, {}, Rejection.CERTIFICATE),
        ({"certificate": "ct1"}, {"certificate": {}}, Rejection.CERTIFICATE),
        ({"user": "anna"}, {"user": "anna"}, None),
        ({"user": "anna"}, {"user": "anna", "passcode": b"is not asked for"}, None),
        ({"user": "anna"}, {}, Rejection.IDENTITY),
        ({"user": "anna"}, {"user": "Anna"}, Rejection.IDENTITY),
        (
            {"user": "anna", "passcode_hash": HASH},
            {"user": "anna", "passcode": b"open sesame"},
            None,
        ),
        (
            {"user": "anna", "passcode_hash": HASH},
            {"user": "anna", "passcode": b"guess"},
            Rejection.IDENTITY,
        ),
        ({"user": "anna", "passcode_hash": HASH}, {"user": "anna"}, Rejection.IDENTITY),
        (
            {"user": "anna", "passcode_hash": HASH},
            {"user": "eve", "passcode": b"open sesame"},
            Rejection.IDENTITY,
        ),
        ({}, {"user": "anna", "passcode": b"nobody asked"}, None),
    ],
)
def test_each_reason(
    given_rule: dict[str, Any], given_caller: dict[str, Any], expected: Rejection | None
) -> None:
    assert rejection(PeerGate(OURS, [rule(**given_rule)]), caller(**given_caller)) is expected


def test_what_the_peer_may_do_comes_with_it() -> None:
    limits: dict[str, Any] = {
        "sop_classes": frozenset({"1.2"}), "object_bytes": 5, "bytes_per_second": 7.0
    }  # fmt: skip
    assert PeerGate(OURS, [rule(**limits)]).admit(caller()) == Admitted(peer="ct", **limits)
    known = PeerGate(OURS, [rule(user="anna")]).admit(caller(user="anna"))
    assert known.identified


def test_associations_are_counted_for_as_long_as_they_stand() -> None:
    gate = PeerGate(OURS, [rule(associations=2), rule("mr", ae_title="MR1", associations=1)])
    standing = {"a": True, "b": True, "c": True}
    for each in standing:
        who = caller(present=lambda each=each: standing[each])
        assert rejection(gate, who) is (Rejection.ASSOCIATIONS if each == "c" else None)
    assert rejection(gate, caller(calling_ae="MR1")) is None  # counted apart
    standing["a"] = False  # in whatever way it ended
    assert rejection(gate, caller()) is None
    assert rejection(gate, caller()) is Rejection.ASSOCIATIONS


def test_a_rush_of_associations_does_not_pass_the_limit() -> None:
    gate = PeerGate(OURS, [rule(associations=5)])
    together, entered = threading.Barrier(20), []

    def come() -> None:
        together.wait()
        entered.append(rejection(gate, caller()) is None)

    threads = [threading.Thread(target=come) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(entered) == 5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"networks": networks("10.0.0.0/8")}, {}),
        ({"networks": networks("10.0.0.0/8")}, {"networks": networks("10.1.0.0/16")}),
        ({"called": frozenset({"A", "B"})}, {"called": frozenset({"B", "C"})}),
        ({"certificate": "a"}, {"certificate": "b"}),
    ],
)
def test_a_caller_that_could_be_two_peers(one: dict[str, Any], other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'a' and 'b' have the same AE title"):
        PeerGate(OURS, [rule("a", **one), rule("b", **other)])


def test_one_title_in_two_networks_is_two_peers() -> None:
    gate = PeerGate(
        OURS,
        [
            rule("a", networks=networks("10.0.0.0/24")),
            rule("b", networks=networks("10.0.1.0/24", "fe80::/10")),
            rule("c", networks=networks("10.0.0.0/24"), called=frozenset({"OTHER"})),
        ],
    )
    assert gate.admit(caller()).peer == "a"
    assert gate.admit(caller(address="10.0.1.4")).peer == "b"
    assert gate.admit(caller(called_ae="OTHER")).peer == "c"


def test_who_may_connect_at_all() -> None:
    assert PeerGate(OURS).may_connect("192.0.2.1")
    here = rule("a", networks=networks("10.0.0.0/24"))
    gate = PeerGate(OURS, [here, rule("b", ae_title="B", networks=networks("fe80::/10"))])
    assert gate.may_connect("10.0.0.9")
    assert gate.may_connect("::ffff:10.0.0.9")
    assert gate.may_connect("fe80::1%eth0")
    assert not gate.may_connect("10.0.1.9")
    assert not gate.may_connect("nonsense")
    assert PeerGate(OURS, [here, rule("b", ae_title="B")]).may_connect("192.0.2.1")


TITLES = st.sampled_from(["CT1", "CT2", "MR1", ""])
USERS = st.sampled_from(["", "anna", "bob"])
CERTIFICATES = st.sampled_from(["", "ct1", "mr1"])
NETWORKS = st.lists(
    st.sampled_from(networks("10.0.0.0/24", "10.0.1.0/24", "10.0.0.7/32", "fe80::/64")),
    max_size=2,
).map(tuple)
RULES = st.lists(
    st.builds(
        PeerRule,
        name=st.uuids().map(str),
        ae_title=TITLES.filter(bool),
        called=st.frozensets(st.sampled_from([OURS, "OTHER"]), min_size=1),
        networks=NETWORKS,
        certificate=CERTIFICATES,
        user=USERS,
    ),
    min_size=1,
    max_size=4,
)
CALLERS = st.builds(
    Caller,
    calling_ae=TITLES,
    called_ae=st.sampled_from([OURS, "OTHER", "NOBODY"]),
    address=st.sampled_from(["10.0.0.7", "10.0.1.1", "10.9.9.9", "fe80::5", "nonsense"]),
    certificate=st.sampled_from([None, {}, CERTIFICATE]),
    user=USERS,
)


def gate_of(rules: list[PeerRule]) -> PeerGate:
    try:
        return PeerGate(OURS, rules)
    except ValueError:
        assume(False)
        raise


def satisfied(given_rule: PeerRule, who: Caller) -> bool:
    """Written again, and more plainly than in the gate."""
    return all(
        [
            who.calling_ae == given_rule.ae_title,
            who.called_ae in given_rule.called,
            not given_rule.networks
            or any(
                who.address in ("10.0.0.7", "10.0.1.1", "fe80::5")
                and ip_network(who.address).version == each.version
                and ip_network(who.address).subnet_of(each)  # type: ignore[arg-type]
                for each in given_rule.networks
            ),
            not given_rule.certificate
            or (who.certificate == CERTIFICATE and given_rule.certificate == "ct1"),
            not given_rule.user or given_rule.user == who.user,
        ]
    )


@given(RULES, CALLERS)
@settings(max_examples=400)
def test_only_a_caller_that_matches_a_peer_in_everything_comes_in(
    rules: list[PeerRule], who: Caller
) -> None:
    fitting = [each.name for each in rules if satisfied(each, who)]
    try:
        assert [gate_of(rules).admit(who).peer] == fitting
        assert gate_of(rules).may_connect(who.address)
    except Rejected:
        assert fitting == []


@given(RULES, CALLERS, st.randoms())
def test_the_order_of_the_peers_does_not_matter(
    rules: list[PeerRule], who: Caller, random: Any
) -> None:
    shuffled = list(rules)
    random.shuffle(shuffled)
    one, other = gate_of(rules), gate_of(shuffled)
    assert rejection(one, who) is rejection(other, who)
    if rejection(one, who) is None:
        assert one.admit(who) == other.admit(who)


def test_the_names_of_a_certificate() -> None:
    assert names(None) == names({}) == frozenset()
    assert names(CERTIFICATE) == {"ct1", "ct1.clinic.example", "10.0.0.1"}


def test_a_passcode_is_known_by_its_hash() -> None:
    assert matches(b"open sesame", HASH)
    assert not matches(b"Open sesame", HASH)
    assert not matches(b"", HASH)
    assert hashed(b"open sesame") != HASH
    assert "sesame" not in HASH


@pytest.mark.parametrize(
    "text",
    ["", "open sesame", HASH[:-1], HASH + "x", HASH.replace("$14$", "$30$"), f"{HASH}\n",
     HASH.replace("$8$", "$0$"), "scrypt$14$8$1$$", HASH.replace("scrypt", "md5")],
    ids=["empty", "plain", "cut", "longer", "cost", "newline", "block", "no-salt", "kind"],
)  # fmt: skip
def test_what_is_no_hash_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="wetread config passcode") as caught:
        checked(text)
    assert "sesame" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    assert "sesame" not in repr(caller(passcode=b"open sesame"))
    assert HASH not in repr(rule(passcode_hash=HASH))
    assert "clinic" not in repr(caller(certificate=CERTIFICATE))


def test_a_lobby_has_room_again_when_someone_leaves() -> None:
    lobby = Lobby(limit=3, per_address=2)
    assert lobby.enter(("a", 1))
    assert lobby.enter(("a", 2))
    assert not lobby.enter(("a", 3))  # one address has its share
    assert lobby.enter(("b", 1))
    assert not lobby.enter(("c", 1))
    lobby.leave(("a", 1))
    assert lobby.enter(("c", 1))
    waiting = [True]
    lobby.follow(("c", 1), lambda: waiting[0])
    lobby.leave(("c", 1))  # its thread has gone on to be an association, which is followed
    assert not lobby.enter(("d", 1))
    waiting[0] = False
    assert lobby.enter(("d", 1))
