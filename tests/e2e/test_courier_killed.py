"""kill -9 of the courier between asking for storage commitment and the report."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role, evt
from sqlalchemy import select, update

from db import migrate
from db.archive import Archive
from db.engine import Database
from db.schema import Delivery
from db.verdict import PUSH_MODEL, PUSH_MODEL_INSTANCE
from tests.delivering import Pacs, deliveries, report, wait_until
from tools.node import Node
from wetread.config import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class CommittingPacs(Pacs):
    """Stores, and does what it is told to before it answers a request to commit."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Dataset] = []
        self.before_answer: Callable[[], None] = lambda: None
        self.ae.add_supported_context(PUSH_MODEL, ExplicitVRLittleEndian)
        self.handlers.append((evt.EVT_N_ACTION, self._on_action))

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        self.before_answer()
        self.asked.append(event.action_information)
        return 0, None

    def reports(self, node: Node, asked: Dataset) -> None:
        """All that it was asked about is committed; told on an association of its own."""
        information = Dataset()
        information.TransactionUID = asked.TransactionUID
        information.ReferencedSOPSequence = asked.ReferencedSOPSequence
        association = AE("PACS").associate(
            "127.0.0.1", node.port, [build_context(PUSH_MODEL)], ae_title=node.ae_title,
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)],
        )  # fmt: skip
        status, _ = association.send_n_event_report(information, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        association.release()
        assert status.Status == 0


@pytest.fixture
def pacs() -> Iterator[CommittingPacs]:
    with CommittingPacs().running() as made:
        yield made


@pytest.fixture
def node(tmp_path: Path, pacs: CommittingPacs, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setenv("WETREAD_WORKER__PROCESSES", "0")
    destination = (
        f'[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
        f"port = {pacs.port}\ncommitment = true\n"
    )
    return Node(tmp_path / "node", extra=destination)


def test_each_result_is_committed_once_though_the_courier_was_killed(
    node: Node, pacs: CommittingPacs
) -> None:
    settings, killed = load(node.config), threading.Event()
    database, archive = Database(settings.database.url), Archive(settings.node.data_dir)
    migrate.upgrade(database)

    def kill() -> None:
        pacs.before_answer = lambda: None
        node.kill_role("deliver")
        killed.set()

    def state(job_id: int) -> str:
        return str(deliveries(database, job_id)["sr"]["state"])

    def set_asked(job_id: int) -> bool:
        row = select(Delivery.asked_at).where(Delivery.job_id == job_id)
        with database.read() as connection:
            return connection.execute(row).scalar_one() is not None

    with node:
        # It dies before it has the answer, and the PACS forgets the request, too.
        pacs.before_answer = kill
        first = report(database, archive, "1.2.4")
        assert killed.wait(20)
        assert state(first) == "sent"
        assert not set_asked(first)
        with database.write() as connection:  # two minutes later
            connection.execute(update(Delivery).values(commit_at=0.0))
        wait_until(lambda: len(pacs.asked) == 2)
        forgotten, again = pacs.asked
        pacs.reports(node, again)
        assert state(first) == "committed"
        pacs.reports(node, forgotten)
        # It dies after it has the answer; the report comes when another is at work.
        second = report(database, archive, "1.2.5")
        wait_until(lambda: set_asked(second))
        kill()
        wait_until(lambda: node.role_pids("deliver"))
        pacs.reports(node, pacs.asked[2])
        assert state(second) == "committed"
    database.close()
    assert [each.SOPInstanceUID for each in pacs.received] == ["1.2.4.7", "1.2.5.7"]
    assert len({each.TransactionUID for each in pacs.asked}) == len(pacs.asked) == 3
    assert again.ReferencedSOPSequence == forgotten.ReferencedSOPSequence
