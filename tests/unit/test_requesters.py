"""Where reports of storage commitment go by the settings."""

from __future__ import annotations

from wetread.config import Destination, PeerSection, Settings
from wetread.requesters import known_titles, requesters


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
