"""Every audit message is valid by the standard's schema, whatever text a peer sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from audit import xml
from audit.codes import Action, EventID, EventType, ObjectIDType
from audit.events import Author, Instances, Peer, Person
from audit.messages import AlertSubject, Event, Message, Participant, Patient, Source, Study, utc
from tests.auditschema import alert, checked, classes, event, objects, outcome, participants

AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
NODE = Author(
    source=Source(source_id="WETREAD", enterprise_site="Site A"),
    process=Participant(
        user_id="host:receive:17", ae_title="WETREAD", name="wetread receive", address="host"
    ),
)
CONSOLE = Peer(ae_title="CONSOLE", address="192.0.2.7")
PACS = Peer(ae_title="PACS", address="pacs.example")
STUDY = Instances(study_uid="1.2.3", classes={"1.2.840.10008.5.1.4.1.1.2": 28}, patient_id="P-7")
PERSON = Person(user_id="root@host", login="alice@host")
VISITOR = Person(user_id="bob", address="192.0.2.9")

EVERY: dict[str, Callable[[], Message]] = {
    "started": lambda: NODE.started(AT, PERSON),
    "stopped": lambda: NODE.stopped(AT, PERSON),
    "begin": lambda: NODE.begin(AT, PACS, STUDY),
    "sent": lambda: NODE.sent(AT, PACS, STUDY),
    "not sent": lambda: NODE.not_sent(AT, PACS, STUDY, "status 0122"),
    "received": lambda: NODE.received(AT, CONSOLE, STUDY, new=True),
    "received again": lambda: NODE.received(AT, CONSOLE, STUDY, new=False),
    "refused": lambda: NODE.refused(AT, CONSOLE, STUDY, "SOP Class UID differs"),
    "rejected": lambda: NODE.rejected(AT, CONSOLE, "not known", for_good=True),
    "too many": lambda: NODE.rejected(AT, CONSOLE, "too many", for_good=False),
    "refused connection": lambda: NODE.refused_connection(AT, "192.0.2.7", "no shared cipher"),
    "restricted": lambda: NODE.restricted(AT, CONSOLE, "SOP class is not allowed"),
    "admin": lambda: NODE.admin_action(AT, PERSON, "job 7 cancelled", "wetread:job:7", "1.2.3"),
    "login": lambda: NODE.authenticated(AT, VISITOR, EventType.LOGIN, ""),
    "no login": lambda: NODE.authenticated(AT, VISITOR, EventType.LOGIN, "wrong password"),
    "logout": lambda: NODE.authenticated(AT, VISITOR, EventType.LOGOUT, ""),
    "seen": lambda: NODE.accessed(AT, VISITOR, ["1.2.3", "1.2.4"]),
    "purged": lambda: NODE.deleted(AT, STUDY, None),
    "purged by hand": lambda: NODE.deleted(AT, STUDY, PERSON),
    "lost": lambda: NODE.lost(AT, 12, "file:///spool"),
}


@pytest.mark.parametrize("name", EVERY)
def test_each_message_is_valid(name: str) -> None:
    message = EVERY[name]().xml()
    root = checked(message)
    identification = root.find("EventIdentification")
    assert identification is not None
    assert identification.get("EventDateTime") == "2026-03-01T03:00:00.123Z"
    source = root.find("AuditSourceIdentification")
    assert source is not None
    assert source.get("AuditEnterpriseSiteID") == "Site A"
    assert source.get("AuditSourceID") == "WETREAD"


@pytest.mark.parametrize(
    ("name", "kind", "action", "indicator"),
    [
        ("started", "Application Start", "E", "0"),
        ("stopped", "Application Stop", "E", "0"),
        ("begin", "Begin Transferring DICOM Instances", "E", "0"),
        ("sent", "DICOM Instances Transferred", "R", "0"),
        ("not sent", "DICOM Instances Transferred", "R", "8"),
        ("received", "DICOM Instances Transferred", "C", "0"),
        ("received again", "DICOM Instances Transferred", "R", "0"),
        ("refused", "DICOM Instances Transferred", "C", "8"),
        ("rejected", "Node Authentication", "E", "8"),
        ("too many", "Use of Restricted Function", "E", "4"),
        ("refused connection", "Node Authentication", "E", "8"),
        ("restricted", "Use of Restricted Function", "E", "8"),
        ("admin", "Use of Restricted Function", "E", "0"),
        ("login", "Login", "E", "0"),
        ("no login", "Login", "E", "4"),
        ("logout", "Logout", "E", "0"),
        ("seen", "DICOM Instances Accessed", "R", "0"),
        ("purged", "DICOM Study Deleted", "D", "0"),
        ("purged by hand", "DICOM Study Deleted", "D", "0"),
        ("lost", "Audit Recording Stopped", "E", "12"),
    ],
)
def test_what_each_event_is_called(name: str, kind: str, action: str, indicator: str) -> None:
    root = checked(EVERY[name]().xml())
    identification = root.find("EventIdentification")
    assert identification is not None
    assert (event(root), outcome(root)) == (kind, indicator)
    assert identification.get("EventActionCode") == action
    described = identification.findtext("EventOutcomeDescription")
    assert bool(described) == (indicator != "0")


def test_a_transfer_names_both_sides_the_study_and_the_patient() -> None:
    root = checked(EVERY["received"]().xml())
    assert participants(root) == [
        ("AETITLES=CONSOLE", "Source Role ID"),
        ("AETITLES=WETREAD", "Destination Role ID"),
    ]
    assert [each.get("UserIsRequestor") for each in root.findall("ActiveParticipant")] == [
        "true",
        "false",
    ]
    console, node = root.findall("ActiveParticipant")
    assert (console.get("NetworkAccessPointID"), console.get("NetworkAccessPointTypeCode")) == (
        "192.0.2.7",
        "2",
    )
    assert (node.get("NetworkAccessPointID"), node.get("NetworkAccessPointTypeCode")) == (
        "host",
        "1",
    )
    assert objects(root) == {"Study Instance UID": "1.2.3", "Patient Number": "P-7"}
    assert classes(root) == {"1.2.840.10008.5.1.4.1.1.2": 28}
    sent = checked(EVERY["sent"]().xml())
    assert participants(sent) == [
        ("AETITLES=WETREAD", "Source Role ID"),
        ("AETITLES=PACS", "Destination Role ID"),
    ]


def test_a_deletion_names_who_asked_for_it_and_the_study() -> None:
    for name, asking in (("purged", "host:receive:17"), ("purged by hand", "root@host")):
        root = checked(EVERY[name]().xml())
        asked = [
            each.get("UserID")
            for each in root.findall("ActiveParticipant")
            if each.get("UserIsRequestor") == "true"
        ]
        assert asked == [asking]
        assert objects(root) == {"Study Instance UID": "1.2.3", "Patient Number": "P-7"}
        assert classes(root) == {"1.2.840.10008.5.1.4.1.1.2": 28}


def test_without_a_patient_id_no_patient_is_named() -> None:
    root = checked(NODE.sent(AT, PACS, Instances(study_uid="1.2")).xml())
    assert objects(root) == {"Study Instance UID": "1.2"}


def test_an_alert_names_its_subject_and_says_what_happened() -> None:
    rejected = checked(EVERY["rejected"]().xml())
    assert objects(rejected) == {"Node ID": "192.0.2.7"}
    assert alert(rejected) == "association rejected: not known"
    # PS3.15 A.5.3.11: who performs is never the requestor.
    assert {each.get("UserIsRequestor") for each in rejected.findall("ActiveParticipant")} == {
        "false"
    }
    admin = checked(EVERY["admin"]().xml())
    assert objects(admin) == {"URI": "wetread:job:7"}
    assert alert(admin) == "job 7 cancelled"
    assert [each.get("UID") for each in admin.iter("StudyIDs")] == ["1.2.3"]
    person, process = admin.findall("ActiveParticipant")
    assert (person.get("UserID"), person.get("AlternativeUserID")) == ("root@host", "alice@host")
    assert person.get("UserIsRequestor") == "true"
    assert process.get("UserIsRequestor") == "false"


@given(st.text(), st.text())
def test_no_text_of_a_peer_breaks_a_message_or_its_line(title: str, reason: str) -> None:
    peer = Peer(ae_title=title, address="192.0.2.7")
    study = Instances(study_uid=title or "1", classes={reason: 1}, patient_id=reason or None)
    for message in (
        NODE.rejected(AT, peer, reason or "-", for_good=True),
        NODE.refused(AT, peer, study, reason),
        NODE.admin_action(AT, PERSON, reason or "-", title or "-", reason),
    ):
        checked(message.xml())


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")))
def test_what_xml_can_hold_comes_back_as_it_was(text: str) -> None:
    root = etree.fromstring(xml.element("a", {"b": text}, text=text).encode())
    assert root.get("b") == text
    assert (root.text or "") == text


def test_what_xml_cannot_hold_is_seen_to_have_been_there() -> None:
    assert xml.escaped("A\x00B\ud800C") == "A\ufffdB\ufffdC"
    assert xml.escaped("a\nb\u2028") == "a&#10;b&#8232;"


@pytest.mark.parametrize("character", ["\U0001f600", "\u2028", '"'])
def test_a_message_stays_below_what_a_server_must_take(character: str) -> None:
    long = character * 100_000
    peer = Peer(ae_title=long, address=long)
    uids = [f"1.2.{number}".ljust(64, "0") for number in range(128)]  # a context for each
    study = Instances(study_uid=long, classes=dict.fromkeys(uids, 10**6), patient_id=long)
    for message in (
        NODE.refused(AT, peer, study, long),
        NODE.rejected(AT, peer, long, for_good=True),
        NODE.admin_action(AT, PERSON, long, long, long),
    ):
        assert len(message.xml().encode()) < 32_768  # PS3.15 A.6


WRONG: list[tuple[str, Callable[[], Any]]] = [
    ("time zone", lambda: Event(id=EventID.SECURITY_ALERT, action=Action.READ, at=datetime(2026, 1, 1))),  # noqa: DTZ001, E501
    ("AE title", lambda: Participant(user_id="x", ae_title="A", alternative_id="b")),
    ("its UID", lambda: Study(study_uid="")),
    ("one instance", lambda: Study(study_uid="1", classes={"1.2": 0})),
    ("not at all", lambda: Patient(patient_id="")),
    ("a node or a resource", lambda: AlertSubject(id_type=ObjectIDType.PATIENT_NUMBER, subject_id="1", description="x")),  # noqa: E501
    ("a subject", lambda: AlertSubject(id_type=ObjectIDType.URI, subject_id="", description="x")),
    ("an ID", lambda: Source(source_id="")),
]  # fmt: skip


@pytest.mark.parametrize(("said", "make"), WRONG)
def test_wrong_values_cannot_be_made(said: str, make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_wrong_messages_cannot_be_made() -> None:
    right = EVERY["sent"]()
    asking = Participant(user_id="x", requestor=True)
    patient = Patient(patient_id="1")
    for said, participants_, objects_ in (
        ("somebody", (), ()),
        ("only one", (asking, asking), ()),
        ("one patient", (asking,), (patient, patient)),
    ):
        with pytest.raises(ValueError, match=said):
            Message(
                event=right.event, source=right.source, participants=participants_, objects=objects_
            )


def test_times_are_in_utc() -> None:
    assert utc(AT) == "2026-03-01T03:00:00.123Z"
    assert utc(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"
