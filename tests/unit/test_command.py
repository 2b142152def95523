"""Command sets against pynetdicom's, and against noise."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset
from pydicom.uid import CTImageStorage, generate_uid
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import encode as encode_dataset

from dimse import command
from dimse.command import MalformedCommand, StoreRequest

uids = st.from_regex(r"[1-9][0-9]{0,8}(\.[1-9][0-9]{0,8}){0,5}", fullmatch=True)


@given(
    st.dictionaries(st.integers(1, 0xFFFF), st.binary(max_size=40).filter(lambda v: not len(v) % 2))
)
def test_elements_come_back(elements: dict[int, bytes]) -> None:
    ordered = dict(sorted(elements.items()))
    parsed = command.parse(command.encode(ordered))
    assert parsed.pop(0x0000)
    assert parsed == ordered


@given(st.integers(0, 0xFFFF), uids, uids, st.integers(0, 0xFFFF), st.text(max_size=100))
def test_a_response_says_what_it_was_told(
    message_id: int, sop_class: str, instance: str, status: int, comment: str
) -> None:
    request = StoreRequest(message_id, sop_class, instance, True)
    encoded = command.store_response(request, status, comment)
    read = read_dataset(BytesIO(encoded), is_implicit_VR=True, is_little_endian=True)
    assert read.CommandField == 0x8001
    assert read.MessageIDBeingRespondedTo == message_id
    assert read.AffectedSOPClassUID == sop_class
    assert read.AffectedSOPInstanceUID == instance
    assert read.Status == status
    assert read.CommandDataSetType == 0x0101
    assert read.CommandGroupLength == len(encoded) - 12
    assert len(str(read.get("ErrorComment", ""))) <= 64
    assert ("ErrorComment" in read) == bool(comment)


def test_a_request_of_pynetdicom_is_read() -> None:
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = 7, 2
    primitive.AffectedSOPClassUID = CTImageStorage
    primitive.AffectedSOPInstanceUID = uid = generate_uid()
    primitive.DataSet = BytesIO(b"\0\0")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    encoded = encode_dataset(message.command_set, True, True)
    assert encoded is not None
    elements = command.parse(encoded)
    assert command.command_field(elements) == command.C_STORE_RQ
    assert command.store_request(elements) == StoreRequest(7, str(CTImageStorage), str(uid), True)


def test_an_echo_is_answered_with_success() -> None:
    primitive = C_ECHO()
    primitive.MessageID = 9
    message = C_ECHO_RQ()
    message.primitive_to_message(primitive)
    encoded = encode_dataset(message.command_set, True, True)
    assert encoded is not None
    answer = command.echo_response(command.parse(encoded))
    read = read_dataset(BytesIO(answer), is_implicit_VR=True, is_little_endian=True)
    assert (read.CommandField, read.MessageIDBeingRespondedTo, read.Status) == (0x8030, 9, 0)


@pytest.mark.parametrize("missing", [0x0002, 0x0110, 0x0800, 0x1000])
def test_a_request_without_a_mandatory_element_is_malformed(missing: int) -> None:
    elements = {
        0x0002: b"1.2\0",
        0x0110: b"\1\0",
        0x0800: b"\0\0",
        0x1000: b"1.2\0",
    }
    del elements[missing]
    with pytest.raises(MalformedCommand, match=f"{missing:04X}"):
        command.store_request(elements)


@pytest.mark.parametrize(
    "noise", [b"\0", b"\0\0\2\0\4\0\0\0\1\0", b"\x08\0\0\0\0\0\0\0", b"\0\0\0\1\xff\xff\xff\xff"]
)
def test_noise_is_malformed(noise: bytes) -> None:
    with pytest.raises(MalformedCommand):
        command.parse(noise)


@given(st.binary(max_size=200))
def test_any_bytes_are_elements_or_malformed(noise: bytes) -> None:
    try:
        elements = command.parse(noise)
        command.command_field(elements)
        command.store_request(elements)
    except MalformedCommand:
        return


@given(st.dictionaries(st.sampled_from([0x0002, 0x0100, 0x0110, 0x0800, 0x1000]), st.binary()))
def test_any_values_make_a_request_that_can_be_answered_or_are_malformed(
    elements: dict[int, bytes],
) -> None:
    try:
        answers = [command.echo_response(elements)]
        answers.append(command.store_response(command.store_request(elements), 0xC000, "no"))
    except MalformedCommand:
        return
    for each in answers:
        assert command.parse(each)[0x0120] == elements[0x0110]
