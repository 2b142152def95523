"""PDUs laid out around a file, and file meta information as others write it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from delivery.sender import _Layout
from dimse.part10 import FileMeta, file_header, read_meta
from dimse.pdata import Fragment, PDataReader, command_pdus

UIDS = {"sop_class_uid": "1.2.3", "sop_instance_uid": "1.2.34", "transfer_syntax": "1.2.840"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """1 MB that repeats nowhere within the size of a PDU."""
    path = tmp_path_factory.mktemp("layout") / "file"
    path.write_bytes(b"".join(number.to_bytes(4, "big") for number in range(250_000)))
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@given(
    maximum=st.one_of(st.just(0), st.integers(8, 300), st.integers(8, 200_000)),
    at=st.integers(0, 100_000),
    size=st.one_of(st.integers(0, 400), st.integers(0, 900_000)),
    request=st.binary(min_size=1, max_size=300),
)
@settings(deadline=None, max_examples=150)
def test_a_reader_gets_back_what_was_laid_out(
    file: int, maximum: int, at: int, size: int, request: bytes
) -> None:
    layout, reader = _Layout(maximum), PDataReader(maximum)
    front = command_pdus(3, request, layout.maximum_length)
    fragments: list[tuple[bool, bool, bytes]] = []
    place, left = at, size
    while True:
        pdus, taken = layout.filled(file, place, left, 3, front)
        for event in reader.feed(pdus):
            assert isinstance(event, Fragment)
            assert event.context_id == 3
            fragments.append((event.command, event.last, bytes(event.data)))
        place, left, front = place + taken, left - taken, b""
        if not left:
            break
    assert reader.between_pdus
    assert b"".join(data for command, _, data in fragments if command) == request
    data = [(last, data) for command, last, data in fragments if not command]
    assert b"".join(piece for _, piece in data) == os.pread(file, size, at)
    assert [last for last, _ in data] == [False] * (len(data) - 1) + [True]


def test_a_file_that_ends_too_soon_is_noticed(file: int) -> None:
    with pytest.raises(OSError, match="became shorter"):
        _Layout(16384).filled(file, 999_000, 2000, 1, b"")


def test_what_pydicom_writes_is_read() -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.PrivateInformationCreatorUID = UID("1.2.3.4")
    meta.PrivateInformation = bytes(300)
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, "1.2.3.45"
    made.PatientID = "A"
    buffer = BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    found = read_meta(buffer.getvalue())
    assert found[:3] == (CTImageStorage, "1.2.3.45", ExplicitVRLittleEndian)
    assert buffer.getvalue()[found.data_set_at :][:4] == b"\x08\x00\x16\x00"


def test_a_wrong_group_length_does_no_harm() -> None:
    start = bytearray(file_header(**UIDS, calling_ae="A"))
    right = read_meta(bytes(start) + b"\x08\x00")
    assert right == FileMeta("1.2.3", "1.2.34", "1.2.840", len(start))
    start[140:144] = b"\xff\xff\xff\x7f"
    assert read_meta(bytes(start) + b"\x08\x00") == right


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda start: start[:100], "no Part 10 file"),
        (lambda start: start[:128] + b"DICX" + start[132:], "no Part 10 file"),
        (lambda start: start[:-3], "does not end"),
        (lambda start: start, "does not end"),  # and no data set
        (lambda start: start[:132] + b"\x08\x00", "lacks a UID"),
    ],
)
def test_what_is_no_file_is_told(change: object, reason: str) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=reason):
        read_meta(change(file_header(**UIDS, calling_ae="A")))


@given(st.binary(max_size=400), st.integers(0, 300))
@settings(deadline=None)
def test_damaged_meta_information_is_refused_or_read(noise: bytes, where: int) -> None:
    content = bytearray(file_header(**UIDS, calling_ae="A") + bytes(50))
    content[where : where + len(noise)] = noise
    try:
        found = read_meta(bytes(content))
    except ValueError:
        return
    assert found.data_set_at > 132
