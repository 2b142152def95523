"""Objects that are never held in memory, however large: received, and sent again."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest
from pydicom import dcmread

from bench.full_table import look
from bench.receive_peers import Receiver
from tests.largeobject import LargeObject
from tests.rawpeer import RawPeer
from tests.receivable import ReceivingNode

_GIBIBYTE = 2**30
_MOST_MEGABYTES = 200  # that a receiver's process may have in memory


def test_a_large_object_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    """300 MB, with sender and receiver in this process."""
    node, large = ReceivingNode(tmp_path), LargeObject(frames=100)
    with node.receiver, node.peer(large.prepared) as peer:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert large.store(peer) == 0
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peer.release()
    node.database.close()
    (file,) = (tmp_path / "data" / "archive").rglob("*.dcm")
    assert large.is_all_of(file)
    assert after - before < 30 * 1024  # KiB


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_object_of_over_two_gigabytes(tmp_path: Path) -> None:
    """More bytes than 31 bits count; once as something new, and once as what is known."""
    if shutil.disk_usage(tmp_path).free < 7 * _GIBIBYTE:
        pytest.skip("less than 7 GiB are free, of which this needs 4 for some seconds")
    large = LargeObject(frames=683)
    assert large.pixel_bytes > 2 * _GIBIBYTE
    folder = tmp_path / "node"
    with Receiver("wetread", folder, nodelay=True, associations=1) as receiver:
        with RawPeer(receiver.port, receiver.ae_title, [large.prepared]) as peer:
            peer.socket.settimeout(120)  # the disk may take that long for it
            assert large.store(peer) == 0
            (file,) = (folder / "wetread-data" / "archive").rglob("*.dcm")
            inode = file.stat().st_ino
            assert large.is_all_of(file)
            assert large.store(peer) == 0
            peer.release()
        assert receiver.cost().peak_megabytes < _MOST_MEGABYTES
        assert file.stat().st_ino == inode
    read = dcmread(file, defer_size="1 MB")
    assert read.NumberOfFrames == 683
    assert file.stat().st_size > large.pixel_bytes
    data = folder / "wetread-data"
    seen = look(f"sqlite:///{data / 'wetread.db'}", data, ["status"])
    assert seen.peak_megabytes < _MOST_MEGABYTES
    shutil.rmtree(data)
