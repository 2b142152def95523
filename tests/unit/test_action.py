"""What is read from an N-ACTION: a request, or a refusal, whatever the bytes."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.dsutils import decode, encode

from db.commitment import Asked
from db.verdict import PUSH_MODEL, PUSH_MODEL_INSTANCE
from scp.action import ActionRefused, ActionStatus, read_action, response


class Event:
    """As much of pynetdicom's event as is read."""

    def __init__(self, information: bytes) -> None:
        self.request = SimpleNamespace(
            RequestedSOPClassUID=PUSH_MODEL,
            RequestedSOPInstanceUID=PUSH_MODEL_INSTANCE,
            ActionTypeID=1,
        )
        self.assoc = SimpleNamespace(requestor=SimpleNamespace(ae_title="CONSOLE         "))
        self._information = information

    @property
    def action_information(self) -> Dataset:
        return decode(BytesIO(self._information), False, True)


def read(information: bytes) -> Asked:
    return read_action(cast(evt.Event, Event(information)))


def request(*instances: tuple[str, str]) -> bytes:
    information = Dataset()
    information.TransactionUID = "2.25.7"
    information.ReferencedSOPSequence = []
    for sop_class, instance in instances:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = instance
        information.ReferencedSOPSequence.append(item)
    encoded: Any = encode(information, False, True)
    return bytes(encoded)


def test_a_request_is_read_in_its_order_and_each_instance_once() -> None:
    asked = read(request(("1.2", "1.2.9"), ("1.2", "1.2.8"), ("1.2", "1.2.9"), ("1.3", "1.2.9")))
    assert (asked.calling_ae, asked.transaction_uid) == ("CONSOLE", "2.25.7")
    assert [(each.sop_class_uid, each.sop_instance_uid) for each in asked.references] == [
        ("1.2", "1.2.9"),
        ("1.2", "1.2.8"),
        ("1.3", "1.2.9"),
    ]


@given(st.binary(max_size=200))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_any_bytes_are_refused_or_read(content: bytes) -> None:
    try:
        asked = read(content)
    except ActionRefused:
        return
    assert asked.references


@given(st.binary(max_size=12), st.integers(0, 80))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_request_is_refused_or_names_uids(noise: bytes, where: int) -> None:
    content = bytearray(request(("1.2", "1.2.9"), ("1.2", "1.2.8")))
    content[where : where + len(noise)] = noise
    try:
        asked = read(bytes(content))
    except ActionRefused:
        return
    for uid in (asked.transaction_uid, *(each.sop_instance_uid for each in asked.references)):
        assert 0 < len(uid) <= 64
        assert set(uid) <= set("0123456789.")


def test_comments_fit_their_element() -> None:
    assert len(response(ActionStatus.INVALID_ARGUMENT, "x" * 100).ErrorComment) == 64
    assert "ErrorComment" not in response(ActionStatus.SUCCESS)
