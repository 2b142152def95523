"""Where pynetdicom ends and our own reading begins.

pynetdicom negotiates associations and runs the upper layer's state machine (PS3.8 section 9.2).
Once an association stands, its upper-layer thread (DUL) parks and the association's thread owns the
socket: ``scp.association`` reads it. Whatever is neither C-STORE nor C-ECHO is pushed back, the DUL
thread goes on, and parks again when that is served.

pynetdicom has no public seam there, so the classes below lean on private names of 3.0. They are all
in this file, and ``tests/network/test_upper_layer.py`` fails where one of them moves.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import structlog
from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE, DimseServiceType
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from db.errors import where
from dimse.command import MalformedCommand
from dimse.pdata import HEADER_BYTES, MalformedPDU
from dimse.transport import CONNECTION_CLOSED, PushBackSocket
from scp.access import Admitted, Gate
from scp.admission import GuardedACSE, caller_of
from scp.association import Exchange
from scp.ending import EndingDUL
from scp.gate import PeerGate
from scp.line import Interrupted, Limits, Line, PeerGone, PeerTooSlow
from scp.presence import Lobby, Presence
from scp.settings import ReceiverSettings
from scp.store import Context, Session, Store
from scp.tls import HandshakeFailed, accept

_log = structlog.get_logger(__name__)

# PS3.8 tables 9-2 to 9-5: awaiting the A-ASSOCIATE-RQ, ready for data transfer, awaiting the end of
# the connection.
_UNHEARD, _ESTABLISHED, _ENDING = "Sta2", "Sta6", "Sta13"
_INVALID_PDU = "Evt19"  # PS3.8 table 9-10
_DUL_DELAY_SECONDS = 0.0005  # pynetdicom's thread polls while it is not parked
_UNHEARD_SECONDS = 0.1  # how late its timers, and a wish to stop, may be noticed
_PARK_SECONDS = 0.05
_HANDSHAKE_SECONDS = 30.0
_LONGEST_OTHER_MESSAGE = 64 * 1024 * 1024  # bytes that pynetdicom may keep until its end
_CONNECTIONS_PER_ASSOCIATION = 2  # that are none yet; more are closed: threads are not free
_CANCELLABLE = (C_FIND, C_GET, C_MOVE)  # PS3.7 section 9.3.2.3


class ParkingDUL(EndingDUL):
    """The upper-layer thread, which stands still while the association's thread has the socket."""

    def __init__(self, assoc: ServingAssociation) -> None:
        super().__init__(assoc)
        self._run_loop_delay = _DUL_DELAY_SECONDS
        self._turn = threading.Condition()
        self._wanted = True  # from the start: the first data set follows the acceptance at once
        self._parked = False
        # While a request is served that cannot be cancelled, the next one is left unread, so that
        # a large data set does not end up in pynetdicom's memory.
        self.serving = False

    def park(self) -> bool:
        """Ask the thread to stand still; False if it has something to do."""
        with self._turn:
            self._wanted = True
            if self._turn.wait_for(lambda: self._parked, _PARK_SECONDS):
                self.serving = False
                return True
            self._wanted = False
            return False

    def resume(self) -> None:
        """Let the thread go on."""
        with self._turn:
            self._wanted = False
            # Said here and not by the thread when it wakes: whoever asks it to park again before
            # that must wait until it has looked at what it was given back.
            self._parked = False
            self._turn.notify_all()
        self._idle_timer.restart()  # it ran on, but the peer was not idle

    def _is_transport_event(self) -> bool:
        transport = cast(PushBackSocket, self.socket)
        if (
            self.state_machine.current_state == _UNHEARD
            # Nobody has anything to send yet: wait, where pynetdicom looks every half millisecond.
            and not transport.is_ready_within(_UNHEARD_SECONDS)
        ):
            return False
        if self.state_machine.current_state == _ENDING and transport.discard_waiting():
            return False  # not True: the next turn must see the ARTIM timer
        with self._turn:
            if self._wanted and self._nothing_to_do():
                self._parked = True
                self._turn.notify_all()
                self._turn.wait_for(lambda: not self._parked)
                return False
        if self.serving and self._may_wait():
            return False
        return super()._is_transport_event()

    def _may_wait(self) -> bool:
        """Whether nobody needs what the peer sends next."""
        half_read = self.assoc.dimse.message is not None
        # Once it is aborted, what comes is the end of the connection.
        stands = self.state_machine.current_state == _ESTABLISHED
        return stands and not half_read and self.assoc._reactor_checkpoint.is_set()

    def _nothing_to_do(self) -> bool:
        dimse = self.assoc.dimse
        return (
            self.state_machine.current_state == _ESTABLISHED
            and not cast(PushBackSocket, self.socket).holds
            and self.event_queue.empty()
            and self.to_provider_queue.empty()
            and self.to_user_queue.empty()
            and dimse.message is None
            and dimse.msg_queue.empty()
        )


class ServingDIMSE(DIMSEServiceProvider):
    """Serves C-STORE and C-ECHO where pynetdicom would look whether a message has come."""

    _taken = 0  # bytes of the message under way, with the headers of its PDVs

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self._sending = threading.Lock()

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send a message, none of whose fragments mix with another's.

        A commitment report comes from a thread of its own, while this one may answer.
        """
        with self._sending:
            super().send_msg(primitive, context_id)

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take a piece of a message, unless it becomes too long."""
        pieces = primitive.presentation_data_value_list
        self._taken += sum(HEADER_BYTES + len(data) for _, data in pieces)
        if self._taken > _LONGEST_OTHER_MESSAGE:
            reason = f"a message of over {_LONGEST_OTHER_MESSAGE} bytes"
            calling_ae = self.assoc.requestor.ae_title.strip()
            _log.warning("association.malformed", reason=reason, calling_ae=calling_ae)
            self.dul.event_queue.put(_INVALID_PDU)
            return
        super().receive_primitive(primitive)
        if self.message is None:
            self._taken = 0

    def get_msg(self, block: bool = False) -> Any:
        """Next message that pynetdicom is to serve, if there is one by now."""
        assoc = self.assoc
        if (
            not block
            and self.msg_queue.empty()
            and isinstance(assoc, ServingAssociation)
            and threading.current_thread() is assoc
            and not assoc.wanted_elsewhere
        ):
            assoc.serve()
        return super().get_msg(block)


class ServingAssociation(Association):
    """An association whose own thread receives.

    Attributes
    ----------
    admitted
        What the peer may; whoever asks the gate during negotiation sets it.
    session
        What it has sent; None before its first message.
    """

    def __init__(self, ae: ApplicationEntity, server: ReceivingServer) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self._server = server
        self.receiving = server
        self.admitted = Admitted()
        self.session: Session | None = None
        self.acse = GuardedACSE(self, server.gate, server.room)
        self.dul = ParkingDUL(self)
        self.dimse = ServingDIMSE(self)
        # They live in the DUL's timers, which are new.
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout

    @property
    def may_yet_stand(self) -> bool:
        """Whether it does not stand yet, and has not ended either."""
        ended = self.ident is not None and not self.is_alive()
        return not self.is_established and not ended

    @property
    def wanted_elsewhere(self) -> bool:
        """Whether pynetdicom has something to do: abort, release, or send for another thread."""
        return (
            self._kill
            or not self.is_established
            or self._sent_abort
            or self._sent_release
            or not self._reactor_checkpoint.is_set()
            or not self.dul.to_provider_queue.empty()
            or not self.dul.is_alive()
        )

    def serve(self) -> None:
        """Receive until pynetdicom is needed."""
        dul = cast(ParkingDUL, self.dul)
        transport = cast(PushBackSocket, dul.socket)
        if not dul.park():
            return
        try:
            self._serve(transport)
        finally:
            dul.resume()

    def opened_session(self) -> Session:
        """Who sends, from the first message on."""
        if self.session is None:
            self.session = Session(caller_of(self), self.admitted)
        return self.session

    def kill(self) -> None:
        """End both threads."""
        self._kill = True  # before the DUL goes on, or it might be parked again
        cast(ParkingDUL, self.dul).resume()
        super().kill()

    def _serve(self, transport: PushBackSocket) -> None:
        connection = transport.socket
        if connection is None:
            return
        settings = self.receiving.settings
        line = Line(
            connection,
            Limits(
                silence_seconds=settings.network_timeout_seconds,
                floor_bytes_per_second=settings.floor_bytes_per_second,
                bytes_per_second=self.admitted.bytes_per_second,
            ),
            self._interrupts,
        )
        try:
            transport.push_back(self._exchange(line).serve())
        except PeerGone as error:
            _log.info("association.lost", reason=str(error), **self._named())
            self.dul.event_queue.put(CONNECTION_CLOSED)
        except PeerTooSlow as error:
            _log.warning("association.too_slow", reason=str(error), **self._named())
            self._abort_now()
        except (MalformedPDU, MalformedCommand) as error:
            _log.warning("association.malformed", reason=str(error), **self._named())
            self.dul.event_queue.put(_INVALID_PDU)
        except Interrupted:
            pass
        except Exception as error:  # noqa: BLE001 - one association must not leave threads behind
            _log.error("association.trouble", error=where(error), **self._named())
            self._abort_now()
        finally:
            with contextlib.suppress(OSError):
                line.release(self.network_timeout)

    def _exchange(self, line: Line) -> Exchange:
        contexts = {
            context_id: Context(str(each.abstract_syntax), each.transfer_syntax[0])
            for context_id, each in self._accepted_cx.items()
        }
        return Exchange(
            line,
            contexts,
            self.receiving.store,
            self.opened_session(),
            maximum_length=self.acceptor.maximum_length or 0,
            peer_maximum_length=self.requestor.maximum_length or 0,
        )

    def _interrupts(self, in_message: bool) -> bool:
        if in_message:  # others wait for its end, unless the association is to end
            return self._kill or self._sent_abort or not self.dul.is_alive()
        return self.wanted_elsewhere

    def _abort_now(self) -> None:
        """Let pynetdicom's loop abort, as it does when its own timer runs out."""
        cast(ParkingDUL, self.dul).resume()
        self.abort()

    def _named(self) -> dict[str, str]:
        return {"calling_ae": self.requestor.ae_title.strip()}

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        dul = cast(ParkingDUL, self.dul)
        dul.serving = not isinstance(msg, _CANCELLABLE)
        super()._serve_request(msg, context_id)
        if cast(PushBackSocket, dul.socket).holds:
            dul.serving = False  # it must read what it was given back before it can park


class ReceivingHandler(RequestHandler):
    """Makes the association of a connection."""

    server: ReceivingServer

    def _create_association(self) -> ServingAssociation:
        """As pynetdicom does, with our classes and without copying the contexts."""
        server, ae = self.server, self.ae
        assoc = ServingAssociation(ae, server)
        assoc.name = f"AcceptorThread@{time.time():.0f}"  # pynetdicom finds its threads by it
        assoc.set_socket(PushBackSocket(assoc, client_socket=self.request))
        acceptor = assoc.acceptor
        acceptor.maximum_length = ae.maximum_pdu_size
        acceptor.ae_title = server.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = ae.implementation_class_uid
        acceptor.implementation_version_name = ae.implementation_version_name
        # Negotiation only reads them; pynetdicom's copy takes 36 ms of each association.
        acceptor.supported_contexts = server.contexts
        assoc.requestor.address_info = self.remote
        for event in server.get_events():
            bound: Any = server.get_handlers(event)
            if isinstance(event, evt.NotificationEvent):
                for handler, arguments in bound:
                    assoc.bind(event, handler, arguments)
            elif bound:
                assoc.bind(event, *bound)
        server.lobby.follow(self.client_address, lambda: assoc.may_yet_stand)
        return assoc


class ReceivingServer(ThreadedAssociationServer):
    """Accepts connections; TLS handshakes and all that follows run in the connections' threads.

    Parameters
    ----------
    ae, address, contexts, handlers
        As pynetdicom takes them.
    settings
        Limits.
    store
        Where data sets go.
    gate
        Decides who may come in; None lets all in.
    tls
        Makes connections secure; None for plain TCP.
    turned_away
        Is told of the address and the reason of each connection that is closed unheard.
    """

    daemon_threads = True  # a stopped receiver does not wait for handshakes
    request_queue_size = 128

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int],
        contexts: Sequence[Any],
        handlers: Sequence[evt.EventHandlerType],
        *,
        settings: ReceiverSettings,
        store: Store,
        gate: Gate | None,
        tls: ssl.SSLContext | None,
        turned_away: Callable[[str, str], None],
    ) -> None:
        self.settings = settings
        self.turned_away = turned_away
        self.store = store
        self.gate = gate or PeerGate(ae.ae_title)
        most = settings.maximum_associations
        self.room = Presence(most)
        self.lobby = Lobby(_CONNECTIONS_PER_ASSOCIATION * most, most)
        super().__init__(
            ae,
            address,
            ae.ae_title,
            list(contexts),
            ssl_context=tls,
            evt_handlers=list(handlers),
            request_handler=ReceivingHandler,
        )

    def server_bind(self) -> None:
        """Bind, beside other receivers on this port if the settings say so."""
        if self.settings.share_port:
            assert self.socket is not None
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection, and no more than that: a peer may never finish its handshake."""
        assert self.socket is not None
        connection, address = self.socket.accept()
        # Before TLS: session tickets and the acceptance would wait for each other.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether it may be a peer's, and there is room for another that has asked for nothing."""
        address = str(client_address[0])
        if not self.gate.may_connect(address):
            self._turn_away(address, "no peer has this address")
            return False
        if not self.lobby.enter(client_address):
            self._turn_away(address, "too many connections that ask for nothing")
            return False
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own."""
        try:
            super().process_request(request, client_address)
        except Exception:  # there can be no further thread
            self.lobby.leave(client_address)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Make an association of a connection, which then has a thread itself."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.lobby.leave(client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Do the TLS handshake, then begin the association; in the connection's own thread."""
        context = self.ssl_context
        if context is not None:
            try:
                request = accept(request, context, self.ae.acse_timeout or _HANDSHAKE_SECONDS)
            except HandshakeFailed as failed:
                self._turn_away(str(client_address[0]), str(failed))
                return
            request.settimeout(None)
        super().finish_request(request, client_address)

    def _turn_away(self, address: str, reason: str) -> None:
        _log.warning("connection.refused", address=address, reason=reason)
        self.turned_away(address, reason)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong before there was an association."""
        error = sys.exc_info()[1]
        assert error is not None
        _log.warning("connection.failed", address=client_address[0], error=where(error))
