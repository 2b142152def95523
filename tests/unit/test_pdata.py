"""P-DATA-TF PDUs however they are cut."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse.pdata import HEADER_BYTES, Fragment, MalformedPDU, OtherPDU, PDataReader, command_pdus

PDV = tuple[int, bool, bool, bytes]  # context, command, last, data
pdvs = st.tuples(
    st.integers(0, 127).map(lambda number: 2 * number + 1),
    st.booleans(),
    st.booleans(),
    st.binary(max_size=60),
)
pdus = st.lists(st.lists(pdvs, min_size=1, max_size=4), max_size=6)
cuts = st.lists(st.integers(0, 2000), max_size=12)
RELEASE = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"


def encoded(messages: list[list[PDV]]) -> bytes:
    stream = b""
    for pdu in messages:
        body = b"".join(
            struct.pack(">IBB", len(data) + 2, context, command | last << 1) + data
            for context, command, last, data in pdu
        )
        stream += struct.pack(">BxI", 4, len(body)) + body
    return stream


def pieces(stream: bytes, places: list[int]) -> list[memoryview]:
    edges = [0, *sorted(min(each, len(stream)) for each in places), len(stream)]
    return [memoryview(stream[start:end]) for start, end in pairwise(edges)]


def joined(fragments: list[Fragment]) -> list[PDV]:
    """What fragments that were not cut say."""
    return [(each.context_id, each.command, each.last, bytes(each.data)) for each in fragments]


@given(pdus, cuts)
def test_any_cut_gives_the_same_bytes(messages: list[list[PDV]], places: list[int]) -> None:
    reader = PDataReader()
    events = [each for piece in pieces(encoded(messages), places) for each in reader.feed(piece)]
    sent = [pdv for pdu in messages for pdv in pdu]
    at = 0
    for context, command, last, data in sent:
        got = b""
        while True:
            event = events[at]
            at += 1
            assert isinstance(event, Fragment)
            assert (event.context_id, event.command) == (context, command)
            got += bytes(event.data)
            if len(got) == len(data):
                assert event.last == last
                break
            assert not event.last
        assert got == data
    assert at == len(events)
    assert reader.between_pdus


@given(pdus, cuts)
def test_another_pdu_is_given_back_whole(messages: list[list[PDV]], places: list[int]) -> None:
    stream = encoded(messages) + RELEASE
    reader, left = PDataReader(), b""
    other = False
    for piece in pieces(stream, places):
        if other:
            left += bytes(piece)
            continue
        for event in reader.feed(piece):
            if isinstance(event, OtherPDU):
                other = True
                assert event.kind == 5
        if other:
            left = reader.rest()
    assert left == RELEASE


@given(pdus.filter(bool), cuts, st.data())
def test_what_is_given_back_anywhere_reads_on(
    messages: list[list[PDV]], places: list[int], data: st.DataObject
) -> None:
    """Stop after any whole PDV; a new reader sees the rest as the old one would have."""
    stream = encoded(messages)
    whole = joined([e for e in PDataReader().feed(memoryview(stream)) if isinstance(e, Fragment)])
    stop = data.draw(st.integers(1, len(whole)))
    reader = PDataReader()
    handed = b""
    for seen, event in enumerate(reader.feed(memoryview(stream)), start=1):
        if seen == stop:
            assert isinstance(event, Fragment)
            handed = reader.rest()
            break
    again = PDataReader()
    events = [each for piece in pieces(handed, places) for each in again.feed(piece)]
    assert b"".join(bytes(e.data) for e in events if isinstance(e, Fragment)) == b"".join(
        pdv[3] for pdv in whole[stop:]
    )
    assert again.between_pdus


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack(">BxI", 4, 5),  # no room for a PDV
        struct.pack(">BxIIBB", 4, 6, 1, 1, 0),  # a PDV shorter than its own header
        struct.pack(">BxIIBB", 4, 6, 3, 1, 0),  # longer than its PDU
        struct.pack(">BxIIBB", 4, 9, 2, 1, 0),  # three bytes left over
        struct.pack(">BxI", 4, 1001),  # longer than was negotiated
    ],
)
def test_lengths_that_do_not_add_up_are_malformed(stream: bytes) -> None:
    with pytest.raises(MalformedPDU):
        list(PDataReader(1000).feed(memoryview(stream)))


@given(pdus, st.binary(max_size=80), st.integers(0, 300), cuts)
def test_noise_is_malformed_or_read_and_no_more_than_was_fed(
    messages: list[list[PDV]], noise: bytes, where: int, places: list[int]
) -> None:
    stream = bytearray(encoded(messages))
    stream[where : where + len(noise)] = noise
    reader, fed, given_out = PDataReader(1000), 0, 0
    try:
        for piece in pieces(bytes(stream), places):
            fed += len(piece)
            for event in reader.feed(piece):
                if isinstance(event, OtherPDU):
                    assert given_out + len(reader.rest()) <= fed + HEADER_BYTES
                    return
                given_out += len(event.data)
                assert given_out <= fed
    except MalformedPDU:
        return


@given(st.binary(min_size=1, max_size=400), st.sampled_from([0, 7, 13, 128, 16384]))
def test_a_command_fits_the_pdus_of_the_peer(command: bytes, maximum: int) -> None:
    stream = command_pdus(5, command, maximum)
    reader = PDataReader(maximum)
    fragments = [each for each in reader.feed(memoryview(stream)) if isinstance(each, Fragment)]
    assert b"".join(bytes(each.data) for each in fragments) == command
    assert all(each.command and each.context_id == 5 for each in fragments)
    assert [each.last for each in fragments] == [False] * (len(fragments) - 1) + [True]
