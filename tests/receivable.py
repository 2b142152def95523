"""Instances made of nothing but what the receiver reads, ready to be sent."""

from __future__ import annotations

import struct

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from bench.receive_sender import Prepared

STUDY = "1.2.826.0.1.3680043.8.498.2"


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
