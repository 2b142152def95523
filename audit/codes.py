"""The coded concepts and enumerated values of audit messages (PS3.15 A.5.1.2, PS3.16)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_DCM = "DCM"
_RFC = "RFC-3881"


@dataclass(frozen=True)
class Code:
    """A coded concept: value, coding scheme, meaning."""

    value: str
    scheme: str
    meaning: str


class EventID(Enum):
    """What happened (PS3.16 CID 400)."""

    APPLICATION_ACTIVITY = Code("110100", _DCM, "Application Activity")
    BEGIN_TRANSFERRING = Code("110102", _DCM, "Begin Transferring DICOM Instances")
    INSTANCES_ACCESSED = Code("110103", _DCM, "DICOM Instances Accessed")
    INSTANCES_TRANSFERRED = Code("110104", _DCM, "DICOM Instances Transferred")
    STUDY_DELETED = Code("110105", _DCM, "DICOM Study Deleted")
    SECURITY_ALERT = Code("110113", _DCM, "Security Alert")
    USER_AUTHENTICATION = Code("110114", _DCM, "User Authentication")


class EventType(Enum):
    """Which kind of it (PS3.16 CID 401 to 403)."""

    APPLICATION_START = Code("110120", _DCM, "Application Start")
    APPLICATION_STOP = Code("110121", _DCM, "Application Stop")
    LOGIN = Code("110122", _DCM, "Login")
    LOGOUT = Code("110123", _DCM, "Logout")
    NODE_AUTHENTICATION = Code("110126", _DCM, "Node Authentication")
    USE_OF_RESTRICTED_FUNCTION = Code("110132", _DCM, "Use of Restricted Function")
    AUDIT_RECORDING_STOPPED = Code("110133", _DCM, "Audit Recording Stopped")


class Role(Enum):
    """What a participant does in it (PS3.16 CID 402)."""

    APPLICATION = Code("110150", _DCM, "Application")
    APPLICATION_LAUNCHER = Code("110151", _DCM, "Application Launcher")
    DESTINATION = Code("110152", _DCM, "Destination Role ID")
    SOURCE = Code("110153", _DCM, "Source Role ID")


class ObjectIDType(Enum):
    """What names an object (PS3.16 CID 404, PS3.15 A.5.1.2.4)."""

    PATIENT_NUMBER = Code("2", _RFC, "Patient Number")
    URI = Code("12", _RFC, "URI")
    STUDY_INSTANCE_UID = Code("110180", _DCM, "Study Instance UID")
    NODE_ID = Code("110182", _DCM, "Node ID")


class Action(Enum):
    """EventActionCode (PS3.15 A.5.2)."""

    CREATE = "C"
    READ = "R"
    EXECUTE = "E"
    DELETE = "D"


class Outcome(Enum):
    """EventOutcomeIndicator (PS3.15 A.5.2)."""

    SUCCESS = "0"
    MINOR_FAILURE = "4"  # the action is tried again
    SERIOUS_FAILURE = "8"  # the action is over
    MAJOR_FAILURE = "12"


class AccessPoint(Enum):
    """NetworkAccessPointTypeCode (PS3.15 A.5.1)."""

    MACHINE_NAME = "1"
    IP_ADDRESS = "2"


class ObjectType(Enum):
    """ParticipantObjectTypeCode (PS3.15 A.5.1)."""

    PERSON = "1"
    SYSTEM = "2"


class ObjectRole(Enum):
    """ParticipantObjectTypeCodeRole (PS3.15 A.5.1.2.2)."""

    PATIENT = "1"
    REPORT = "3"
    SECURITY_RESOURCE = "13"
