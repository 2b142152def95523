"""The header of a received data set: the scanner says what pydicom says, or nothing."""

from __future__ import annotations

import tracemalloc
import zlib
from io import BytesIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from dimse.part10 import START_BYTES, data_set_offset, file_header
from scp import header
from scp.header import HeaderError, read_header

LITTLE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


def dataset() -> Dataset:
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
    made.Modality, made.Manufacturer = "CT", "Somebody"
    made.PatientName = "Unheard^Of"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", "1.2.3.5"
    made.Rows = 8
    return made


def encoded(made: Dataset, syntax: UID) -> bytes:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
    write_dataset(file, made)
    return file.getvalue()


@pytest.mark.parametrize("syntax", LITTLE, ids=lambda syntax: syntax.name)
def test_the_scanner_reads_the_plain_case_alone(syntax: UID) -> None:
    values = header._scan(encoded(dataset(), syntax), syntax)
    assert values is not None
    assert values["study_uid"] == "1.2.3"
    assert values["modality"] == "CT"


@pytest.mark.parametrize("syntax", [*LITTLE, ExplicitVRBigEndian], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("undefined", [True, False])
def test_a_sequence_before_the_identifiers_is_no_obstacle(syntax: UID, undefined: bool) -> None:
    made, item = dataset(), Dataset()
    item.ReferencedSOPClassUID, item.StudyInstanceUID = "1.2.9", "1.2.9.9"
    made.ReferencedImageSequence = Sequence([item])
    made["ReferencedImageSequence"].is_undefined_length = undefined
    made.ReferencedImageSequence[0].is_undefined_length_sequence_item = undefined
    found = read_header(encoded(made, syntax), syntax)
    assert (found.study_uid, found.series_uid) == ("1.2.3", "1.2.3.5")


def test_a_header_longer_than_what_was_kept_is_read_from_the_start() -> None:
    made = dataset()
    made.ImageComments = "x"
    made.add_new(0x00091001, "OB", bytes(100_000))
    content = encoded(made, ExplicitVRLittleEndian)
    asked: list[int] = []

    def start(limit: int) -> bytes:
        asked.append(limit)
        return content[:limit]

    assert read_header(content[:16384], ExplicitVRLittleEndian, start).study_uid == "1.2.3"
    assert asked == [header.START_BYTES]


def test_a_header_that_is_deflated_is_read() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = packer.compress(encoded(dataset(), ExplicitVRLittleEndian)) + packer.flush()
    assert read_header(content, DeflatedExplicitVRLittleEndian).series_uid == "1.2.3.5"


elements = st.lists(
    st.tuples(
        st.sampled_from([0x00080020, 0x00080090, 0x00080104, 0x00091001, 0x00100020, 0x00181030]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    ),
    max_size=6,
)


@given(elements, st.sampled_from(LITTLE), st.binary(max_size=30), st.integers(0, 300))
@example(more=[], syntax=ExplicitVRLittleEndian, noise=b"\\", where=26)
@settings(deadline=None, max_examples=300)
@pytest.mark.filterwarnings("ignore")
def test_the_scanner_agrees_with_pydicom_or_stands_back(
    more: list[tuple[int, str]], syntax: UID, noise: bytes, where: int
) -> None:
    """Also where bytes are damaged: it must never read something else than pydicom does."""
    made = dataset()
    for tag, text in more:
        made.add_new(tag, "LO", text.replace("\\", ""))
    content = bytearray(encoded(made, syntax))
    content[where : where + len(noise)] = noise
    scanned = header._scan(bytes(content), syntax)
    if scanned is None:
        return
    try:
        parsed = header._parse(bytes(content), syntax)
    except HeaderError:
        return  # the scanner looks at fewer elements, and may be content with them
    for name in ("sop_class_uid", "sop_instance_uid", "study_uid", "series_uid"):
        assert scanned.get(name, "") == parsed.get(name, "").strip(" \0")


@given(st.sampled_from(["CONSOLE", "A", "SIXTEEN_LETTERS_"]))
def test_the_file_header_reads_back(calling_ae: str) -> None:
    uid = generate_uid()
    start = file_header(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=uid,
        transfer_syntax=ExplicitVRLittleEndian,
        calling_ae=calling_ae,
    )
    content = start + encoded(dataset(), ExplicitVRLittleEndian)
    read = dcmread(BytesIO(content))
    assert read.file_meta.MediaStorageSOPInstanceUID == uid
    assert read.file_meta.SourceApplicationEntityTitle == calling_ae
    assert read.StudyInstanceUID == "1.2.3"
    assert data_set_offset(content[:START_BYTES]) == len(start)


SYNTAXES = [*LITTLE, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@given(st.sampled_from(SYNTAXES), st.sampled_from(SYNTAXES), st.binary(max_size=60), st.data())
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_any_bytes_are_a_header_or_refused(
    syntax: UID, written: UID, noise: bytes, data: st.DataObject
) -> None:
    """Damaged, or written in another transfer syntax than was agreed."""
    content = bytearray(encoded(dataset(), written))
    where = data.draw(st.integers(0, len(content)))
    content[where : where + len(noise)] = noise
    sent = deflated(bytes(content)) if written.is_deflated else bytes(content)
    try:
        found = read_header(sent, syntax)
    except HeaderError:
        return
    for uid in (found.sop_class_uid, found.sop_instance_uid, found.study_uid, found.series_uid):
        assert 0 < len(uid) <= 64
        assert set(uid) <= set("0123456789.")
    assert len(found.modality) <= 16


@pytest.mark.parametrize("depth", [100, 100_000])
@pytest.mark.parametrize("syntax", LITTLE, ids=lambda syntax: syntax.name)
def test_a_sequence_within_a_sequence_and_so_on_is_refused(syntax: UID, depth: int) -> None:
    sequence = b"\x08\x00\x40\x11" + (b"" if syntax.is_implicit_VR else b"SQ\0\0") + b"\xff" * 4
    with pytest.raises(HeaderError):
        read_header((sequence + b"\xfe\xff\x00\xe0" + b"\xff" * 4) * depth, syntax)


def test_a_deflated_bomb_is_not_unpacked() -> None:
    """Of 64 MB of zeros."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    megabyte = bytes(1024 * 1024)
    bomb = b"".join(packer.compress(megabyte) for _ in range(64)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(HeaderError):
            read_header(bomb, DeflatedExplicitVRLittleEndian)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * header.START_BYTES


@given(st.binary(max_size=2 * START_BYTES), st.booleans())
def test_any_bytes_are_a_file_or_not(noise: bytes, marked: bool) -> None:
    start = noise[:128].ljust(128, b"\0") + b"DICM" + noise[128:] if marked else noise
    try:
        assert data_set_offset(start) >= START_BYTES
    except ValueError:
        assert len(start) < START_BYTES or not marked


def test_what_is_no_file_has_no_data_set() -> None:
    with pytest.raises(ValueError, match="Part 10"):
        data_set_offset(bytes(START_BYTES))
