"""Takes what the receiver and the courier do to the audit trail, a message per study and way.

A message tells of all instances of a study that came over one association, or went in one batch.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import structlog
from pydicom import dcmread

from audit.events import Instances, Peer
from audit.trail import Trail
from db.archive import Archive
from db.errors import where
from db.outbox import Alternative, Parcel
from db.retention import Removed
from db.schema import DeliveryState
from delivery.destination import Failed, Refused, Sent
from delivery.observer import Recorded
from scp.access import Admitted, Caller
from scp.header import Header
from scp.observer import TOO_MANY
from scp.rejection import Rejection
from scp.status import Answer, StoreStatus
from wetread.config import Settings

_log = structlog.get_logger(__name__)
_LOOK_SECONDS = 1.0
# An association may stand for days. What it brought is told of when it pauses for this long.
_PAUSE = timedelta(seconds=10)
_TRANSIENT = 2  # PS3.8 Table 9-21, result: the peer may try again
_FOR_NOW = {TOO_MANY, *(each.reason for each in Rejection if each.value[0] == _TRANSIENT)}

PatientOf = Callable[[Path], str | None]


def patient_of(settings: Settings) -> PatientOf:
    """What reads the Patient ID of a file, as the settings allow."""
    return _patient_id if settings.audit.patient == "id" else lambda _: None


def audited_peers(settings: Settings) -> dict[str, Peer]:
    """The application entity, or for a DICOMweb server the host, of each destination's name."""
    return {
        each.name: Peer(
            ae_title=each.ae_title, address=each.host or urlsplit(each.url).hostname or ""
        )
        for each in settings.destination
    }


@dataclass(kw_only=True)
class _Group:
    """Instances that one message will tell of."""

    caller: Caller
    study_uid: str
    known: bool
    refusal: str
    path: Path | None
    last_at: datetime
    classes: Counter[str] = field(default_factory=Counter)


class ReceptionAudit:
    """The receiver's observer.

    Parameters
    ----------
    trail
        Where to tell it.
    archive
        Where the received instances are.
    patient
        Reads the Patient ID of a received instance.
    """

    def __init__(self, trail: Trail, archive: Archive, patient: PatientOf) -> None:
        self._trail = trail
        self._archive = archive
        self._patient = patient
        self._lock = threading.Lock()
        self._groups: dict[tuple[Callable[[], bool], str, bool, str], _Group] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="audit-reception", daemon=True)

    def accepted(self, caller: Caller, admitted: Admitted) -> None:
        """Say nothing: the standard reports what failed, and the instances that come."""

    def rejected(self, caller: Caller, reason: str) -> None:
        """Tell of an association that was rejected."""
        for_good = reason not in _FOR_NOW
        self._trail.association_rejected(_peer(caller), reason, for_good=for_good)

    def turned_away(self, address: str, reason: str) -> None:
        """Tell of a connection that was closed unheard: an unknown address, a failed handshake."""
        self._trail.connection_refused(address, reason)

    def received(
        self, caller: Caller, admitted: Admitted, header: Header | None, answer: Answer
    ) -> None:
        """Count an instance; the message comes when the association ends or pauses."""
        if header is None:
            # No study to tell of. The log has the reason; what is not allowed is an alert.
            if answer.status is StoreStatus.NOT_SUPPORTED:
                self._trail.instance_restricted(_peer(caller), answer.comment)
            return
        stored = answer.status is StoreStatus.SUCCESS
        refusal = "" if stored else f"{answer.status:04X} {answer.comment}"
        key = (caller.present, header.study_uid, answer.known, refusal)
        with self._lock:
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = self._group(caller, header, answer, refusal)
            group.classes[header.sop_class_uid] += 1
            group.last_at = datetime.now(UTC)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _group(self, caller: Caller, header: Header, answer: Answer, refusal: str) -> _Group:
        stored = self._archive.instance_path(header.study_uid, header.sop_instance_uid)
        return _Group(
            caller=caller,
            study_uid=header.study_uid,
            known=answer.known,
            refusal=refusal,
            last_at=datetime.now(UTC),
            path=None if refusal else self._archive.full_path(stored),
        )

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self._tell(everything=False)
        self._tell(everything=True)

    def _tell(self, *, everything: bool) -> None:
        paused = datetime.now(UTC) - _PAUSE
        with self._lock:
            over = [
                key
                for key, group in self._groups.items()
                if everything or group.last_at < paused or not group.caller.present()
            ]
            groups = [self._groups.pop(key) for key in over]
        for group in groups:
            try:
                self._tell_of(group)
            except Exception as error:  # noqa: BLE001 - the loop that tells of all others, too
                _log.error("audit.trouble", error=where(error))

    def _tell_of(self, group: _Group) -> None:
        peer = _peer(group.caller)
        instances = Instances(
            study_uid=group.study_uid,
            classes=group.classes,
            patient_id=self._patient(group.path) if group.path else None,
        )
        if group.refusal:
            self._trail.instances_refused(peer, instances, group.refusal, at=group.last_at)
        else:
            self._trail.instances_received(peer, instances, at=group.last_at, new=not group.known)


class DeliveryAudit:
    """The courier's observer.

    Parameters
    ----------
    trail
        Where to tell it.
    archive
        Where the results are.
    patient
        Reads the Patient ID of a result.
    destinations
        The application entity of each destination's name.
    """

    def __init__(
        self,
        trail: Trail,
        archive: Archive,
        patient: PatientOf,
        destinations: Mapping[str, Peer],
    ) -> None:
        self._trail = trail
        self._archive = archive
        self._patient = patient
        self._destinations = destinations

    def begun(self, destination: str, parcels: Sequence[Parcel]) -> None:
        """Tell of what is sent for the first time; further attempts are in the log."""
        first = [each for each in parcels if each.attempt == 1]
        for instances in self._instances(
            [(each.study_uid, each.alternatives[0]) for each in first]
        ):
            self._trail.sending(self._destinations[destination], instances)

    def ended(self, destination: str, recorded: Sequence[Recorded]) -> None:
        """Tell of what arrived, and of what never will; what is tried again is in the log."""
        peer = self._destinations[destination]
        for instances in self._instances(list(filter(None, map(_sent, recorded)))):
            self._trail.results_sent(peer, instances)
        given_up = defaultdict[str, list[tuple[str, Alternative]]](list)
        for each in recorded:
            if each.state in (DeliveryState.DEAD, DeliveryState.REFUSED):
                sent_as = (each.parcel.study_uid, each.parcel.alternatives[0])
                given_up[_reason(each)].append(sent_as)
        for reason, forms in given_up.items():
            for instances in self._instances(forms):
                self._trail.results_given_up(peer, instances, reason)

    def _instances(self, forms: Sequence[tuple[str, Alternative]]) -> list[Instances]:
        """The forms by study, in the order in which the studies first came."""
        by_study = defaultdict[str, list[Alternative]](list)
        for study_uid, form in forms:
            by_study[study_uid].append(form)
        return [
            Instances(
                study_uid=study_uid,
                classes=Counter(form.sop_class_uid for form in of_study),
                patient_id=self._patient(self._archive.full_path(of_study[0].path)),
            )
            for study_uid, of_study in by_study.items()
        ]


class RetentionAudit:
    """Is told what retention removes, before its files are erased.

    Parameters
    ----------
    trail
        Where to tell it.
    archive
        Where the files wait.
    patient
        Reads the Patient ID of one.
    by_hand
        Whether somebody asked for it.
    """

    def __init__(
        self, trail: Trail, archive: Archive, patient: PatientOf, *, by_hand: bool = False
    ) -> None:
        self._trail = trail
        self._archive = archive
        self._patient = patient
        self._by_hand = by_hand

    def __call__(self, gone: Removed) -> None:
        """Tell of a study."""
        first = next(iter(gone.paths), None)
        instances = Instances(
            study_uid=gone.study_uid,
            classes=gone.classes,
            patient_id=self._patient(self._archive.retired_path(first)) if first else None,
        )
        self._trail.study_deleted(instances, by_hand=self._by_hand)


def _peer(caller: Caller) -> Peer:
    return Peer(ae_title=caller.calling_ae, address=caller.address)


def _sent(recorded: Recorded) -> tuple[str, Alternative] | None:
    """The form that the destination took, and its study."""
    outcome = recorded.outcome
    if recorded.state is not DeliveryState.SENT or not isinstance(outcome, Sent):
        return None
    parcel = recorded.parcel
    taken = (each for each in parcel.alternatives if each.result_id == outcome.result_id)
    return parcel.study_uid, next(taken)


def _reason(recorded: Recorded) -> str:
    return recorded.outcome.reason if isinstance(recorded.outcome, Refused | Failed) else ""


def _patient_id(path: Path) -> str | None:
    """The Patient ID of a stored object; None if it has none."""
    try:
        found = dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"], force=True)
        return str(found.get("PatientID") or "").strip() or None
    except Exception as error:  # noqa: BLE001 - a broken file may fail in any way; the trail goes on
        _log.warning("audit.no_patient_id", error=where(error))
        return None
