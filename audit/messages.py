"""Audit messages as checked values, and their XML by the schema of PS3.15 A.5.1.

The schema derives from RFC 3881 and differs from it; ``docs/audit.md`` shows a message.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from audit.codes import (
    AccessPoint,
    Action,
    Code,
    EventID,
    EventType,
    ObjectIDType,
    ObjectRole,
    ObjectType,
    Outcome,
    Role,
)
from audit.xml import element

# PS3.15 A.5.1, AuditSourceTypeCode: "application server process or thread".
_APPLICATION_SERVER = "4"
# PS3.15 A.6: receivers take 32768 octets at least; text that a peer chose must not get us there.
_LONGEST_TEXT = 256


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened (EventIdentification).

    Attributes
    ----------
    id, type
        Which event, and which kind of it; some events have no kinds.
    action, outcome
        What was done, and how it ended.
    at
        When, with its time zone.
    description
        Why it ended so; empty for a success.
    """

    id: EventID
    action: Action
    at: datetime
    outcome: Outcome = Outcome.SUCCESS
    type: EventType | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if self.at.utcoffset() is None:
            raise ValueError("the time of an event needs a time zone (PS3.15 A.5.2.5)")


@dataclass(frozen=True, kw_only=True)
class Participant:
    """A person or process that took part (ActiveParticipant).

    Attributes
    ----------
    user_id
        By which our own logs know it.
    ae_title
        Of a DICOM application; becomes the alternative user ID (PS3.15 A.5.2.2).
    alternative_id
        The alternative user ID of anybody else.
    name
        For people to read.
    requestor
        Whether it asked for what happened; at most one participant of a message did.
    role
        What it did.
    address
        IP address or host name; empty if there is none to tell.
    """

    user_id: str
    ae_title: str = ""
    alternative_id: str = ""
    name: str = ""
    requestor: bool = False
    role: Role | None = None
    address: str = ""

    def __post_init__(self) -> None:
        if self.ae_title and self.alternative_id:
            raise ValueError("a DICOM application's alternative ID is its AE title")


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study whose instances were moved (ParticipantObjectIdentification).

    Attributes
    ----------
    study_uid
        Its Study Instance UID.
    classes
        Number of instances per SOP Class UID.
    """

    study_uid: str
    classes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.study_uid:
            raise ValueError("a study needs its UID")
        if any(count < 1 for count in self.classes.values()):
            raise ValueError("a SOP class is named for one instance at least")


@dataclass(frozen=True, kw_only=True)
class Patient:
    """The patient: the ID alone; a name is never written."""

    patient_id: str

    def __post_init__(self) -> None:
        if not self.patient_id:
            raise ValueError("a patient is named by an ID or not at all")


@dataclass(frozen=True, kw_only=True)
class AlertSubject:
    """What a security alert is about.

    Attributes
    ----------
    id_type, subject_id
        A node's address or a resource's URI.
    description
        What happened, in words; a security alert must have them (PS3.15 A.5.3.11).
    study_uid
        The study that it concerns, if one.
    """

    id_type: ObjectIDType
    subject_id: str
    description: str
    study_uid: str = ""

    def __post_init__(self) -> None:
        if self.id_type not in (ObjectIDType.NODE_ID, ObjectIDType.URI):
            raise ValueError("an alert is about a node or a resource")
        if not self.subject_id or not self.description:
            raise ValueError("an alert needs a subject and a description")


AuditObject = Study | Patient | AlertSubject


@dataclass(frozen=True, kw_only=True)
class Source:
    """Who writes the message (AuditSourceIdentification).

    Attributes
    ----------
    source_id
        The node, by the name that the site gave it.
    enterprise_site
        The site, where one name is not enough; empty for none.
    """

    source_id: str
    enterprise_site: str = ""

    def __post_init__(self) -> None:
        if not self.source_id:
            raise ValueError("an audit source needs an ID")


@dataclass(frozen=True, kw_only=True)
class Message:
    """One audit message."""

    event: Event
    participants: tuple[Participant, ...]
    source: Source
    objects: tuple[AuditObject, ...] = ()

    def __post_init__(self) -> None:
        if not self.participants:
            raise ValueError("somebody must have taken part")
        if sum(each.requestor for each in self.participants) > 1:
            raise ValueError("only one participant is the requestor (PS3.15 A.5.2)")
        if sum(isinstance(each, Patient) for each in self.objects) > 1:
            raise ValueError("a message tells of one patient")

    def xml(self) -> str:
        """The message on one line, without an XML declaration."""
        return element(
            "AuditMessage",
            {},
            _event(self.event),
            *map(_participant, self.participants),
            _source(self.source),
            *map(_object, self.objects),
        )


def utc(at: datetime) -> str:
    """A time in UTC to the millisecond, as xsd:dateTime and as RFC 5424 section 6.2.3 want it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(event: Event) -> str:
    children = [_code("EventID", event.id.value)]
    if event.type is not None:
        children.append(_code("EventTypeCode", event.type.value))
    if event.description:
        children.append(element("EventOutcomeDescription", {}, text=_short(event.description)))
    attributes = {
        "EventActionCode": event.action.value,
        "EventDateTime": utc(event.at),
        "EventOutcomeIndicator": event.outcome.value,
    }
    return element("EventIdentification", attributes, *children)


def _participant(participant: Participant) -> str:
    alternative = participant.alternative_id
    if participant.ae_title:
        alternative = f"AETITLES={participant.ae_title}"  # PS3.15 A.5.2.2
    attributes = {
        "UserID": _short(participant.user_id),
        "AlternativeUserID": _short(alternative) or None,
        "UserName": _short(participant.name) or None,
        "UserIsRequestor": "true" if participant.requestor else "false",
        "NetworkAccessPointID": _short(participant.address) or None,
        "NetworkAccessPointTypeCode": _access_point(participant.address),
    }
    roles = [_code("RoleIDCode", participant.role.value)] if participant.role else []
    return element("ActiveParticipant", attributes, *roles)


def _access_point(address: str) -> str | None:
    if not address:
        return None
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return AccessPoint.MACHINE_NAME.value
    return AccessPoint.IP_ADDRESS.value


def _source(source: Source) -> str:
    attributes = {
        "AuditEnterpriseSiteID": source.enterprise_site or None,
        "AuditSourceID": source.source_id,
    }
    kind = element("AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    return element("AuditSourceIdentification", attributes, kind)


def _object(thing: AuditObject) -> str:
    if isinstance(thing, Patient):
        return _participant_object(
            thing.patient_id, ObjectIDType.PATIENT_NUMBER, ObjectType.PERSON, ObjectRole.PATIENT
        )
    if isinstance(thing, Study):
        classes = [
            element("SOPClass", {"UID": _short(uid), "NumberOfInstances": str(count)})
            for uid, count in sorted(thing.classes.items())
        ]
        described = [element("ParticipantObjectDescription", {}, *classes)] if classes else []
        return _participant_object(
            thing.study_uid,
            ObjectIDType.STUDY_INSTANCE_UID,
            ObjectType.SYSTEM,
            ObjectRole.REPORT,
            *described,
        )
    return _alert_subject(thing)


def _alert_subject(subject: AlertSubject) -> str:
    # The schema wants values as base64: text that a peer chose cannot break out of it.
    value = base64.b64encode(_short(subject.description).encode("utf-8", "replace")).decode("ascii")
    children = [element("ParticipantObjectDetail", {"type": "Alert Description", "value": value})]
    if subject.study_uid:
        study = element("StudyIDs", {"UID": _short(subject.study_uid)})
        contains = element("ParticipantObjectContainsStudy", {}, study)
        children.append(element("ParticipantObjectDescription", {}, contains))
    return _participant_object(
        subject.subject_id,
        subject.id_type,
        ObjectType.SYSTEM,
        ObjectRole.SECURITY_RESOURCE,
        *children,
    )


def _participant_object(
    object_id: str, id_type: ObjectIDType, kind: ObjectType, role: ObjectRole, *children: str
) -> str:
    attributes = {
        "ParticipantObjectID": _short(object_id),
        "ParticipantObjectTypeCode": kind.value,
        "ParticipantObjectTypeCodeRole": role.value,
    }
    # The schema wants a name or a query here. We have neither, and give an empty name.
    name = element("ParticipantObjectName", {})
    code = _code("ParticipantObjectIDTypeCode", id_type.value)
    return element("ParticipantObjectIdentification", attributes, code, name, *children)


def _code(name: str, code: Code) -> str:
    attributes = {
        "csd-code": code.value,
        "codeSystemName": code.scheme,
        "originalText": code.meaning,
    }
    return element(name, attributes)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}\u2026"
