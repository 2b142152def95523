"""A storage SCP of stock pynetdicom behind the gate, and behind TLS where it is given some."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    MRImageStorage,
    StorageCommitmentPushModel,
    Verification,
)
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from scp.access import Admitted, Gate
from scp.admission import GuardedACSE
from scp.tls import HandshakeFailed, accept

HANDSHAKE_SECONDS = 3.0
_END_SECONDS = 2.0  # in which a peer that was rejected closes its connection


class Guarded:
    """What was let in, what was not, and what came."""

    def __init__(self, gate: Gate, tls: ssl.SSLContext | None = None) -> None:
        self.gate = gate
        self.tls = tls
        self.port = 0
        self.associations: list[Association] = []
        self.rejected = 0
        self.stored = 0
        self.handshakes: list[str] = []
        self.ae = AE("WETREAD")
        self.ae.acse_timeout = 2.0  # one that never asks is not waited for
        for each in (Verification, StorageCommitmentPushModel, CTImageStorage, MRImageStorage):
            self.ae.add_supported_context(each)

    def admitted(self) -> list[Admitted | None]:
        """What each association was let in with."""
        return [cast(Any, each).__dict__.get("admitted") for each in self.associations]

    def is_over(self) -> bool:
        """Whether there was an association, and none goes on."""
        ended = [each.ident is not None and not each.is_alive() for each in self.associations]
        return bool(ended) and all(ended)

    def _on_store(self, _event: evt.Event) -> int:
        self.stored += 1
        return 0

    def _on_rejected(self, _event: evt.Event) -> None:
        self.rejected += 1

    @contextmanager
    def running(self) -> Iterator[Guarded]:
        """Listen."""
        guarded = self

        class Handler(RequestHandler):
            def handle(self) -> None:
                if guarded.tls is not None:
                    try:
                        connection = cast(socket.socket, self.request)
                        self.request = accept(connection, guarded.tls, HANDSHAKE_SECONDS)
                    except HandshakeFailed as failed:
                        guarded.handshakes.append(str(failed))
                        return
                super().handle()

            def _create_association(self) -> Association:
                association = super()._create_association()
                association.acse = GuardedACSE(association, guarded.gate)
                guarded.associations.append(association)
                return association

        server = self.ae.make_server(
            ("127.0.0.1", 0),
            evt_handlers=[(evt.EVT_C_STORE, self._on_store), (evt.EVT_REJECTED, self._on_rejected)],
            server_class=_Server,
            request_handler=Handler,
        )
        self.ae._servers.append(server)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.port = int(server.server_address[1])
        try:
            yield self
        finally:
            for each in self.associations:
                if each.is_rejected:  # one whose peer is about to close must not be aborted
                    each.join(_END_SECONDS)
            self.ae.shutdown()
            thread.join()


class _Server(ThreadedAssociationServer):
    daemon_threads = True

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread each, before any byte is read."""
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        thread.start()
