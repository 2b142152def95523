"""A disk and a database that refuse: A700, nothing kept, and all is well when they are back."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scp.status import StoreStatus
from tests.postgres import PostgresServer
from tests.receivable import ReceivingNode, prepared

REFUSED = StoreStatus.OUT_OF_RESOURCES


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ReceivingNode]:
    """A receiver that listens."""
    made = ReceivingNode(tmp_path)
    with made.receiver:
        yield made
    made.database.close()


def kept(node: ReceivingNode) -> list[Path]:
    return [each for each in (node.folder / "data").rglob("*") if each.is_file()]


def test_a_disk_that_is_full_in_the_middle(
    node: ReceivingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the object is read, and the association goes on."""
    whole, left = os.writev, [3]

    def full(descriptor: int, pieces: list[bytes]) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return whole(descriptor, pieces)

    sent = prepared(size=3_000_000)
    with node.peer(sent) as peer:
        with monkeypatch.context() as patch:
            patch.setattr("scp.spool.os.writev", full)
            peer.send(peer.request(sent))
            assert peer.comment() == "cannot store: No space left on device"
            assert kept(node) == []
        assert peer.store(sent) == 0
        peer.release()


def test_a_disk_that_takes_half_of_a_write(
    node: ReceivingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.writev
    monkeypatch.setattr(
        "scp.spool.os.writev",
        lambda descriptor, pieces: whole(descriptor, [bytes(pieces[0])[: len(pieces[0]) // 2]]),
    )
    sent = prepared(size=300_000)
    with node.peer(sent) as peer:
        assert peer.store(sent) == 0
        peer.release()
    assert node.stored()[sent.sop_instance_uid].endswith(bytes(sent.data_set))


def test_a_disk_that_cannot_sync(node: ReceivingNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    sent = prepared()
    with node.peer(sent) as peer:
        with monkeypatch.context() as patch:
            patch.setattr("scp.spool.os.fsync", broken)
            assert peer.store(sent) == REFUSED
        assert kept(node) == []
        assert peer.store(sent) == 0
        peer.release()


def test_many_associations_on_postgresql(postgres: PostgresServer, tmp_path: Path) -> None:
    node = ReceivingNode(tmp_path, postgres.new_database())
    answers: list[int] = []

    def console(number: int) -> None:
        mine = [prepared(100 * number + each, size=20_000) for each in range(15)]
        with node.peer(*mine) as peer:
            answers.extend(peer.store(each) for each in mine)
            peer.release()

    with node.receiver:
        threads = [threading.Thread(target=console, args=(number,)) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [0] * 120
    assert len(node.stored()) == 120
    node.database.close()


def test_a_database_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    if not PostgresServer.installed():
        pytest.skip("no PostgreSQL server binaries: apt-get install postgresql")
    with PostgresServer() as server:
        node = ReceivingNode(tmp_path, server.new_database())
        with node.receiver, node.peer() as peer:
            assert peer.store(prepared(1)) == 0
            server.stop("immediate")
            assert peer.store(prepared(2)) == REFUSED
            assert peer.store(prepared(1)) == REFUSED  # nobody can say whether it is the same
            server.start()
            assert [peer.store(prepared(number)) for number in (1, 2)] == [0, 0]
            peer.release()
        assert len(node.stored()) == 2
        node.database.close()
