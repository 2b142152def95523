"""Starts and stops the listener."""

from __future__ import annotations

import threading
import time
from io import BytesIO
from typing import Self, cast

import structlog
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.transport import ThreadedAssociationServer
from sqlalchemy.exc import SQLAlchemyError

from db import studies
from db.archive import Archive
from db.engine import Database
from db.errors import where
from scp.contexts import accepted_contexts
from scp.settings import ReceiverSettings
from scp.status import StoreStatus, response
from scp.store import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION,
    Received,
    Store,
)

_log = structlog.get_logger(__name__)
_DRAIN_SECONDS = 10.0


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
    """

    def __init__(self, settings: ReceiverSettings, database: Database, archive: Archive) -> None:
        self._settings = settings
        self._database = database
        self._store = Store(database, archive, settings)
        self._sent: dict[Association, set[str]] = {}
        self._lock = threading.Lock()
        self._ae = _application_entity(settings)
        self._server: ThreadedAssociationServer | None = None

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
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_RELEASED, self._on_released),
            (evt.EVT_ABORTED, self._on_lost),
            (evt.EVT_CONN_CLOSE, self._on_lost),
            (evt.EVT_REJECTED, self._on_rejected),
        ]
        try:
            self._server = self._ae.start_server(address, block=False, evt_handlers=handlers)
        except OSError as error:
            raise ListenError(
                f"cannot listen on {address[0]}:{address[1]}: {error.strerror}; "
                "change [node] host or port, or stop what uses it"
            ) from error
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

    def _on_store(self, event: evt.Event) -> Dataset:
        """Answer one C-STORE request; see ``Store.store`` for the statuses.

        A fault of ours is answered with 0x0110 and logged; the association goes on.
        """
        try:
            status, study_uid = self._store.store(_received(event))
        except Exception as error:  # noqa: BLE001 - what is not foreseen must not pass unseen
            _log.error("store.trouble", error=where(error))
            return response(StoreStatus.PROCESSING_FAILURE, type(error).__name__)
        if study_uid is not None:
            with self._lock:
                self._sent.setdefault(event.assoc, set()).add(study_uid)
        return status

    def _on_released(self, event: evt.Event) -> None:
        study_uids = self._forget(event)
        if not study_uids or not self._settings.release_seconds:
            return
        try:
            with self._database.write() as connection:
                studies.release(connection, study_uids, self._settings.release_seconds)
        except SQLAlchemyError as error:
            # Not lost: the studies are due by their quiet time.
            _log.warning("association.release_not_recorded", error=type(error).__name__)

    def _on_lost(self, event: evt.Event) -> None:
        self._forget(event)

    def _on_rejected(self, event: evt.Event) -> None:
        _log.warning(
            "association.rejected",
            calling_ae=event.assoc.requestor.ae_title.strip(),
            called_ae=_called_ae(event),
            address=event.assoc.requestor.address,
        )

    @staticmethod
    def _in_use(server: ThreadedAssociationServer) -> bool:
        """Whether a peer may still be sending; a connection that got no further does not count."""
        return any(each.is_established for each in server.active_associations)

    def _forget(self, event: evt.Event) -> set[str]:
        with self._lock:
            return self._sent.pop(event.assoc, set())


def _called_ae(event: evt.Event) -> str:
    request = event.assoc.requestor.primitive
    return str(getattr(request, "called_ae_title", "") or "").strip()


def _received(event: evt.Event) -> Received:
    request = cast(C_STORE, event.request)
    return Received(
        sop_class_uid=str(request.AffectedSOPClassUID),
        sop_instance_uid=str(request.AffectedSOPInstanceUID),
        transfer_syntax=event.context.transfer_syntax,
        calling_ae=event.assoc.requestor.ae_title.strip(),
        data_set=request.DataSet or BytesIO(),
    )


def _application_entity(settings: ReceiverSettings) -> AE:
    ae = AE(ae_title=settings.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.require_called_aet = True
    ae.maximum_associations = settings.maximum_associations
    ae.maximum_pdu_size = settings.maximum_pdu_size
    ae.network_timeout = settings.network_timeout_seconds
    ae.supported_contexts = list(accepted_contexts())
    return ae
