"""What the observers of the receiver and the courier tell the trail, and how it is grouped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from lxml import etree

from audit.events import Author, Peer, Person
from audit.messages import Participant, Source
from audit.trail import NO_TRAIL, Trail
from db.archive import Archive
from db.outbox import Alternative, Parcel
from db.schema import DeliveryState
from delivery.destination import Failed, Outcome, Refused, Sent
from delivery.observer import Recorded
from scp.access import Admitted, Caller
from scp.header import Header
from scp.observer import TOO_MANY
from scp.rejection import Rejection
from scp.status import Answer, StoreStatus
from tests.auditschema import alert, checked, classes, event, objects, outcome, participants
from tests.dicomfiles import as_file, image
from wetread import auditing
from wetread.auditing import DeliveryAudit, ReceptionAudit, patient_of
from wetread.config import Settings
from wetread.origin import ConfigError
from wetread.sections import AuditSection
from wetread.trails import command_trail, role_trail

AUTHOR = Author(
    source=Source(source_id="WETREAD"), process=Participant(user_id="h:r:1", ae_title="WETREAD")
)
CT, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.34"
SUCCESS = Answer(StoreStatus.SUCCESS)


class Memory:
    """Keeps messages in memory, and checks each by the schema."""

    def __init__(self) -> None:
        self.messages: list[etree._Element] = []

    def write(self, message: str, _at: datetime) -> None:
        self.messages.append(checked(message))

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass

    def told(self) -> list[tuple[str, str]]:
        return [(event(each), outcome(each)) for each in self.messages]


class Association:
    """One that stands until it is told to end."""

    def __init__(self, title: str = "CONSOLE", address: str = "192.0.2.7") -> None:
        self.stands = True
        self.caller = Caller(
            calling_ae=title, called_ae="WETREAD", address=address, present=self.present
        )

    def present(self) -> bool:
        return self.stands


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def trail(memory: Memory) -> Trail:
    return Trail(AUTHOR, Person(user_id="root@h"), [memory])


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


@pytest.fixture
def reception(
    trail: Trail, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ReceptionAudit]:
    monkeypatch.setattr(auditing, "_LOOK_SECONDS", 0.01)
    with ReceptionAudit(trail, archive, lambda _: None) as observer:
        yield observer


def header(study: str, number: int, sop_class: str = CT) -> Header:
    return Header(
        sop_class_uid=sop_class, sop_instance_uid=f"{study}.{number}", study_uid=study,
        series_uid=f"{study}.0", modality="CT", own=False,
    )  # fmt: skip


def end(observer: ReceptionAudit) -> None:
    """Tell of what is left, as when the receiver stops."""
    observer._tell(everything=True)


def test_one_message_per_study_and_association(reception: ReceptionAudit, memory: Memory) -> None:
    one, two = Association(), Association()
    for number in range(3):
        reception.received(one.caller, Admitted(), header("1.1", number), SUCCESS)
        reception.received(one.caller, Admitted(), header("1.2", number, SR), SUCCESS)
        reception.received(two.caller, Admitted(), header("1.1", number), SUCCESS)
    assert memory.messages == []  # both stand
    one.stands = False
    end(reception)
    told = [(objects(each)["Study Instance UID"], classes(each)) for each in memory.messages]
    assert sorted(told, key=str) == [("1.1", {CT: 3}), ("1.1", {CT: 3}), ("1.2", {SR: 3})]
    assert participants(memory.messages[0])[0] == ("AETITLES=CONSOLE", "Source Role ID")


def test_one_message_that_cannot_be_made_holds_up_no_other(
    reception: ReceptionAudit, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = Association().caller
    calls: list[Path] = []

    def fails_once(path: Path) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(reception, "_patient", fails_once)
    reception.received(caller, Admitted(), header("1.1", 1), SUCCESS)
    reception.received(caller, Admitted(), header("1.2", 1), SUCCESS)
    with structlog.testing.capture_logs() as logs:
        end(reception)
    assert [each["event"] for each in logs] == ["audit.trouble"]
    assert [objects(each) for each in memory.messages] == [{"Study Instance UID": "1.2"}]


def test_what_was_here_before_is_told_apart(reception: ReceptionAudit, memory: Memory) -> None:
    caller = Association().caller
    known = Answer(StoreStatus.SUCCESS, known=True)
    for number, answer in enumerate([SUCCESS, known, known]):
        reception.received(caller, Admitted(), header("1.1", number), answer)
    end(reception)
    told = [(each[0].get("EventActionCode"), classes(each)) for each in memory.messages]
    assert told == [("C", {CT: 1}), ("R", {CT: 2})]


def test_a_pause_ends_a_group_though_the_association_stands(
    reception: ReceptionAudit, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_PAUSE", timedelta(0))
    reception.received(Association().caller, Admitted(), header("1.1", 1), SUCCESS)
    while not memory.messages:
        pass
    assert memory.told() == [("DICOM Instances Transferred", "0")]


def test_what_is_refused_is_told_apart_from_what_is_stored(
    reception: ReceptionAudit, memory: Memory
) -> None:
    caller = Association().caller
    conflict = Answer(StoreStatus.UID_CONFLICT, "other bytes under a known UID")
    reception.received(caller, Admitted(), header("1.1", 1), SUCCESS)
    reception.received(caller, Admitted(), header("1.1", 2), conflict)
    reception.received(caller, Admitted(), header("1.1", 3), conflict)
    end(reception)
    assert memory.told() == [
        ("DICOM Instances Transferred", "0"),
        ("DICOM Instances Transferred", "8"),
    ]
    refused = memory.messages[1]
    assert classes(refused) == {CT: 2}
    said = refused.findtext("EventIdentification/EventOutcomeDescription")
    assert said == "C001 other bytes under a known UID"


def test_a_class_that_is_not_allowed_is_an_alert(reception: ReceptionAudit, memory: Memory) -> None:
    caller = Association().caller
    not_allowed = Answer(StoreStatus.NOT_SUPPORTED, "SOP class is not allowed to this peer")
    for _ in range(5):
        reception.received(caller, Admitted(), None, not_allowed)
    reception.received(caller, Admitted(), None, Answer(StoreStatus.CANNOT_UNDERSTAND, "no UID"))
    assert memory.told() == [("Use of Restricted Function", "8")]
    assert alert(memory.messages[0]) == "instance refused: SOP class is not allowed to this peer"


@pytest.mark.parametrize("reason", Rejection)
def test_a_rejection_is_an_alert_by_its_reason(
    reception: ReceptionAudit, memory: Memory, reason: Rejection
) -> None:
    reception.rejected(Association().caller, reason.reason)
    for_now = reason.rejected().result == 2  # PS3.8 Table 9-21: rejected-transient
    expected = ("Use of Restricted Function", "4") if for_now else ("Node Authentication", "8")
    assert memory.told() == [expected]
    assert alert(memory.messages[0]) == f"association rejected: {reason.reason}"


def test_a_connection_that_is_closed_unheard_is_an_alert(
    reception: ReceptionAudit, memory: Memory
) -> None:
    reception.turned_away("192.0.2.9", "no peer has this address")
    assert memory.told() == [("Node Authentication", "8")]
    (message,) = memory.messages
    assert objects(message) == {"Node ID": "192.0.2.9"}
    assert alert(message) == "connection refused: no peer has this address"
    assert participants(message)[1] == (None, None)


def test_a_full_node_is_no_alert_about_who_called(
    reception: ReceptionAudit, memory: Memory
) -> None:
    reception.rejected(Association().caller, TOO_MANY)
    assert memory.told() == [("Use of Restricted Function", "4")]


def test_who_knocks_again_and_again_is_told_of_once_a_minute(
    trail: Trail, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr("audit.trail.time.monotonic", lambda: moment)
    for number in range(50):
        trail.association_rejected(Peer(ae_title=f"GUESS{number}", address="192.0.2.7"), "no")
    trail.association_rejected(Peer(ae_title="X", address="192.0.2.8"), "no")
    assert len(memory.messages) == 2
    moment += 61
    trail.association_rejected(Peer(ae_title="Y", address="192.0.2.7"), "no")
    assert alert(memory.messages[2]) == (
        "association rejected: no; 49 more from this address since the last message"
    )


def parcel(number: int, study: str = "1.1", attempt: int = 1) -> Parcel:
    form = Alternative(number, SR, f"1.2.{number}", f"results/{number}.dcm")
    other = Alternative(100 + number, CT, f"1.3.{number}", f"results/{number}b.dcm")
    return Parcel(
        delivery_id=number, job_id=1, study_uid=study, kind="sr", destination="pacs",
        attempt=attempt, owner="w", alternatives=(form, other),
    )  # fmt: skip


def recorded(number: int, outcome: Outcome, state: DeliveryState, study: str = "1.1") -> Recorded:
    return Recorded(parcel(number, study), outcome, state)


@pytest.fixture
def delivery(trail: Trail, archive: Archive) -> DeliveryAudit:
    peers = {"pacs": Peer(ae_title="PACS", address="pacs.example")}
    return DeliveryAudit(trail, archive, lambda _: None, peers)


def test_a_batch_is_told_of_by_study_and_by_what_became_of_it(
    delivery: DeliveryAudit, memory: Memory
) -> None:
    delivery.ended(
        "pacs",
        [
            recorded(1, Sent(1), DeliveryState.SENT),
            recorded(2, Sent(102), DeliveryState.SENT),
            recorded(3, Sent(3), DeliveryState.SENT, "1.2"),
            recorded(4, Failed("no connection"), DeliveryState.PENDING),
            recorded(5, Failed("no connection"), DeliveryState.DEAD),
            recorded(6, Refused("no form is accepted"), DeliveryState.REFUSED),
        ],
    )
    assert memory.told() == [("DICOM Instances Transferred", each) for each in "0088"]
    assert classes(memory.messages[0]) == {SR: 1, CT: 1}  # the forms that it took
    assert classes(memory.messages[1]) == {SR: 1}
    said = [
        each.findtext("EventIdentification/EventOutcomeDescription") for each in memory.messages
    ]
    assert said == [None, None, "no connection", "no form is accepted"]


def test_only_the_first_attempt_is_a_beginning(delivery: DeliveryAudit, memory: Memory) -> None:
    delivery.begun("pacs", [parcel(1), parcel(2), parcel(3, "1.2"), parcel(4, attempt=2)])
    assert [classes(each) for each in memory.messages] == [{SR: 2}, {SR: 1}]
    delivery.begun("pacs", [parcel(1, attempt=2)])
    assert len(memory.messages) == 2


@pytest.mark.parametrize("setting", ["none", "id"])
def test_the_patient_is_named_by_the_id_and_only_where_the_site_wants_it(
    trail: Trail, archive: Archive, memory: Memory, setting: Any
) -> None:
    source = image()
    archive.write("results/1.dcm", [as_file(source)])
    reads = patient_of(Settings(audit=AuditSection(patient=setting)))
    audit = DeliveryAudit(trail, archive, reads, {"pacs": Peer(ae_title="P", address="h")})
    audit.begun("pacs", [parcel(1)])
    audit.begun("pacs", [parcel(2)])  # whose file is gone
    expected = [source.PatientID, None] if setting == "id" else [None, None]
    assert [objects(each).get("Patient Number") for each in memory.messages] == expected
    written = b"".join(etree.tostring(each) for each in memory.messages).decode()
    assert str(source.PatientName).split("^")[0] not in written


def test_no_trail_writes_nothing() -> None:
    NO_TRAIL.started()
    NO_TRAIL.admin_action("x", "y")
    assert not NO_TRAIL.kept


def test_a_trail_that_cannot_be_written_is_told_in_the_log_and_stops_nobody(trail: Trail) -> None:
    class Full(Memory):
        def write(self, message: str, _at: datetime) -> None:
            raise OSError(28, "No space left on device")

    with structlog.testing.capture_logs() as logs:
        Trail(AUTHOR, Person(user_id="root@h"), [Full()]).started()
    assert [each["event"] for each in logs] == ["audit.not_written"]
    assert logs[0]["event_type"] == "APPLICATION_START"


def settings_of(folder: Path, **audit: Any) -> Settings:
    made = Settings(audit=AuditSection(**audit))
    return made.model_copy(update={"node": made.node.model_copy(update={"data_dir": folder})})


def test_the_settings_make_the_trail(tmp_path: Path) -> None:
    with role_trail(settings_of(tmp_path, source_id="AI", enterprise_site="East"), "work") as made:
        made.started()
    (line,) = (tmp_path / "audit" / "audit.xml").read_text("utf-8").splitlines()
    assert 'AuditEnterpriseSiteID="East" AuditSourceID="AI"' in line
    assert 'UserName="wetread work"' in line
    with role_trail(settings_of(tmp_path, file=""), "work") as none:
        assert not none.kept


def test_a_trail_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"audit\.file: .*audit\.xml: "):
        command_trail(settings_of(tmp_path))
    with pytest.raises(ConfigError, match="audit: ca, certificate or key cannot be used"):
        role_trail(settings_of(tmp_path, file="", syslog_host="h", ca="/none.pem"), "work")
