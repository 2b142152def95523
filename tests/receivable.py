"""A receiver of our own, and instances made of nothing but what it reads, ready to be sent."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from bench.receive_sender import Prepared
from db import migrate, studies
from db.archive import Archive
from db.engine import Database
from dimse.part10 import START_BYTES, data_set_offset
from scp.server import Receiver
from scp.settings import ReceiverSettings
from tests.rawpeer import RawPeer

STUDY = "1.2.826.0.1.3680043.8.498.2"
# To be proposed, not to be sent.
COMMITMENT = Prepared(
    str(StorageCommitmentPushModel), "1.2", str(ExplicitVRLittleEndian), memoryview(b"")
)


def prepared(number: int = 1, size: int = 3000, syntax: str = ExplicitVRLittleEndian) -> Prepared:
    """An instance of ``STUDY``; ``size`` bounds its pixels, bytes."""
    explicit = syntax == ExplicitVRLittleEndian

    def element(tag: int, vr: bytes, value: bytes) -> bytes:
        value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if not explicit:
            return head + struct.pack("<I", len(value)) + value
        if vr == b"OB":
            return head + vr + struct.pack("<HI", 0, len(value)) + value
        return head + vr + struct.pack("<H", len(value)) + value

    uid = f"{STUDY}.1.{number}"
    content = (
        element(0x00080016, b"UI", CTImageStorage.encode())
        + element(0x00080018, b"UI", uid.encode())
        + element(0x00080060, b"CS", b"CT")
        + element(0x0020000D, b"UI", STUDY.encode())
        + element(0x0020000E, b"UI", f"{STUDY}.1".encode())
        + element(0x7FE00010, b"OB", (b"%d|" % number) * (size // 3))
    )
    return Prepared(str(CTImageStorage), uid, str(syntax), memoryview(content))


def data_set_of(file: bytes) -> bytes:
    """A Part 10 file without preamble and file meta information."""
    return file[data_set_offset(file[:START_BYTES]) :]


class ReceivingNode:
    """A receiver with its database and archive."""

    def __init__(self, folder: Path, url: str = "", **given: Any) -> None:
        self.folder = folder
        self.database = Database(url or f"sqlite:///{folder / 'wetread.db'}")
        migrate.upgrade(self.database)
        self.archive = Archive(folder / "data")
        self.settings = ReceiverSettings(
            ae_title="WETREAD",
            host="127.0.0.1",
            port=0,
            network_timeout_seconds=given.pop("timeout", 10.0),
            floor_bytes_per_second=given.pop("floor", 1000.0),
            maximum_associations=given.pop("associations", ReceiverSettings.maximum_associations),
        )
        self.receiver = Receiver(self.settings, self.database, self.archive, **given)

    def peer(self, *objects: Prepared) -> RawPeer:
        return RawPeer(self.receiver.port, "WETREAD", objects or (prepared(),))

    def standing(self) -> int:
        """How many associations are established."""
        server = self.receiver._server
        assert server is not None
        return sum(each.is_established for each in server.active_associations)

    def stored(self) -> dict[str, bytes]:
        """Files by SOP Instance UID: the rows, and the bytes that lie at their paths."""
        with self.database.read() as connection:
            found = studies.instances(connection, STUDY)
        return {
            each.sop_instance_uid: self.archive.full_path(each.path).read_bytes() for each in found
        }

    def spooled(self) -> list[Path]:
        return list((self.folder / "data" / "spool").glob("*"))
