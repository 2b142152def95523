"""Storage commitment push model, as SCP (PS3.4 Annex J), and reports to us as SCU.

A request is a row before it is answered. Its report goes out on the association that asked, if that
stays open; else it is left to the courier, which opens an association of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from queue import Empty, SimpleQueue
from typing import NamedTuple

import structlog
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_EVENT_REPORT_RSP
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.presentation import (
    PresentationContext,
    PresentationContextTuple,
    build_context,
)
from sqlalchemy.exc import SQLAlchemyError

from db import commitment
from db.archive import Archive
from db.commitment import Claimed
from db.confirmation import take_report
from db.engine import Database
from db.errors import LeaseLost, where
from db.retry import RetryPolicy
from db.verdict import PUSH_MODEL, PUSH_MODEL_INSTANCE, EventType, judge, report, taken
from scp.action import ActionRefused, ActionStatus, read_action, response

_log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.05
_PAUSE_SECONDS = 1.0
_LEASE_MARGIN_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class CommitmentSettings:
    """Settings of the storage commitment SCP.

    Attributes
    ----------
    owner
        Name under which leases are held, different for every process.
    known_titles
        AE titles to which the courier can open an association.
    retry
        What happens after a report that failed.
    patience_seconds
        So long the requester gets to release its association after the answer. Most do so at once
        and want the report on an association of its own; those who do not, wait for it here.
    answer_seconds
        So long a report on the requester's association waits for its answer.
    """

    owner: str
    known_titles: frozenset[str]
    retry: RetryPolicy
    patience_seconds: float = 0.3
    answer_seconds: float = 10.0


class Extension(NamedTuple):
    """What a receiver must take to serve a further SOP class."""

    handlers: list[evt.EventHandlerType]
    contexts: list[PresentationContext]


def commitment_handlers(
    database: Database, archive: Archive, settings: CommitmentSettings
) -> Extension:
    """Event handlers and presentation contexts of storage commitment."""
    context = build_context(PUSH_MODEL, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    # Who asks is the SCU; who reports on what we asked, on an association of its own, the SCP.
    context.scu_role, context.scp_role = True, True
    scp = CommitmentScp(database, archive, settings)
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_N_ACTION, scp.on_action),
        (evt.EVT_N_EVENT_REPORT, scp.on_report),
    ]
    return Extension(handlers, [context])


class CommitmentScp:
    """Records requests, and reports on the requester's own association.

    Parameters
    ----------
    database, archive
        Where requests are recorded, and what they ask about.
    settings
        See ``CommitmentSettings``.
    """

    def __init__(self, database: Database, archive: Archive, settings: CommitmentSettings) -> None:
        self.database = database
        self.archive = archive
        self.settings = settings
        self._dialogues: dict[Association, _Dialogue] = {}
        self._lock = threading.Lock()

    def on_action(self, event: evt.Event) -> tuple[Dataset, None]:
        """Answer one N-ACTION request.

        Returns
        -------
        tuple
            The response's status data set, and no action reply.

            * 0x0000: the request is recorded, and its report follows;
            * 0x0110: a fault of ours;
            * 0x0112, 0x0115, 0x0118, 0x0123: see ``read_action``;
            * 0x0213: the database refuses, or too many instances are named.
        """
        calling_ae = event.assoc.requestor.ae_title.strip()
        try:
            self._record(event)
        except ActionRefused as refused:
            status, reason = refused.status, str(refused)
        except SQLAlchemyError as error:
            # The texts of database errors carry statements and values: the type alone.
            status = ActionStatus.RESOURCE_LIMITATION
            reason = f"cannot record: {type(error).__name__}"
        except Exception as error:  # noqa: BLE001 - what is not foreseen must not pass unseen
            _log.error("commitment.trouble", error=where(error))
            status, reason = ActionStatus.PROCESSING_FAILURE, type(error).__name__
        else:
            return response(ActionStatus.SUCCESS), None
        _log.warning(
            "commitment.refused", status=f"{status:04X}", reason=reason, calling_ae=calling_ae
        )
        return response(status, reason), None

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        """Answer one N-EVENT-REPORT request, of a destination that was asked by the courier.

        Returns
        -------
        tuple
            The status, see ``take_report``, and no event reply.
        """
        reporter = event.assoc.requestor.ae_title.strip()
        return take_report(self.database, lambda: event.event_information, reporter), None

    def _record(self, event: evt.Event) -> None:
        asked = read_action(event)
        settings = self.settings
        lease = settings.patience_seconds + settings.answer_seconds + _LEASE_MARGIN_SECONDS
        with self.database.write() as connection:
            commitment_id = commitment.record(connection, asked)
            claimed = commitment.take(connection, commitment_id, settings.owner, lease)
        _log.info(
            "commitment.asked",
            commitment_id=commitment_id,
            transaction_uid=asked.transaction_uid,
            instances=len(asked.references),
            calling_ae=asked.calling_ae,
        )
        if claimed is not None:
            self._dialogue(event.assoc).add(claimed, event.context)

    def _dialogue(self, association: Association) -> _Dialogue:
        with self._lock:
            dialogue = self._dialogues.get(association)
            if dialogue is None:
                dialogue = _Dialogue(self, association)
                self._dialogues[association] = dialogue
                dialogue.start()
            return dialogue

    def forget(self, association: Association) -> None:
        """The association is over."""
        with self._lock:
            self._dialogues.pop(association, None)


class _Due(NamedTuple):
    """A report that is due on the association."""

    claimed: Claimed
    context: PresentationContextTuple
    moment: float  # monotonic; not before


class _Dialogue(threading.Thread):
    """Reports on one association, for as long as it is open.

    Not ``send_n_event_report``: it stops the association until the answer has come, and takes
    whatever comes meanwhile for that answer; but the requester may go on storing, or release.
    """

    def __init__(self, scp: CommitmentScp, association: Association) -> None:
        super().__init__(name="commitment", daemon=True)
        self._scp = scp
        self._association = association
        self._due: SimpleQueue[_Due] = SimpleQueue()
        self._answers: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self._message_id = 0
        association.bind(evt.EVT_DIMSE_RECV, self._on_message)

    def add(self, claimed: Claimed, context: PresentationContextTuple) -> None:
        """Report this one, when its moment has come."""
        moment = time.monotonic() + self._scp.settings.patience_seconds
        self._due.put(_Due(claimed, context, moment))

    def run(self) -> None:
        """Report until the association is over; what could not be reported is given back."""
        while self._open or not self._due.empty():
            try:
                due = self._due.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            try:
                self._serve(due)
            except LeaseLost:
                _log.warning("commitment.discarded", commitment_id=due.claimed.commitment_id)
            except Exception as error:  # noqa: BLE001 - the lease runs out, and the courier reports
                _log.error("commitment.trouble", error=where(error))
        self._scp.forget(self._association)

    @property
    def _open(self) -> bool:
        return bool(self._association.is_established)

    def _serve(self, due: _Due) -> None:
        while self._open and time.monotonic() < due.moment:
            time.sleep(_POLL_SECONDS)
        if not self._open:
            self._hand_over(due.claimed)
            return
        with self._scp.database.read() as connection:
            verdict = judge(connection, self._scp.archive, due.claimed)
        message_id = self._send(due.context, *report(due.claimed, verdict))
        status = self._answer(message_id)
        if status is not None and taken(status):
            with self._scp.database.write() as connection:
                commitment.reported(connection, due.claimed, verdict)
            _log.info(
                "commitment.reported",
                commitment_id=due.claimed.commitment_id,
                failed=sum(each is not None for each in verdict),
                calling_ae=due.claimed.calling_ae,
                association="same",
            )
        elif status is None:
            self._fail(due.claimed, "no answer to the report on the requester's association")
        else:
            self._fail(due.claimed, f"status {status:04X} for the report")

    def _hand_over(self, claimed: Claimed) -> None:
        """The requester has gone: leave the report to the courier, if it can know where to."""
        if claimed.calling_ae not in self._scp.settings.known_titles:
            self._bury(claimed, commitment.no_address(claimed.calling_ae))
            return
        with self._scp.database.write() as connection:
            commitment.give_back(connection, claimed)

    def _fail(self, claimed: Claimed, reason: str) -> None:
        if claimed.calling_ae not in self._scp.settings.known_titles:
            self._bury(claimed, f"{reason}; {commitment.no_address(claimed.calling_ae)}")
            return
        with self._scp.database.write() as connection:
            state = commitment.fail(connection, claimed, reason, self._scp.settings.retry)
        self._warn(claimed, state.value, reason)

    def _bury(self, claimed: Claimed, reason: str) -> None:
        with self._scp.database.write() as connection:
            commitment.bury(connection, claimed, reason)
        self._warn(claimed, "dead", reason)

    def _warn(self, claimed: Claimed, state: str, reason: str) -> None:
        _log.warning(
            f"commitment.{state}",
            commitment_id=claimed.commitment_id,
            calling_ae=claimed.calling_ae,
            reason=reason,
        )

    def _send(
        self, context: PresentationContextTuple, event_type: EventType, information: Dataset
    ) -> int:
        syntax = context.transfer_syntax
        encoded = encode(
            information, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated
        )
        assert encoded is not None  # we have built it from checked UIDs
        self._message_id = self._message_id % 0xFFFF + 1
        request = N_EVENT_REPORT()
        request.MessageID = self._message_id
        request.AffectedSOPClassUID = PUSH_MODEL
        request.AffectedSOPInstanceUID = PUSH_MODEL_INSTANCE
        request.EventTypeID = int(event_type)
        request.EventInformation = BytesIO(encoded)
        with _paused(self._association):
            self._association.dimse.send_msg(request, context.context_id)
        return self._message_id

    def _answer(self, message_id: int) -> int | None:
        """Status of the N-EVENT-REPORT response; None if none came in time."""
        deadline = time.monotonic() + self._scp.settings.answer_seconds
        while time.monotonic() < deadline:
            try:
                answered, status = self._answers.get(timeout=_POLL_SECONDS)
            except Empty:
                if not self._open and self._answers.empty():
                    return None
                continue
            if answered == message_id:
                return status
        return None

    def _on_message(self, event: evt.Event) -> None:
        # The association's own loop throws responses away that it does not wait for.
        if isinstance(event.message, N_EVENT_REPORT_RSP):
            command = event.message.command_set
            self._answers.put((int(command.MessageIDBeingRespondedTo), int(command.Status)))


@contextmanager
def _paused(association: Association) -> Iterator[None]:
    """Hold the association's loop while a message is sent, so that no other runs into it.

    As pynetdicom's own ``send_*`` methods do; it may be serving a request, so wait not for ever.
    """
    association._reactor_checkpoint.clear()
    try:
        deadline = time.monotonic() + _PAUSE_SECONDS
        while not association._is_paused and time.monotonic() < deadline:
            time.sleep(0.001)
        yield
    finally:
        association._reactor_checkpoint.set()
