"""Orthanc as a destination that is to commit: an implementation that is not pynetdicom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.archive import Archive
from db.engine import Database
from delivery.asking import Asker, AskerSettings
from delivery.cstore import CStoreDestination
from scp.commitment import CommitmentSettings, commitment_handlers
from scp.server import Receiver
from scp.settings import ReceiverSettings
from tests.delivering import RETRY, at_work, courier_to, peer, report, states, wait_until
from tools.orthanc import Orthanc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "data")


@pytest.fixture
def reported(database: Database, archive: Archive, orthanc: Orthanc) -> Iterator[None]:
    """A receiver, which Orthanc knows."""
    settings = CommitmentSettings(owner="receiver", known_titles=frozenset(), retry=RETRY)
    handlers, contexts = commitment_handlers(database, archive, settings)
    receiver = Receiver(
        ReceiverSettings(ae_title="WETREAD", host="127.0.0.1", port=0),
        database, archive, contexts=contexts, handlers=handlers,
    )  # fmt: skip
    with receiver:
        orthanc.call("PUT", "/modalities/wetread", ["WETREAD", "127.0.0.1", receiver.port])
        yield


def destination(orthanc: Orthanc, archive: Archive) -> CStoreDestination:
    return CStoreDestination("pacs", peer(orthanc.port, orthanc.ae_title), archive, commitment=True)


def asker(database: Database, orthanc: Orthanc) -> Asker:
    settings = AskerSettings(patience_seconds=60, retry=RETRY)
    return Asker(settings, database, {"pacs": peer(orthanc.port, orthanc.ae_title)})


@pytest.mark.usefixtures("reported")
def test_orthanc_commits_and_what_it_lost_is_sent_again(
    database: Database, archive: Archive, orthanc: Orthanc
) -> None:
    kept, lost = (report(database, archive, study) for study in ("1.2.4", "1.2.5"))
    courier = courier_to(database, destination(orthanc, archive))
    with at_work(courier):
        wait_until(lambda: states(database, kept) | states(database, lost) == {"sent"})
    (study,) = orthanc.call("POST", "/tools/lookup", "1.2.5")
    orthanc.call("DELETE", f"/studies/{study['ID']}")
    stop = threading.Event()
    asking = threading.Thread(target=asker(database, orthanc).run, args=(stop,))
    asking.start()
    try:
        wait_until(lambda: states(database, lost) == {"pending"})
        assert states(database, kept) == {"committed"}
        with at_work(courier):
            wait_until(lambda: states(database, lost) == {"committed"})
    finally:
        stop.set()
        asking.join()
