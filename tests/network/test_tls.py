"""TLS at both ends: who is let in, who is not, and what is said of it."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from delivery.associate import NoAssociation, Peer
from delivery.send import echo
from delivery.tls import client_context
from scp.gate import PeerGate, PeerRule
from scp.tls import CIPHERS, server_context
from tests.certificates import Authority, Pair
from tests.dicomfiles import as_file, image
from tests.guarded import HANDSHAKE_SECONDS, Guarded
from tools.ports import free_port

pytestmark = pytest.mark.skipif(
    not Authority.installed(), reason="openssl is not installed: apt-get install openssl"
)
RULES = (
    PeerRule(
        name="ct", ae_title="CT1", called=frozenset({"WETREAD"}), certificate="ct1.clinic.example"
    ),
    PeerRule(name="mr", ae_title="MR1", called=frozenset({"WETREAD"}), certificate="mr1"),
)


class Site:
    """A clinic's certificates."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "clinic")
        self.ca = self.authority.certificate
        self.node = self.authority.issue("wetread")
        self.rsa = self.authority.issue("wetread-rsa", rsa=True)
        self.ct = self.authority.issue("ct1", "DNS:ct1.clinic.example,DNS:localhost")
        self.expired = self.authority.issue("ct1", "DNS:ct1.clinic.example", days=-1)
        stranger = Authority(folder / "elsewhere", "Another CA")
        self.stranger_ca = stranger.certificate
        self.stranger = stranger.issue("ct1", "DNS:ct1.clinic.example")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def listen() -> Iterator[Callable[..., Guarded]]:
    with ExitStack() as stack:

        def start(certificate: Pair, ca: str = "", rules: Any = ()) -> Guarded:
            tls = server_context(certificate.certificate, certificate.key, ca)
            made = Guarded(PeerGate("WETREAD", rules), tls)
            return stack.enter_context(made.running())

        yield start


Listen = Callable[..., Guarded]


def peer_of(server: Guarded, context: ssl.SSLContext | None, calling: str = "CT1") -> Peer:
    return Peer(
        ae_title="WETREAD",
        host="127.0.0.1",
        port=server.port,
        calling_ae_title=calling,
        tls=context,
    )


def test_both_ends_show_their_certificates(listen: Listen, site: Site) -> None:
    server = listen(site.node, site.ca, RULES)
    context = client_context(site.ca, site.ct.certificate, site.ct.key)
    assert echo(peer_of(server, context)) == 0
    assert [each and each.peer for each in server.admitted()] == ["ct"]
    # The same certificate under the title of another peer.
    with pytest.raises(NoAssociation, match="rejected: it does not know our AE title"):
        echo(peer_of(server, context, "MR1"))


def test_without_ca_no_certificate_is_asked_for(listen: Listen, site: Site) -> None:
    server = listen(site.rsa)
    assert echo(peer_of(server, client_context(site.ca))) == 0
    assert server.handshakes == []


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ("", "peer did not return a certificate"),
        ("expired", "the peer's certificate: certificate has expired"),
        ("stranger", "the peer's certificate: unable to get local issuer certificate"),
    ],
)
def test_a_peer_without_a_good_certificate_stays_out(
    listen: Listen, site: Site, shown: str, reason: str
) -> None:
    server = listen(site.node, site.ca, RULES)
    pair = getattr(site, shown) if shown else Pair("", "")
    with pytest.raises(NoAssociation) as caught:
        echo(peer_of(server, client_context(site.ca, pair.certificate, pair.key)))
    assert "TLS failed: " in str(caught.value)
    wait_until(lambda: server.handshakes == [reason])
    assert server.associations == []


@pytest.mark.parametrize(
    ("served", "trusted", "name", "message"),
    [
        ("node", "stranger_ca", "", "its TLS certificate: unable to get local issuer certificate"),
        ("expired", "ca", "ct1.clinic.example", "its TLS certificate: certificate has expired"),
        ("node", "ca", "pacs.example", "its TLS certificate: Hostname mismatch"),
        ("ct", "ca", "", "its TLS certificate: IP address mismatch"),
    ],
)
def test_delivery_goes_to_no_one_with_a_wrong_certificate(
    listen: Listen, site: Site, served: str, trusted: str, name: str, message: str
) -> None:
    server = listen(getattr(site, served))
    peer = replace(peer_of(server, client_context(getattr(site, trusted))), server_name=name)
    with pytest.raises(NoAssociation, match=message):
        echo(peer)
    assert server.associations == []


def test_the_name_in_a_certificate_need_not_be_the_host(listen: Listen, site: Site) -> None:
    peer = peer_of(listen(site.ct), client_context(site.ca))
    assert echo(replace(peer, server_name="ct1.clinic.example")) == 0


def test_without_a_ca_of_our_own_the_system_is_trusted(listen: Listen, site: Site) -> None:
    with pytest.raises(NoAssociation, match="unable to get local issuer certificate"):
        echo(peer_of(listen(site.node), client_context()))


def test_delivery_speaks_no_tls_to_a_plain_port(site: Site) -> None:
    plain = Guarded(PeerGate("WETREAD"))
    with plain.running(), pytest.raises(NoAssociation):
        echo(peer_of(plain, client_context(site.ca)))


def test_a_plain_peer_on_the_tls_port_is_told_nothing(listen: Listen, site: Site) -> None:
    server = listen(site.node, site.ca)
    with pytest.raises(NoAssociation):
        echo(peer_of(server, None))
    wait_until(lambda: len(server.handshakes) == 1)
    assert server.handshakes == ["wrong version number"]
    assert server.associations == []


def weak(ca: str, version: ssl.TLSVersion, ciphers: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    return context


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1, "ALL"),
        (ssl.TLSVersion.TLSv1_1, "ALL"),
        (ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384:AES128-SHA"),  # no forward secrecy
        (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA"),  # no AEAD
        (ssl.TLSVersion.TLSv1_2, "NULL-SHA256"),
        (ssl.TLSVersion.TLSv1_2, "ADH+AESGCM"),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_old_versions_and_weak_suites_are_refused(
    listen: Listen, site: Site, version: ssl.TLSVersion, ciphers: str
) -> None:
    server = listen(site.rsa)
    with (
        socket.create_connection(("127.0.0.1", server.port)) as connection,
        pytest.raises(ssl.SSLError),
    ):
        weak(site.ca, version, ciphers).wrap_socket(connection, server_hostname="127.0.0.1")
    wait_until(lambda: len(server.handshakes) == 1)
    assert server.handshakes[0] in ("unsupported protocol", "no shared cipher", "version too low")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_bcp_195_recommends_is_spoken(
    listen: Listen, site: Site, version: ssl.TLSVersion
) -> None:
    server = listen(site.rsa)
    context = client_context(site.ca)
    context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", server.port)) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secured,
    ):
        chosen = secured.cipher()
        assert chosen is not None
        assert "GCM" in chosen[0]
        assert secured.version() == version.name.replace("_", ".").replace("TLSv1.", "TLSv1.")
        assert secured.compression() is None
    wait_until(server.is_over)


def test_only_suites_with_forward_secrecy_and_aead_are_offered(site: Site) -> None:
    for context in (server_context(site.node.certificate, site.node.key), client_context(site.ca)):
        names = [str(each["name"]) for each in context.get_ciphers()]
        assert names
        for each in names:
            assert each.startswith(("ECDHE-", "TLS_")), each
            assert "GCM" in each or "CHACHA20" in each or "CCM" in each, each
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert "DHE" in CIPHERS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_tickets_are_given(listen: Listen, site: Site, version: ssl.TLSVersion) -> None:
    server = listen(site.node, site.ca, RULES)
    context = client_context(site.ca, site.ct.certificate, site.ct.key)
    context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", server.port)) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.session is None or not secured.session.has_ticket
    wait_until(server.is_over)


def test_a_stalled_handshake_holds_nobody_up(listen: Listen, site: Site) -> None:
    server = listen(site.node, site.ca, RULES)
    context = client_context(site.ca, site.ct.certificate, site.ct.key)
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    silent[0].sendall(b"\x16\x03\x01\x02\x00")  # the beginning of a handshake
    started = time.monotonic()
    assert echo(peer_of(server, context)) == 0
    assert time.monotonic() - started < HANDSHAKE_SECONDS
    wait_until(lambda: server.handshakes == ["the peer took too long"] * 20)
    for each in silent:
        each.close()


def test_a_handshake_that_drips_is_cut_off_in_time(listen: Listen, site: Site) -> None:
    server = listen(site.node)
    with socket.create_connection(("127.0.0.1", server.port)) as peer:
        peer.sendall(b"\x16\x03\x01\x02\x00")
        started = time.monotonic()
        try:
            while not server.handshakes and time.monotonic() - started < 2 * HANDSHAKE_SECONDS:
                peer.sendall(b"\x01")
                time.sleep(0.3)
        except OSError:
            pass
    wait_until(lambda: server.handshakes != [])
    assert time.monotonic() - started < HANDSHAKE_SECONDS + 2


def test_many_at_once(listen: Listen, site: Site) -> None:
    server = listen(site.node, site.ca, RULES)
    context = client_context(site.ca, site.ct.certificate, site.ct.key)
    answers: list[int | None] = []
    threads = [
        threading.Thread(target=lambda: answers.append(echo(peer_of(server, context))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [0] * 8


needs_dcmtk = pytest.mark.skipif(
    shutil.which("storescu") is None, reason="DCMTK is not installed: apt-get install dcmtk"
)


def storescu(server: Guarded, pair: Pair, ca: str, title: str, file: Path, *more: str) -> str:
    command = ["storescu", "+tls", pair.key, pair.certificate, "+cf", ca, *more]
    command += ["-aet", title, "-aec", "WETREAD", "127.0.0.1", str(server.port), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout + done.stderr


@needs_dcmtk
def test_dcmtk_sends_over_tls(listen: Listen, site: Site, tmp_path: Path) -> None:
    dataset = image()
    dataset.SOPClassUID = CTImageStorage
    file = tmp_path / "image.dcm"
    file.write_bytes(as_file(dataset))
    for ours in (site.node, site.rsa):
        server = listen(ours, site.ca, RULES)
        for profile in ("+py", "+px"):
            assert storescu(server, site.ct, site.ca, "CT1", file, profile) == ""
        assert server.stored == 2
        said = storescu(server, site.ct, site.ca, "MR1", file)
        assert "Calling AE Title Not Recognized" in said
        assert "Association Request Failed" in storescu(server, site.stranger, site.ca, "CT1", file)
        assert "certificate verify failed" in storescu(
            server, site.ct, site.stranger_ca, "CT1", file
        )
        assert server.stored == 2


@needs_dcmtk
@pytest.mark.parametrize("certificate", ["node", "stranger"])
def test_delivery_to_dcmtk_over_tls(site: Site, tmp_path: Path, certificate: str) -> None:
    """DCMTK wants to see our certificate, and takes no stranger's."""
    port = free_port()
    ours = getattr(site, certificate)
    command = ["storescp", "+tls", site.ct.key, site.ct.certificate, "+cf", site.ca]
    with subprocess.Popen([*command, "-od", str(tmp_path), str(port)]) as process:
        try:
            wait_until(lambda: _listens(port))
            peer = Peer(
                ae_title="PACS",
                host="localhost",
                port=port,
                calling_ae_title="WETREAD",
                tls=client_context(site.ca, ours.certificate, ours.key),
            )
            if certificate == "node":
                assert echo(peer) == 0
            else:
                with pytest.raises(NoAssociation, match="TLS failed: "):
                    echo(peer)
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_certificate_for_another_purpose_stays_out(listen: Listen, site: Site) -> None:
    server = listen(site.node, site.ca, RULES)
    pair = site.authority.issue("serveronly", "DNS:ct1.clinic.example", purpose="serverAuth")
    with pytest.raises(NoAssociation):
        echo(peer_of(server, client_context(site.ca, pair.certificate, pair.key)))
    wait_until(lambda: len(server.handshakes) == 1)
    assert server.handshakes == ["the peer's certificate: unsuitable certificate purpose"]


def test_pynetdicom_sends_over_tls(listen: Listen, site: Site) -> None:
    server = listen(site.node, site.ca, RULES)
    context = ssl.create_default_context(cafile=site.ca)
    context.load_cert_chain(site.ct.certificate, site.ct.key)
    ae = AE("CT1")
    ae.add_requested_context(Verification)
    association: Association = ae.associate(
        "127.0.0.1", server.port, ae_title="WETREAD", tls_args=(context, "localhost")
    )
    assert association.send_c_echo().Status == 0
    association.release()


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)
