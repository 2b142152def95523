"""A whole node is asked whether it keeps images: before it is killed, and after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association

from db.verdict import PUSH_MODEL, PUSH_MODEL_INSTANCE
from tools.node import Node
from tools.ports import free_port
from wetread.phantom import write_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Modality:
    """A pynetdicom SCU that stores, asks for commitment, and takes reports."""

    def __init__(self) -> None:
        self.port = free_port()
        self.reports: list[tuple[int, Dataset]] = []

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        assert event.event_type is not None
        self.reports.append((event.event_type, event.event_information))
        return 0, None

    @contextmanager
    def listening(self) -> Iterator[None]:
        ae = AE("MODALITY")
        ae.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
        handlers: list[evt.EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, self.on_report)]
        ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            ae.shutdown()

    def call(self, node: Node, *datasets: Dataset) -> Association:
        ae = AE("MODALITY")
        ae.add_requested_context(PUSH_MODEL)
        for sop_class in {each.SOPClassUID for each in datasets}:
            ae.add_requested_context(sop_class, ExplicitVRLittleEndian)
        association = ae.associate(
            "127.0.0.1", node.port, ae_title=node.ae_title,
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.on_report)],
        )  # fmt: skip
        assert association.is_established
        return association

    def wait_for_reports(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.reports) < count:
            assert time.monotonic() < deadline, "no report came"
            time.sleep(0.05)


def ask(association: Association, transaction: str, *datasets: Dataset) -> None:
    information = Dataset()
    information.TransactionUID = transaction
    information.ReferencedSOPSequence = []
    for each in datasets:
        item = Dataset()
        item.ReferencedSOPClassUID = each.SOPClassUID
        item.ReferencedSOPInstanceUID = each.SOPInstanceUID
        information.ReferencedSOPSequence.append(item)
    status, _ = association.send_n_action(information, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    assert status.Status == 0


def test_what_was_stored_is_committed_on_either_association_and_after_a_kill(
    tmp_path: Path,
) -> None:
    first, second, never = map(dcmread, write_study(tmp_path / "study", seed=3, rows=64, images=3))
    modality = Modality()
    extra = (
        f'[[peer]]\nname = "xr"\nae_title = "MODALITY"\nhost = "127.0.0.1"\n'
        f"port = {modality.port}\n[delivery]\nlease_seconds = 10\nretry_seconds = 0.2\n"
    )
    node = Node(tmp_path / "node", extra=extra)
    with node:
        # Stored and asked on one association, which goes on storing.
        association = modality.call(node, first)
        assert association.send_c_store(first).Status == 0
        ask(association, "2.25.1", first)
        assert association.send_c_store(second).Status == 0
        modality.wait_for_reports(1)
        association.release()
        # Asked on an association that is released at once; one image was never stored.
        with modality.listening():
            association = modality.call(node)
            ask(association, "2.25.2", second, never)
            association.release()
            modality.wait_for_reports(2)
        # Nobody listens now: the report waits, and outlives the processes.
        association = modality.call(node)
        ask(association, "2.25.3", first, second)
        association.abort()
        node.kill_role("receive")
        node.kill_role("deliver")
        with modality.listening():
            modality.wait_for_reports(3)
            shown = wait_for_state(node, "reported", 3)
    assert [event_type for event_type, _ in modality.reports] == [1, 2, 1]
    assert [each.TransactionUID for _, each in modality.reports] == ["2.25.1", "2.25.2", "2.25.3"]
    (missing,) = modality.reports[1][1].FailedSOPSequence
    assert (missing.ReferencedSOPInstanceUID, missing.FailureReason) == (
        never.SOPInstanceUID,
        0x0112,
    )
    assert [(each["instances"], each["failed"]) for each in shown] == [(2, 0), (2, 1), (1, 0)]


def wait_for_state(node: Node, state: str, count: int) -> list[dict[str, object]]:
    """Rows as the command line shows them, newest first, once so many are in a state."""
    deadline = time.monotonic() + 30
    while True:
        rows: list[dict[str, object]] = node.json("commitments", "list", "--state", state)
        if len(rows) == count:
            return rows
        assert time.monotonic() < deadline, node.json("commitments", "list")
        time.sleep(0.2)
