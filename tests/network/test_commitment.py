"""Storage commitment over real sockets: what is asked, answered, reported and to whom."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from sqlalchemy import text

from db import commitment, migrate, studies
from db.archive import Archive
from db.commitment import Asked, Reference
from db.engine import Database
from db.retry import RetryPolicy
from db.studies import StoredInstance
from db.verdict import PUSH_MODEL, PUSH_MODEL_INSTANCE
from delivery.associate import Peer
from delivery.commitment import Reporter, ReporterSettings
from delivery.tls import client_context
from scp.action import ActionStatus
from scp.commitment import CommitmentSettings, commitment_handlers
from scp.server import Receiver
from scp.settings import ReceiverSettings
from scp.tls import server_context
from tests.certificates import Authority
from tools.ports import free_port

CT = "1.2.840.10008.5.1.4.1.1.2"
RETRY = RetryPolicy(attempts=2, first_seconds=0.0, longest_seconds=0.0)
STORED, MISSING = Reference(CT, "1.2.3.1"), Reference(CT, "1.2.3.2")


@dataclass
class Console:
    """A modality: asks, and takes reports on its own associations and on those to it."""

    answer: int = 0
    takes_role: bool = True
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    new_associations: int = 0
    port: int = field(default_factory=free_port)
    accepts: ssl.SSLContext | None = None
    shown: ssl.SSLContext | None = None  # how the reporter secures its connection to it

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        assert event.event_type is not None
        if self.answer == 0:
            self.reports.append((event.event_type, event.event_information))
        return self.answer, None

    @contextmanager
    def listening(self) -> Iterator[None]:
        ae = AE("CONSOLE")
        roles = {"scu_role": True, "scp_role": True} if self.takes_role else {}
        ae.add_supported_context(PUSH_MODEL, ExplicitVRLittleEndian, **roles)
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_N_EVENT_REPORT, self.on_report),
            (evt.EVT_ACCEPTED, self._on_accepted),
        ]
        ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers, ssl_context=self.accepts
        )
        try:
            yield
        finally:
            ae.shutdown()

    def call(self, port: int) -> Association:
        ae = AE("CONSOLE")
        association = ae.associate(
            "127.0.0.1", port, [build_context(PUSH_MODEL)], ae_title="WETREAD",
            ext_neg=[build_role(PUSH_MODEL, scu_role=True)],
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.on_report)],
        )  # fmt: skip
        assert association.is_established
        return association

    def _on_accepted(self, _event: evt.Event) -> None:
        self.new_associations += 1

    @property
    def peer(self) -> Peer:
        return Peer(
            ae_title="CONSOLE",
            host="127.0.0.1",
            port=self.port,
            calling_ae_title="WETREAD",
            tls=self.shown,
        )


class Bench:
    """A receiver that commits, with its database and archive, in which one instance lies."""

    def __init__(self, folder: Path, known: Sequence[str] = ()) -> None:
        self.database = Database(f"sqlite:///{folder / 'wetread.db'}")
        migrate.upgrade(self.database)
        self.archive = Archive(folder / "data")
        self.store(STORED)
        settings = CommitmentSettings(
            owner="receiver", known_titles=frozenset(known), retry=RETRY, patience_seconds=0.15,
            answer_seconds=1.0,
        )  # fmt: skip
        handlers, contexts = commitment_handlers(self.database, self.archive, settings)
        receiver = ReceiverSettings(ae_title="WETREAD", host="127.0.0.1", port=0)
        self.receiver = Receiver(
            receiver, self.database, self.archive, contexts=contexts, handlers=handlers
        )
        self.receiver.start()
        self.port = self.receiver.port

    def close(self) -> None:
        self.receiver.stop()
        self.database.close()

    def store(self, reference: Reference) -> None:
        path = self.archive.instance_path("1.2.3", reference.sop_instance_uid)
        size = self.archive.write(path, [b"bytes"])
        instance = StoredInstance(
            sop_instance_uid=reference.sop_instance_uid, study_uid="1.2.3", series_uid="1.2.3.9",
            sop_class_uid=reference.sop_class_uid, transfer_syntax_uid=ExplicitVRLittleEndian,
            modality="CT", own=False, size=size, digest="0" * 64, path=path, calling_ae="CONSOLE",
        )  # fmt: skip
        with self.database.write() as connection:
            studies.record(connection, instance, 0)

    def rows(self) -> list[dict[str, Any]]:
        with self.database.read() as connection:
            found = connection.execute(text("select * from commitment order by id")).all()
        return [dict(each._mapping) for each in found]

    def state(self) -> str:
        (row,) = self.rows()
        return str(row["state"])

    def reporter(self, *consoles: Console) -> Reporter:
        settings = ReporterSettings(owner="courier", lease_seconds=30, retry=RETRY)
        peers = {each.peer.ae_title: each.peer for each in consoles}
        return Reporter(settings, self.database, self.archive, peers)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A node that does not know where the console is."""
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def knowing(tmp_path: Path) -> Iterator[Bench]:
    """A node that knows where the console is."""
    made = Bench(tmp_path, ["CONSOLE"])
    yield made
    made.close()


def action(*references: Reference, transaction: str | None = "2.25.7") -> Dataset:
    information = Dataset()
    if transaction is not None:
        information.TransactionUID = transaction
    items = []
    for each in references:
        item = Dataset()
        item.ReferencedSOPClassUID = each.sop_class_uid
        item.ReferencedSOPInstanceUID = each.sop_instance_uid
        items.append(item)
    information.ReferencedSOPSequence = items
    return information


def ask(association: Association, information: Dataset | None) -> Dataset:
    status, _ = association.send_n_action(information, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    return status


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def failed(information: Dataset) -> dict[str, int]:
    return {
        each.ReferencedSOPInstanceUID: each.FailureReason for each in information.FailedSOPSequence
    }


def test_the_report_comes_on_the_association_that_stays_open(bench: Bench) -> None:
    console = Console()
    association = console.call(bench.port)
    assert ask(association, action(STORED)).Status == ActionStatus.SUCCESS
    wait_until(lambda: console.reports)
    ((event_type, information),) = console.reports
    assert event_type == 1
    assert information.TransactionUID == "2.25.7"
    (item,) = information.ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID == STORED.sop_instance_uid
    assert item.ReferencedSOPClassUID == CT
    wait_until(lambda: bench.state() == "reported")
    association.release()
    assert bench.rows()[0]["attempts"] == 1


def test_what_is_not_here_is_listed(bench: Bench) -> None:
    console = Console()
    association = console.call(bench.port)
    other_class = Reference("1.2.840.10008.5.1.4.1.1.4", "1.2.3.3")
    bench.store(Reference(CT, "1.2.3.3"))
    bench.store(Reference(CT, "1.2.3.4"))
    bench.archive.full_path(bench.archive.instance_path("1.2.3", "1.2.3.4")).unlink()
    lost = Reference(CT, "1.2.3.4")
    assert ask(association, action(STORED, MISSING, other_class, lost)).Status == 0
    wait_until(lambda: console.reports)
    ((event_type, information),) = console.reports
    assert event_type == 2
    assert len(information.ReferencedSOPSequence) == 1
    assert failed(information) == {"1.2.3.2": 0x0112, "1.2.3.3": 0x0119, "1.2.3.4": 0x0110}
    wait_until(lambda: bench.state() == "reported")
    assert bench.rows()[0]["reason"] == "3 of 4 instances are not committed"
    association.release()


def test_the_association_serves_on_while_the_report_is_under_way(bench: Bench) -> None:
    """A requester that never answers the report may go on asking, and release."""
    arrived = threading.Event()

    class Silent(Console):
        def on_report(self, event: evt.Event) -> tuple[int, None]:
            arrived.set()
            time.sleep(0.8)
            return 0, None

    association = Silent().call(bench.port)
    assert ask(association, action(STORED)).Status == 0
    assert arrived.wait(5)
    started = time.monotonic()
    assert ask(association, action(STORED, transaction="2.25.8")).Status == 0
    association.release()
    assert association.is_released
    assert time.monotonic() - started < 0.7


def test_several_requests_of_one_association_are_all_reported(bench: Bench) -> None:
    console = Console()
    association = console.call(bench.port)
    for number in range(5):
        assert ask(association, action(STORED, transaction=f"2.25.{number}")).Status == 0
    wait_until(lambda: len(console.reports) == 5)
    assert [information.TransactionUID for _, information in console.reports] == [
        f"2.25.{number}" for number in range(5)
    ]
    wait_until(lambda: {each["state"] for each in bench.rows()} == {"reported"})
    association.release()


def test_a_transaction_uid_used_twice_fails_for_the_second(bench: Bench) -> None:
    console = Console()
    association = console.call(bench.port)
    ask(association, action(STORED))
    ask(association, action(STORED, MISSING))
    wait_until(lambda: len(console.reports) == 2)
    assert [event_type for event_type, _ in console.reports] == [1, 2]
    assert set(failed(console.reports[1][1]).values()) == {0x0131}
    association.release()


def test_who_asks_again_is_told_again(bench: Bench) -> None:
    console = Console()
    association = console.call(bench.port)
    ask(association, action(STORED, MISSING))
    wait_until(lambda: len(console.reports) == 1)
    wait_until(lambda: bench.state() == "reported")
    bench.store(MISSING)
    ask(association, action(MISSING, STORED))
    wait_until(lambda: len(console.reports) == 2)
    assert [event_type for event_type, _ in console.reports] == [2, 1]
    association.release()


def test_who_has_released_and_cannot_be_reached_is_named(bench: Bench) -> None:
    association = Console().call(bench.port)
    assert ask(association, action(STORED)).Status == 0
    association.release()
    wait_until(lambda: bench.state() == "dead")
    assert "AE title CONSOLE" in bench.rows()[0]["reason"]


def test_who_has_released_gets_the_report_on_a_new_association(knowing: Bench) -> None:
    console = Console()
    reporter = knowing.reporter(console)
    assert not reporter.report_once("CONSOLE")
    with console.listening():
        association = console.call(knowing.port)
        assert ask(association, action(STORED, MISSING)).Status == 0
        association.release()
        wait_until(lambda: knowing.state() == "pending")
        assert reporter.report_once("CONSOLE")
        assert not reporter.report_once("CONSOLE")
    assert console.new_associations == 1
    ((event_type, information),) = console.reports
    assert event_type == 2
    assert failed(information) == {"1.2.3.2": 0x0112}
    assert (knowing.state(), knowing.rows()[0]["attempts"]) == ("reported", 1)


def test_a_requester_that_knows_no_roles_gets_its_report(knowing: Bench) -> None:
    console = Console(takes_role=False)
    record(knowing)
    with console.listening():
        assert knowing.reporter(console).report_once("CONSOLE")
    assert len(console.reports) == 1


def test_a_report_goes_encrypted_to_who_wants_to_see_our_certificate(
    knowing: Bench, tmp_path: Path
) -> None:
    if not Authority.installed():
        pytest.skip("there is no openssl")
    authority = Authority(tmp_path / "ca")
    theirs, ours = authority.issue("console"), authority.issue("wetread")
    console = Console(
        accepts=server_context(theirs.certificate, theirs.key, authority.certificate),
        shown=client_context(authority.certificate, ours.certificate, ours.key),
    )
    unknown = replace(console, shown=client_context(authority.certificate), reports=[])
    record(knowing)
    with console.listening():
        assert knowing.reporter(unknown).report_once("CONSOLE")
        assert knowing.state() == "dead"
        record(knowing)  # asked again
        assert knowing.reporter(console).report_once("CONSOLE")
    assert (len(unknown.reports), len(console.reports)) == (0, 1)


def record(bench: Bench, calling_ae: str = "CONSOLE") -> None:
    """What a receiver leaves that was killed after its answer."""
    with bench.database.write() as connection:
        asked = Asked(calling_ae=calling_ae, transaction_uid="2.25.7", references=(STORED,))
        commitment_id = commitment.record(connection, asked)
        assert commitment.take(connection, commitment_id, "killed", 0.0) is not None
    time.sleep(0.01)


def test_a_report_that_failed_on_its_own_association_is_tried_on_a_new_one(
    knowing: Bench,
) -> None:
    console = Console(answer=0x0110)
    association = console.call(knowing.port)
    assert ask(association, action(STORED)).Status == 0
    wait_until(lambda: knowing.state() == "pending")
    assert knowing.rows()[0]["reason"] == "status 0110 for the report"
    association.release()
    console.answer = 0
    with console.listening():
        assert knowing.reporter(console).report_once("CONSOLE")
    assert knowing.state() == "reported"


def test_a_report_that_is_not_answered_is_tried_on_a_new_association(knowing: Bench) -> None:
    class Silent(Console):
        def on_report(self, event: evt.Event) -> tuple[int, None]:
            time.sleep(2)
            return 0, None

    association = Silent().call(knowing.port)
    assert ask(association, action(STORED)).Status == 0
    wait_until(lambda: knowing.state() == "pending")
    assert "no answer" in knowing.rows()[0]["reason"]
    association.release()


def test_what_a_killed_receiver_left_is_reported(knowing: Bench) -> None:
    console = Console()
    record(knowing)
    with console.listening():
        assert knowing.reporter(console).report_once("CONSOLE")
    assert [event_type for event_type, _ in console.reports] == [1]
    assert knowing.state() == "reported"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(None, "no connection"), (0x0110, "status 0110 for the report")],
    ids=["away", "refuses"],
)
def test_attempts_come_to_an_end_with_the_reason(
    knowing: Bench, answer: int | None, reason: str
) -> None:
    console = Console(answer=answer or 0)
    reporter = knowing.reporter(console)
    with knowing.database.write() as connection:
        asked = Asked(calling_ae="CONSOLE", transaction_uid="2.25.7", references=(STORED,))
        commitment.record(connection, asked)

    def twice() -> None:
        assert reporter.report_once("CONSOLE")
        assert knowing.state() == "pending"
        assert reporter.report_once("CONSOLE")

    if answer is None:
        twice()
    else:
        with console.listening():
            twice()
    assert knowing.state() == "dead"
    assert reason in knowing.rows()[0]["reason"]
    assert not reporter.report_once("CONSOLE")


def test_a_running_reporter_reports_and_names_who_is_nowhere(knowing: Bench) -> None:
    console = Console()
    record(knowing)
    record(knowing, "NOWHERE")
    stop = threading.Event()
    with console.listening():
        running = threading.Thread(target=knowing.reporter(console).run, args=(stop,))
        running.start()
        wait_until(lambda: [each["state"] for each in knowing.rows()] == ["reported", "dead"])
        stop.set()
        running.join()
    assert "AE title NOWHERE" in knowing.rows()[1]["reason"]


def without_references(information: Dataset) -> Dataset:
    del information.ReferencedSOPSequence
    return information


@pytest.mark.parametrize(
    "information",
    [
        lambda: None,
        action,
        lambda: without_references(action()),
        lambda: action(STORED, transaction=None),
        lambda: action(STORED, transaction="2.25.x"),
        lambda: action(Reference(CT, "../../etc")),
        lambda: action(Reference("", "1.2.3")),
    ],
    ids=["nothing", "no item", "no list", "no UID", "UID", "instance UID", "class UID"],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_malformed_request_is_refused_and_not_recorded(
    bench: Bench, information: Callable[[], Dataset | None]
) -> None:
    association = Console().call(bench.port)
    answer = ask(association, information())
    assert answer.Status == ActionStatus.INVALID_ARGUMENT
    assert answer.ErrorComment
    association.release()
    assert bench.rows() == []


@pytest.mark.parametrize(
    ("action_type", "sop_class", "instance", "status"),
    [
        (2, PUSH_MODEL, PUSH_MODEL_INSTANCE, ActionStatus.NO_SUCH_ACTION),
        (1, PUSH_MODEL, "1.2.3", ActionStatus.NO_SUCH_INSTANCE),
        (1, "1.2.840.10008.5.1.1.9", PUSH_MODEL_INSTANCE, ActionStatus.NO_SUCH_CLASS),
    ],
)
def test_a_request_for_something_else_is_refused(
    bench: Bench, action_type: int, sop_class: str, instance: str, status: ActionStatus
) -> None:
    association = Console().call(bench.port)
    answer, _ = association.send_n_action(
        action(STORED), action_type, sop_class, instance, meta_uid=PUSH_MODEL
    )
    assert answer.Status == status
    association.release()
    assert bench.rows() == []


def test_too_many_instances_are_a_resource_limitation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scp.action._INSTANCE_LIMIT", 1)
    association = Console().call(bench.port)
    assert ask(association, action(STORED)).Status == ActionStatus.SUCCESS
    answer = ask(association, action(STORED, MISSING, transaction="2.25.8"))
    assert answer.Status == ActionStatus.RESOURCE_LIMITATION
    association.release()


def test_a_database_that_refuses_is_a_resource_limitation(bench: Bench) -> None:
    with bench.database.write() as connection:
        connection.execute(text("alter table commitment rename to hidden"))
    association = Console().call(bench.port)
    answer = ask(association, action(STORED))
    assert answer.Status == ActionStatus.RESOURCE_LIMITATION
    assert answer.ErrorComment == "cannot record: OperationalError"
    with bench.database.write() as connection:
        connection.execute(text("alter table hidden rename to commitment"))
    assert ask(association, action(STORED)).Status == ActionStatus.SUCCESS
    association.release()


def test_a_fault_of_ours_is_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scp.commitment.commitment.record", None)
    association = Console().call(bench.port)
    answer = ask(association, action(STORED))
    assert (answer.Status, answer.ErrorComment) == (ActionStatus.PROCESSING_FAILURE, "TypeError")
    association.release()
