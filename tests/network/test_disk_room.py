"""The receiver when the disk is nearly full: refused before a byte is written, then taken again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE
from pynetdicom.presentation import build_context

from db import migrate
from db.archive import Archive
from db.engine import Database
from scp.server import Receiver
from scp.settings import ReceiverSettings
from scp.status import StoreStatus
from tests.dicomfiles import as_file, image
from tests.rawpeer import RawPeer
from tests.receivable import prepared


class Room:
    """A disk that is full or not, as it is told."""

    free = True

    def __call__(self) -> bool:
        return self.free


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def port(tmp_path: Path, room: Room) -> Iterator[int]:
    """Where a receiver listens that asks the disk."""
    database = Database(f"sqlite:///{tmp_path / 'wetread.db'}")
    migrate.upgrade(database)
    settings = ReceiverSettings(ae_title="WETREAD", host="127.0.0.1", port=0)
    with Receiver(settings, database, Archive(tmp_path / "data"), room=room) as receiver:
        yield receiver.port
    database.close()


def test_no_room_is_a700_and_writes_nothing(port: int, room: Room, tmp_path: Path) -> None:
    dataset = dcmread(BytesIO(as_file(image())))
    ae = AE("CONSOLE")
    context = build_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", port, [context], ae_title="WETREAD")

    def store() -> Dataset:
        return association.send_c_store(dataset)

    room.free = False
    answer = store()
    assert answer.Status == StoreStatus.OUT_OF_RESOURCES
    assert answer.ErrorComment == "the disk is nearly full"
    assert list((tmp_path / "data").rglob("*.*")) == []
    room.free = True
    assert store().Status == StoreStatus.SUCCESS
    association.release()


def test_an_object_that_would_fill_the_disk_is_given_up(
    port: int, room: Room, tmp_path: Path
) -> None:
    """The disk is asked while it comes, too: an object may be larger than what is left."""
    large = prepared(size=3_000_000)
    with RawPeer(port, "WETREAD", [large]) as peer:
        stream = peer.stream(large)
        peer.socket.sendall(stream[:1_000_000])
        wait_until(lambda: list((tmp_path / "data").rglob("*.part")) != [])
        room.free = False
        peer.socket.sendall(stream[1_000_000:])
        assert peer.comment() == "the disk is nearly full"
        assert list((tmp_path / "data").rglob("*.*")) == []
        room.free = True
        assert peer.store(large) == StoreStatus.SUCCESS
        peer.release()


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
