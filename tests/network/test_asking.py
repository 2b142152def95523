"""Storage commitment of what was sent: a PACS reports on either association, badly, or never."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from sqlalchemy import update

from db import outbox
from db.archive import Archive
from db.engine import Database
from db.schema import Delivery
from db.verdict import PUSH_MODEL, PUSH_MODEL_INSTANCE
from delivery.asking import Asker, AskerSettings
from delivery.associate import associate
from scp.commitment import CommitmentSettings, commitment_handlers
from scp.server import Receiver
from scp.settings import ReceiverSettings
from tests.delivering import RETRY, deliveries, peer, report, wait_until
from tools.ports import free_port

Reply = Callable[[Association, Dataset], None]


@dataclass
class CommittingPacs:
    """Answers requests to commit with a status, and then does something about them.

    Attributes
    ----------
    status
        Of the N-ACTION response.
    offers
        Whether it accepts the Push Model at all.
    then
        What it does after the answer, in a thread of its own.
    """

    status: int = 0
    offers: bool = True
    then: Reply = lambda *_: None
    asked: list[Dataset] = field(default_factory=list)
    port: int = field(default_factory=free_port)

    @contextmanager
    def running(self) -> Iterator[None]:
        ae = AE("PACS")
        ae.add_supported_context("1.2.840.10008.1.1")
        if self.offers:
            ae.add_supported_context(PUSH_MODEL, ExplicitVRLittleEndian)
        handlers: list[evt.EventHandlerType] = [(evt.EVT_N_ACTION, self._on_action)]
        ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            ae.shutdown()

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        information = event.action_information
        self.asked.append(information)
        threading.Timer(0.05, self.then, (event.assoc, information)).start()
        return self.status, None


def answer(asked: Dataset, *failed: str) -> tuple[Dataset, int]:
    """Event information: all are committed but those that failed; and the event type."""
    information = Dataset()
    information.TransactionUID = asked.TransactionUID
    items = list(asked.ReferencedSOPSequence)
    good = [each for each in items if each.ReferencedSOPInstanceUID not in failed]
    bad = [each for each in items if each.ReferencedSOPInstanceUID in failed]
    for each in bad:
        each.FailureReason = 0x0110
    if good:
        information.ReferencedSOPSequence = good
    if bad:
        information.FailedSOPSequence = bad
    return information, 2 if bad else 1


def request(association: Association) -> None:
    """Ask to commit to something."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.3", "1.2.3.4"
    asked = Dataset()
    asked.TransactionUID, asked.ReferencedSOPSequence = "1.2.3.5", [item]
    association.send_n_action(asked, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)


def on_the_same(*failed: str) -> Reply:
    """Report on the association that asked."""

    def reply(association: Association, asked: Dataset) -> None:
        information, kind = answer(asked, *failed)
        association.send_n_event_report(information, kind, PUSH_MODEL, PUSH_MODEL_INSTANCE)

    return reply


def on_a_new_one(port: int, statuses: list[int], *, with_role: bool) -> Reply:
    """Report on a new association, as the SCP that we are to it, or without saying so."""

    def reply(_association: Association, asked: Dataset) -> None:
        information, kind = answer(asked)
        association = AE("PACS").associate(
            "127.0.0.1", port, [build_context(PUSH_MODEL)], ae_title="WETREAD",
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)] if with_role else None,
        )  # fmt: skip
        context = association.accepted_contexts[0]
        context._as_scp = True  # who does not negotiate roles reports nevertheless
        status, _ = association.send_n_event_report(
            information, kind, PUSH_MODEL, PUSH_MODEL_INSTANCE
        )
        association.release()
        statuses.append(int(status.Status))

    return reply


@pytest.fixture
def job_id(database: Database, tmp_path: Path) -> int:
    """A report that was sent."""
    made = report(database, Archive(tmp_path / "data"), "1.2.4")
    send(database)
    return made


def send(database: Database) -> None:
    with database.write() as connection:
        (parcel,) = outbox.claim(connection, "pacs", "courier", 30, 10, RETRY)
        outbox.sent(connection, parcel, parcel.alternatives[0].result_id, commit=True)
        connection.execute(update(Delivery).values(commit_at=0.0))


def ask(database: Database, pacs: CommittingPacs, patience: float = 3600.0) -> bool:
    settings = AskerSettings(patience_seconds=patience, retry=RETRY)
    asker = Asker(settings, database, {"pacs": peer(pacs.port)})
    return asker.ask_once("pacs", threading.Event())


def state(database: Database, job_id: int) -> str:
    return str(deliveries(database, job_id)["sr"]["state"])


def test_the_report_comes_on_the_association_that_asked(database: Database, job_id: int) -> None:
    pacs = CommittingPacs(then=on_the_same())
    with pacs.running():
        assert ask(database, pacs)
    (asked,) = pacs.asked
    assert [each.ReferencedSOPInstanceUID for each in asked.ReferencedSOPSequence] == ["1.2.4.7"]
    assert state(database, job_id) == "committed"
    assert not ask(database, pacs)


@pytest.mark.parametrize("with_role", [True, False])
def test_the_report_comes_on_a_new_association_to_any_receiver(
    database: Database,
    job_id: int,
    tmp_path: Path,
    with_role: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("delivery.asking.REPORT_SECONDS", 0.0)
    archive, statuses = Archive(tmp_path / "data"), list[int]()
    settings = CommitmentSettings(owner="receiver", known_titles=frozenset(), retry=RETRY)
    handlers, contexts = commitment_handlers(database, archive, settings)
    receiver = Receiver(
        ReceiverSettings(ae_title="WETREAD", host="127.0.0.1", port=0),
        database, archive, contexts=contexts, handlers=handlers,
    )  # fmt: skip
    with receiver:
        pacs = CommittingPacs(then=on_a_new_one(receiver.port, statuses, with_role=with_role))
        with pacs.running():
            assert ask(database, pacs)
            wait_until(lambda: statuses)
    assert statuses == [0]
    assert state(database, job_id) == "committed"


def test_what_is_not_committed_is_sent_again_and_then_dead(database: Database, job_id: int) -> None:
    pacs = CommittingPacs(then=on_the_same("1.2.4.7"))
    with pacs.running():
        ask(database, pacs)
        ask(database, pacs)
        assert state(database, job_id) == "pending"
        send(database)
        ask(database, pacs)
        ask(database, pacs)
    assert state(database, job_id) == "dead"
    assert "failure reason 0110" in deliveries(database, job_id)["sr"]["reason"]
    first, second = (each.TransactionUID for each in pacs.asked)
    assert first != second


def test_a_pacs_that_says_nothing_gets_it_again(
    database: Database, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.asking.REPORT_SECONDS", 0.0)
    pacs = CommittingPacs()
    with pacs.running():
        ask(database, pacs, patience=0.0)
        ask(database, pacs)
    assert state(database, job_id) == "pending"
    assert "no report" in deliveries(database, job_id)["sr"]["reason"]


@pytest.mark.parametrize(
    ("pacs", "reason"),
    [
        (CommittingPacs(status=0x0213), "status 0213"),
        (CommittingPacs(offers=False), "does not offer storage commitment"),
    ],
)
def test_a_pacs_that_will_not_be_asked_keeps_what_it_got(
    database: Database, job_id: int, pacs: CommittingPacs, reason: str
) -> None:
    with pacs.running():
        ask(database, pacs)
        assert not ask(database, pacs)
    shown = deliveries(database, job_id)["sr"]
    assert shown["state"] == "sent"
    assert shown["commitment"] == "to be asked"
    assert reason in shown["reason"]


def test_a_pacs_that_is_away_is_asked_later(database: Database, job_id: int) -> None:
    ask(database, CommittingPacs())
    assert "no connection" in deliveries(database, job_id)["sr"]["reason"]
    assert state(database, job_id) == "sent"


def test_a_report_is_answered_before_the_release() -> None:
    statuses: list[int] = []
    served, answered = threading.Event(), threading.Event()

    def slowly(_event: evt.Event) -> tuple[int, None]:
        served.set()
        answered.wait(0.5)  # by then the release would have been sent
        return 0, None

    def reply(association: Association, asked: Dataset) -> None:
        information, kind = answer(asked)
        status, _ = association.send_n_event_report(
            information, kind, PUSH_MODEL, PUSH_MODEL_INSTANCE
        )
        statuses.append(int(status.Status))

    pacs = CommittingPacs(then=reply)
    handlers: list[evt.EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, slowly)]
    contexts = [(PUSH_MODEL, [ExplicitVRLittleEndian])]
    with pacs.running():
        with associate(peer(pacs.port), contexts, handlers=handlers) as association:
            request(association)
            assert served.wait(10)
        wait_until(lambda: statuses == [0])


def test_a_report_does_not_undo_the_pause_of_who_is_about_to_release() -> None:
    served, paused = threading.Event(), threading.Event()
    serving: list[threading.Thread] = []

    def on_report(_event: evt.Event) -> tuple[int, None]:
        serving.append(threading.current_thread())
        served.set()
        assert paused.wait(10)
        return 0, None

    pacs = CommittingPacs(then=on_the_same())
    handlers: list[evt.EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, on_report)]
    contexts = [(PUSH_MODEL, [ExplicitVRLittleEndian])]
    with pacs.running(), associate(peer(pacs.port), contexts, handlers=handlers) as association:
        request(association)
        assert served.wait(10)
        association._reactor_checkpoint.clear()
        wait_until(lambda: bool(association._reactor_checkpoint._cond._waiters))  # type: ignore[attr-defined]
        paused.set()
        serving[0].join()
        assert association._is_paused
        association._reactor_checkpoint.set()
