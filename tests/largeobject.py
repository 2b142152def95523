"""A multi-frame instance of any size, of which no more than a piece is ever in memory."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameTrueColorSecondaryCaptureImageStorage

from bench.receive_sender import Prepared
from tests.rawpeer import RawPeer, pdu, pdv

_SIDE = 1024  # pixels of a frame, either way
_PIECE = bytes(range(256)) * 384  # 32 of them are a frame
_PIECES_PER_FRAME = 3 * _SIDE * _SIDE // len(_PIECE)
_PIXEL_DATA = struct.Struct("<HH2s2xI")  # Explicit VR Little Endian: OB, 32 bits of length


class LargeObject:
    """An RGB instance with so many frames of 3 MiB.

    Attributes
    ----------
    prepared
        Everything up to the first pixel.
    pixel_bytes
        Length of the Pixel Data.
    """

    def __init__(self, frames: int) -> None:
        self._pieces = frames * _PIECES_PER_FRAME
        self.pixel_bytes = self._pieces * len(_PIECE)
        header = _header(frames)
        buffer = BytesIO()
        dcmwrite(buffer, header, implicit_vr=False, little_endian=True)
        start = buffer.getvalue() + _PIXEL_DATA.pack(0x7FE0, 0x0010, b"OB", self.pixel_bytes)
        self.prepared = Prepared(
            header.SOPClassUID, header.SOPInstanceUID, ExplicitVRLittleEndian, memoryview(start)
        )

    def store(self, peer: RawPeer) -> int:
        """Send it in pieces and return the status."""
        command = peer.request(self.prepared)[0]
        piece, last = pdu(pdv(1, 0, _PIECE)), pdu(pdv(1, 2, _PIECE))
        peer.socket.sendall(command)
        peer.socket.sendall(pdu(pdv(1, 0, bytes(self.prepared.data_set))))
        for _ in range(self._pieces - 1):
            peer.socket.sendall(piece)
        peer.socket.sendall(last)
        return peer.answer()

    def is_all_of(self, file: Path) -> bool:
        """Whether a Part 10 file ends with this data set, read in pieces."""
        start = bytes(self.prepared.data_set)
        with file.open("rb") as content:
            content.seek(-self.pixel_bytes - len(start), 2)
            if content.read(len(start)) != start:
                return False
            return all(content.read(len(_PIECE)) == _PIECE for _ in range(self._pieces))


def _header(frames: int) -> Dataset:
    made = Dataset()
    made.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    made.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.3.1.1"
    made.Modality = "XC"
    made.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.3"
    made.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.3.1"
    made.SamplesPerPixel, made.PhotometricInterpretation = 3, "RGB"
    made.PlanarConfiguration = 0
    made.NumberOfFrames = frames
    made.Rows = made.Columns = _SIDE
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    return made
