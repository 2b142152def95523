"""The messages that the node writes, one function for each (PS3.15 A.5.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from audit.codes import Action, EventID, EventType, ObjectIDType, Outcome, Role
from audit.messages import (
    AlertSubject,
    AuditObject,
    Event,
    Message,
    Participant,
    Patient,
    Source,
    Study,
)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Another DICOM application.

    Attributes
    ----------
    ae_title
        As it calls itself, or as we call it.
    address
        IP address or host name.
    """

    ae_title: str
    address: str

    def participant(self, *, requestor: bool = False, role: Role | None = None) -> Participant:
        """The peer as a participant; our log knows it by its AE title."""
        return Participant(
            user_id=self.ae_title or self.address,
            ae_title=self.ae_title,
            requestor=requestor,
            role=role,
            address=self.address,
        )


@dataclass(frozen=True, kw_only=True)
class Instances:
    """Instances of one study that went one way together.

    Attributes
    ----------
    study_uid
        Their study.
    classes
        How many of each SOP Class UID.
    patient_id
        Whose they are; None where the trail names no patients or the study has no Patient ID.
    """

    study_uid: str
    classes: Mapping[str, int] = field(default_factory=dict)
    patient_id: str | None = None

    def objects(self) -> tuple[AuditObject, ...]:
        """The study and its patient."""
        study = Study(study_uid=self.study_uid, classes=self.classes)
        return (study, Patient(patient_id=self.patient_id)) if self.patient_id else (study,)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody at the command line, or at the dashboard.

    Attributes
    ----------
    user_id
        ``name@host`` (PS3.15 A.5.2.1), or the account's name.
    login
        As whom the session was logged in, where that is somebody else: behind ``sudo`` or ``su``.
    address
        From where, if it came over the network.
    """

    user_id: str
    login: str = ""
    address: str = ""

    def participant(self, *, requestor: bool, role: Role | None = None) -> Participant:
        """The person as a participant."""
        return Participant(
            user_id=self.user_id,
            alternative_id=self.login,
            requestor=requestor,
            role=role,
            address=self.address,
        )


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who writes the trail.

    Attributes
    ----------
    source
        The node.
    process
        This process.
    """

    source: Source
    process: Participant

    def started(self, at: datetime, launcher: Person) -> Message:
        """Application Activity, Application Start (A.5.3.1)."""
        return self._activity(at, EventType.APPLICATION_START, launcher)

    def stopped(self, at: datetime, launcher: Person) -> Message:
        """Application Activity, Application Stop (A.5.3.1)."""
        return self._activity(at, EventType.APPLICATION_STOP, launcher)

    def begin(self, at: datetime, destination: Peer, instances: Instances) -> Message:
        """Begin Transferring DICOM Instances (A.5.3.3)."""
        event = Event(id=EventID.BEGIN_TRANSFERRING, action=Action.EXECUTE, at=at)
        return self._transfer(event, None, destination, instances)

    def sent(self, at: datetime, destination: Peer, instances: Instances) -> Message:
        """DICOM Instances Transferred, from us (A.5.3.7).

        The action is Read: only the receiver knows whether it held them before.
        """
        event = Event(id=EventID.INSTANCES_TRANSFERRED, action=Action.READ, at=at)
        return self._transfer(event, None, destination, instances)

    def not_sent(
        self, at: datetime, destination: Peer, instances: Instances, reason: str
    ) -> Message:
        """DICOM Instances Transferred, given up (A.5.3.7)."""
        return self._transfer(_failed(at, Action.READ, reason), None, destination, instances)

    def received(self, at: datetime, source: Peer, instances: Instances, *, new: bool) -> Message:
        """DICOM Instances Transferred, to us (A.5.3.7): Create, or Read if all were here before."""
        action = Action.CREATE if new else Action.READ
        event = Event(id=EventID.INSTANCES_TRANSFERRED, action=action, at=at)
        return self._transfer(event, source, None, instances)

    def refused(self, at: datetime, source: Peer, instances: Instances, reason: str) -> Message:
        """DICOM Instances Transferred, refused by us (A.5.3.7)."""
        return self._transfer(_failed(at, Action.CREATE, reason), source, None, instances)

    def deleted(self, at: datetime, instances: Instances, person: Person | None) -> Message:
        """DICOM Study Deleted (A.5.3.8), by a person or, without one, by the node's own rules."""
        event = Event(id=EventID.STUDY_DELETED, action=Action.DELETE, at=at)
        if person is None:
            participants: tuple[Participant, ...] = (replace(self.process, requestor=True),)
        else:
            participants = (person.participant(requestor=True), self.process)
        return self._message(event, participants, *instances.objects())

    def authenticated(self, at: datetime, person: Person, kind: EventType, failure: str) -> Message:
        """User Authentication, Login or Logout (A.5.3.12); ``failure`` says why it was refused."""
        event = Event(
            id=EventID.USER_AUTHENTICATION,
            type=kind,
            action=Action.EXECUTE,
            outcome=Outcome.MINOR_FAILURE if failure else Outcome.SUCCESS,
            at=at,
            description=failure,
        )
        return self._message(event, (person.participant(requestor=True), self.process))

    def accessed(self, at: datetime, person: Person, study_uids: Sequence[str]) -> Message:
        """DICOM Instances Accessed, to be looked at (A.5.3.6)."""
        event = Event(id=EventID.INSTANCES_ACCESSED, action=Action.READ, at=at)
        studies = (Study(study_uid=each) for each in study_uids)
        return self._message(event, (person.participant(requestor=True), self.process), *studies)

    def rejected(self, at: datetime, peer: Peer, reason: str, *, for_good: bool) -> Message:
        """Security Alert about an association that was rejected (A.5.3.11).

        A peer that may not come in failed Node Authentication. One that may, but asks for more
        than it is allowed at this moment, used a restricted function; it may try again.
        """
        event = Event(
            id=EventID.SECURITY_ALERT,
            type=EventType.NODE_AUTHENTICATION
            if for_good
            else EventType.USE_OF_RESTRICTED_FUNCTION,
            action=Action.EXECUTE,
            outcome=Outcome.SERIOUS_FAILURE if for_good else Outcome.MINOR_FAILURE,
            at=at,
            description=reason,
        )
        return self._alert(event, peer, f"association rejected: {reason}")

    def refused_connection(self, at: datetime, address: str, reason: str) -> Message:
        """Security Alert, Node Authentication (A.5.3.11): no TLS, or an unknown node."""
        event = Event(
            id=EventID.SECURITY_ALERT,
            type=EventType.NODE_AUTHENTICATION,
            action=Action.EXECUTE,
            outcome=Outcome.SERIOUS_FAILURE,
            at=at,
            description=reason,
        )
        peer = Peer(ae_title="", address=address)
        return self._alert(event, peer, f"connection refused: {reason}")

    def restricted(self, at: datetime, peer: Peer, reason: str) -> Message:
        """Security Alert, Use of Restricted Function (A.5.3.11): an instance that may not come."""
        event = Event(
            id=EventID.SECURITY_ALERT,
            type=EventType.USE_OF_RESTRICTED_FUNCTION,
            action=Action.EXECUTE,
            outcome=Outcome.SERIOUS_FAILURE,
            at=at,
            description=reason,
        )
        return self._alert(event, peer, f"instance refused: {reason}")

    def admin_action(
        self, at: datetime, person: Person, action: str, resource: str, study_uid: str
    ) -> Message:
        """Security Alert, Use of Restricted Function (A.5.3.11), as information.

        No message of the standard is about a job queue. Who takes a job off it by hand decides
        that a study is not read, which is a function that only administrators have.
        """
        event = Event(
            id=EventID.SECURITY_ALERT,
            type=EventType.USE_OF_RESTRICTED_FUNCTION,
            action=Action.EXECUTE,
            at=at,
        )
        subject = AlertSubject(
            id_type=ObjectIDType.URI, subject_id=resource, description=action, study_uid=study_uid
        )
        participants = (person.participant(requestor=True), self.process)
        return self._message(event, participants, subject)

    def lost(self, at: datetime, count: int, resource: str) -> Message:
        """Security Alert, Audit Recording Stopped (A.5.3.11): messages were lost.

        A major failure: what the lost messages would have told is not known.
        """
        reason = f"{count} audit messages were lost: the spool was full or they became too old"
        event = Event(
            id=EventID.SECURITY_ALERT,
            type=EventType.AUDIT_RECORDING_STOPPED,
            action=Action.EXECUTE,
            outcome=Outcome.MAJOR_FAILURE,
            at=at,
            description=reason,
        )
        subject = AlertSubject(id_type=ObjectIDType.URI, subject_id=resource, description=reason)
        return self._message(event, (self.process,), subject)

    def _alert(self, event: Event, peer: Peer, description: str) -> Message:
        subject = AlertSubject(
            id_type=ObjectIDType.NODE_ID,
            subject_id=peer.address or "unknown",
            description=description,
        )
        return self._message(event, (self.process, peer.participant()), subject)

    def _activity(self, at: datetime, kind: EventType, launcher: Person) -> Message:
        event = Event(id=EventID.APPLICATION_ACTIVITY, type=kind, action=Action.EXECUTE, at=at)
        process = replace(self.process, role=Role.APPLICATION)
        person = launcher.participant(requestor=True, role=Role.APPLICATION_LAUNCHER)
        return self._message(event, (process, person))

    def _transfer(
        self, event: Event, source: Peer | None, destination: Peer | None, instances: Instances
    ) -> Message:
        """A transfer; None stands for us. Who opened the association is the requestor."""
        if source is not None:
            sender = source.participant(requestor=True, role=Role.SOURCE)
        else:
            sender = replace(self.process, requestor=True, role=Role.SOURCE)
        if destination is not None:
            receiver = destination.participant(role=Role.DESTINATION)
        else:
            receiver = replace(self.process, role=Role.DESTINATION)
        return self._message(event, (sender, receiver), *instances.objects())

    def _message(
        self, event: Event, participants: tuple[Participant, ...], *objects: AuditObject
    ) -> Message:
        return Message(event=event, participants=participants, source=self.source, objects=objects)


def _failed(at: datetime, action: Action, reason: str) -> Event:
    return Event(
        id=EventID.INSTANCES_TRANSFERRED,
        action=action,
        outcome=Outcome.SERIOUS_FAILURE,
        at=at,
        description=reason,
    )
