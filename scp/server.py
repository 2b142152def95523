"""Starts and stops the listener."""

from __future__ import annotations

import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Self, cast

import structlog
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext
from sqlalchemy.exc import SQLAlchemyError

from db import studies
from db.archive import Archive
from db.engine import Database
from db.errors import where
from dimse.command import COMMENT_LIMIT, StoreRequest
from dimse.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from scp.access import Gate
from scp.admission import GuardedACSE, caller_of
from scp.contexts import accepted_contexts
from scp.observer import TOO_MANY, Observer, Unobserved
from scp.settings import ReceiverSettings
from scp.store import Context, Session, Store
from scp.upper_layer import ReceivingServer, ServingAssociation

_log = structlog.get_logger(__name__)
_DRAIN_SECONDS = 10.0
_POLL_SECONDS = 0.2  # how soon the listener notices that it is to stop


class ListenError(Exception):
    """The address is taken or not ours; the message names it."""


class Receiver:
    """A C-ECHO and C-STORE SCP.

    Parameters
    ----------
    settings
        Who we are and where we listen.
    database, archive
        Where rows and files go.
    gate
        Decides who may come in; None lets all in that call us by our name.
    tls
        Makes connections secure; None for plain TCP.
    observer
        Is told of associations and instances.
    contexts
        Presentation contexts accepted besides Verification and Storage.
    handlers
        pynetdicom event handlers for what is neither C-ECHO nor C-STORE.
    room
        Says whether the disk has room for another data set; None for always.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        database: Database,
        archive: Archive,
        *,
        gate: Gate | None = None,
        tls: ssl.SSLContext | None = None,
        observer: Observer | None = None,
        contexts: Sequence[PresentationContext] = (),
        handlers: Sequence[evt.EventHandlerType] = (),
        room: Callable[[], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._observer = observer or Unobserved()
        self._store = Store(database, archive, settings, self._observer, room)
        self._gate = gate
        self._tls = tls
        self._contexts = (*accepted_contexts(), *contexts)
        self._handlers = handlers
        self._ae = _application_entity(settings)
        self._server: ReceivingServer | None = None
        self._listening: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        if self._server is None:
            raise ListenError("the receiver is not started")
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen; associations are served in threads of their own.

        Raises
        ------
        ListenError
            The port is taken, or the host is no address of this machine.
        """
        address = (self._settings.host, self._settings.port)
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_CONN_OPEN, self._on_connected),
            (evt.EVT_ESTABLISHED, self._on_established),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_RELEASED, self._on_released),
            (evt.EVT_ABORTED, self._on_aborted),
            (evt.EVT_REJECTED, self._on_rejected),
            *self._handlers,
        ]
        try:
            self._server = ReceivingServer(
                self._ae,
                address,
                self._contexts,
                handlers,
                settings=self._settings,
                store=self._store,
                gate=self._gate,
                tls=self._tls,
                turned_away=self._on_turned_away,
            )
        except OSError as error:
            raise ListenError(
                f"cannot listen on {address[0]}:{address[1]}: {error.strerror}; "
                "change [node] host or port, or stop what uses it"
            ) from error
        self._ae._servers.append(self._server)  # as AE.start_server does, for its shutdown
        self._listening = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True
        )
        self._listening.start()
        _log.info("receiver.listening", ae_title=self._settings.ae_title, port=self.port)

    def stop(self) -> None:
        """Stop listening, let open associations end for a while, then abort them."""
        if self._server is None:
            return
        self._server.shutdown()
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self._in_use(self._server) and time.monotonic() < deadline:
            time.sleep(0.05)
        self._ae.shutdown()
        self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _on_connected(self, event: evt.Event) -> None:
        # pynetdicom's own timers do not run while it waits for the rest of a PDU: a peer that
        # went silent there would hold its place for ever.
        transport = event.assoc.dul.socket
        if transport is not None and transport.socket is not None:
            transport.socket.settimeout(self._settings.network_timeout_seconds)

    def _on_established(self, event: evt.Event) -> None:
        assoc = _serving(event)
        self._tell(lambda: self._observer.accepted(caller_of(assoc), assoc.admitted))

    def _on_store(self, event: evt.Event) -> Dataset:
        """Answer a C-STORE request that pynetdicom has read; see ``Store.begin`` for the statuses.

        Only what a peer sends while a query of its own is being answered comes this way.
        """
        assoc, request = _serving(event), cast(C_STORE, event.request)
        data_set = request.DataSet or BytesIO()
        reception = self._store.begin(
            StoreRequest(
                message_id=int(request.MessageID or 0),
                sop_class_uid=str(request.AffectedSOPClassUID),
                sop_instance_uid=str(request.AffectedSOPInstanceUID),
                has_data_set=request.DataSet is not None,
            ),
            Context(str(event.context.abstract_syntax), event.context.transfer_syntax),
            assoc.opened_session(),
        )
        reception.write([data_set.getvalue()])
        answer = reception.finish()
        reception.discard()
        status = Dataset()
        status.Status = int(answer.status)
        if answer.comment:
            status.ErrorComment = answer.comment[:COMMENT_LIMIT]
        return status

    def _on_released(self, event: evt.Event) -> None:
        session = _serving(event).session
        _log_end("association.released", session)
        if session is None or not session.study_uids or not self._settings.release_seconds:
            return
        try:
            with self._database.write() as connection:
                studies.release(connection, session.study_uids, self._settings.release_seconds)
        except SQLAlchemyError as error:
            # Not lost: the studies are due by their quiet time.
            _log.warning("association.release_not_recorded", error=type(error).__name__)

    def _on_aborted(self, event: evt.Event) -> None:
        _log_end("association.aborted", _serving(event).session)

    def _on_rejected(self, event: evt.Event) -> None:
        assoc = _serving(event)
        caller = caller_of(assoc)
        by_gate = assoc.acse.rejected if isinstance(assoc.acse, GuardedACSE) else None
        if by_gate is None:  # else it is logged already
            _log.warning(
                "association.rejected",
                calling_ae=caller.calling_ae,
                called_ae=caller.called_ae,
                address=caller.address,
            )
        # A gate judges the called AE title, too; without one the stock negotiation does.
        by_stock = TOO_MANY if self._gate else "another AE title was called, or too many"
        reason = by_gate.reason if by_gate else by_stock
        self._tell(lambda: self._observer.rejected(caller, reason))

    def _on_turned_away(self, address: str, reason: str) -> None:
        self._tell(lambda: self._observer.turned_away(address, reason))

    def _tell(self, event: Callable[[], None]) -> None:
        try:
            event()
        except Exception as error:  # noqa: BLE001 - an observer must not cost an association
            _log.error("observer.trouble", error=where(error))

    @staticmethod
    def _in_use(server: ReceivingServer) -> bool:
        """Whether a peer may still be sending; a connection that got no further does not count."""
        return any(each.is_established for each in server.active_associations)


def _serving(event: evt.Event) -> ServingAssociation:
    return cast(ServingAssociation, event.assoc)


def _log_end(event: str, session: Session | None) -> None:
    """Say what an association brought; nothing of one that brought nothing."""
    if session is not None and (session.stored or session.refused):
        _log.info(
            event,
            stored=session.stored,
            refused=session.refused,
            studies=len(session.study_uids),
            calling_ae=session.caller.calling_ae,
        )


def _application_entity(settings: ReceiverSettings) -> AE:
    ae = AE(ae_title=settings.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.require_called_aet = True
    # pynetdicom would count connections that never asked for an association; see ``Presence``.
    ae.maximum_associations = sys.maxsize
    ae.maximum_pdu_size = settings.maximum_pdu_size
    ae.network_timeout = settings.network_timeout_seconds
    return ae
