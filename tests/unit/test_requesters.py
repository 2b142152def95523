"""Where reports of storage commitment go by the settings."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from pydantic import ValidationError

from audit.events import Peer
from tests.certificates import Authority
from wetread.auditing import audited_peers
from wetread.config import Settings
from wetread.origin import ConfigError
from wetread.requesters import known_titles, requesters
from wetread.sections import Destination, PeerSection, TlsSection


def settings(*peers: PeerSection) -> Settings:
    pacs = Destination(name="pacs", ae_title="PACS", host="10.0.0.1", port=4242)
    other = Destination(name="other", ae_title="PACS", host="10.0.0.9", port=4242)
    return Settings(destination=[pacs, other], peer=list(peers))


def test_a_destination_is_where_it_gets_its_results() -> None:
    found = requesters(settings())
    assert {title: str(each) for title, each in found.items()} == {"PACS": "PACS@10.0.0.1:4242"}
    assert found["PACS"].calling_ae_title == "WETREAD"


def test_a_peer_with_a_host_goes_first_and_one_without_is_nowhere() -> None:
    made = settings(
        PeerSection(name="ct1", ae_title="CT1"),
        PeerSection(name="ct2", ae_title="CT2", host="10.0.0.2"),
        PeerSection(name="pacs", ae_title="PACS", host="10.0.0.3", port=11113),
    )
    found = requesters(made)
    assert {title: str(each) for title, each in found.items()} == {
        "CT2": "CT2@10.0.0.2:104",
        "PACS": "PACS@10.0.0.3:11113",
    }
    assert known_titles(made) == set(found)


def test_a_peer_with_tls_is_called_with_the_files_of_the_receiver(tmp_path: Path) -> None:
    if not Authority.installed():
        pytest.skip("there is no openssl")
    authority = Authority(tmp_path)
    ours = authority.issue("wetread")
    tls = TlsSection(
        certificate=ours.certificate, key=ours.key, ca=authority.certificate, port=2762
    )
    secured = PeerSection(name="ct1", ae_title="CT1", host="10.0.0.2", tls=True, server_name="ct1")
    found = requesters(Settings(tls=tls, peer=[secured]))["CT1"]
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_REQUIRED
    assert found.server_name == "ct1"
    broken = tls.model_copy(update={"ca": str(tmp_path / "none.pem")})
    with pytest.raises(ConfigError, match=r"none\.pem: cannot be read"):
        requesters(Settings(tls=broken, peer=[secured]))


def test_tls_of_a_peer_needs_where_to_call() -> None:
    with pytest.raises(ValidationError, match="tls needs host"):
        PeerSection(name="ct1", ae_title="CT1", tls=True)
    with pytest.raises(ValidationError, match="server_name needs tls"):
        PeerSection(name="ct1", ae_title="CT1", host="10.0.0.2", server_name="ct1")


def test_a_dicomweb_destination_reports_nothing_and_asks_for_nothing() -> None:
    made = Settings(destination=[Destination(name="web", url="https://pacs/dicom-web")])
    assert known_titles(made) == set()
    assert requesters(made) == {}
    assert audited_peers(made) == {"web": Peer(ae_title="", address="pacs")}
