"""Asks destinations to commit to keeping what was sent to them, as SCU (PS3.4 section J.3).

The report comes on the association that asked, which is kept open for a short while, or on one that
the destination opens to the receiver.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from db import confirmation
from db.commitment import Reference
from db.engine import Database
from db.retry import RetryPolicy
from db.verdict import PUSH_MODEL, PUSH_MODEL_INSTANCE
from delivery import turns
from delivery.associate import NoAssociation, Peer, associate
from delivery.destination import Failed
from delivery.observer import Observer, Recorded, Unobserved, tell

_log = structlog.get_logger(__name__)
_TRANSFER_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_REQUEST_COMMITMENT = 1  # PS3.4 table J.3-1, Action Type ID
_POLL_SECONDS = 0.25
_LOOK_SECONDS = 0.02

REPORT_SECONDS = 2.0
"""So long the association stands after the answer, for who reports at once and on the same."""


@dataclass(frozen=True, kw_only=True)
class AskerSettings:
    """Settings of one asker.

    Attributes
    ----------
    patience_seconds
        Without a report for so long, a result is sent again.
    retry
        How often, and when, what was not committed is sent again.
    """

    patience_seconds: float
    retry: RetryPolicy


class Asker:
    """Serves each destination from a thread of its own, so that a slow one delays no other.

    Parameters
    ----------
    settings
        See ``AskerSettings``.
    database
        Where deliveries are.
    destinations
        Those that are to commit, by name.
    observer
        Is told of what was given up.
    """

    def __init__(
        self,
        settings: AskerSettings,
        database: Database,
        destinations: Mapping[str, Peer],
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._destinations = destinations
        self._observer = observer or Unobserved()

    def run(self, stop: threading.Event) -> None:
        """Ask until ``stop`` is set; the request at hand is finished first."""
        work = {f"asking-{name}": partial(self.ask_once, name, stop) for name in self._destinations}
        turns.run(work, stop, _POLL_SECONDS)

    def ask_once(self, name: str, stop: threading.Event) -> bool:
        """Ask a destination about all that was sent to it lately; False if there was nothing.

        What was asked about before and is not committed, or not in time, is sent again.
        """
        with self._database.read() as connection:
            if not confirmation.due(connection, name):
                return False
        self._give_up(name)
        transaction_uid = str(generate_uid(prefix=None))
        with self._database.write() as connection:
            references = confirmation.ask(connection, name, transaction_uid)
        if references:
            self._ask(name, transaction_uid, references, stop)
        return True

    def _give_up(self, name: str) -> None:
        with self._database.write() as connection:
            given_up = confirmation.give_up(connection, name, self._settings.retry)
        for each in given_up:
            parcel = each.parcel
            _log.warning(
                f"delivery.{each.state.value}",
                delivery_id=parcel.delivery_id,
                job_id=parcel.job_id,
                study_uid=parcel.study_uid,
                kind=parcel.kind,
                destination=name,
                attempt=parcel.attempt,
                reason=each.reason,
            )
        if given_up:
            recorded = [Recorded(each.parcel, Failed(each.reason), each.state) for each in given_up]
            tell(lambda: self._observer.ended(name, recorded))

    def _ask(
        self,
        name: str,
        transaction_uid: str,
        references: Sequence[Reference],
        stop: threading.Event,
    ) -> None:
        try:
            reason = self._request(name, transaction_uid, references, stop)
        except NoAssociation as error:
            reason = str(error)
        except (RuntimeError, ValueError, AttributeError):
            reason = "the association ended before it was asked to commit"
        if not reason:
            return
        with self._database.write() as connection:
            confirmation.put_off(connection, transaction_uid, f"it was sent, but: {reason}")
        _log.warning("delivery.commitment_not_asked", destination=name, reason=reason)

    def _request(
        self,
        name: str,
        transaction_uid: str,
        references: Sequence[Reference],
        stop: threading.Event,
    ) -> str:
        """Send the request, and stay for the report; return why that failed, empty if not."""
        peer, reported = self._destinations[name], threading.Event()

        def on_report(event: evt.Event) -> tuple[int, None]:
            status = confirmation.take_report(
                self._database, lambda: event.event_information, peer.ae_title
            )
            reported.set()
            return status, None

        handlers: list[evt.EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, on_report)]
        # With Verification the association stands even if the other is not accepted.
        contexts = [(each, _TRANSFER_SYNTAXES) for each in (Verification, PUSH_MODEL)]
        with associate(peer, contexts, handlers=handlers) as association:
            reason = _refusal(association, transaction_uid, references)
            if reason:
                return f"{peer}: {reason}"
            with self._database.write() as connection:
                confirmation.asked(connection, transaction_uid, self._settings.patience_seconds)
            _log.info(
                "delivery.commitment_asked",
                destination=name,
                transaction_uid=transaction_uid,
                instances=len(references),
            )
            until = time.monotonic() + REPORT_SECONDS
            while association.is_established and time.monotonic() < until and not stop.is_set():
                if reported.wait(_LOOK_SECONDS):
                    break
        return ""


def _refusal(
    association: Association, transaction_uid: str, references: Sequence[Reference]
) -> str:
    """Send the request; why it was not answered with Success, empty if it was."""
    if PUSH_MODEL not in {each.abstract_syntax for each in association.accepted_contexts}:
        return "it does not offer storage commitment"
    information = _information(transaction_uid, references)
    answer, _ = association.send_n_action(
        information, _REQUEST_COMMITMENT, PUSH_MODEL, PUSH_MODEL_INSTANCE
    )
    if "Status" not in answer:
        return "no answer to the request to commit"
    status = int(answer.Status)
    return "" if status == 0 else f"status {status:04X} for the request to commit"


def _information(transaction_uid: str, references: Sequence[Reference]) -> Dataset:
    """Action information of the request (PS3.4 table J.3-1)."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    items = []
    for each in references:
        item = Dataset()
        item.ReferencedSOPClassUID = each.sop_class_uid
        item.ReferencedSOPInstanceUID = each.sop_instance_uid
        items.append(item)
    information.ReferencedSOPSequence = items
    return information
