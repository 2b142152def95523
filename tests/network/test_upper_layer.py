"""What ``scp/upper_layer.py`` leans on in pynetdicom. Where one fails, read that file anew."""

from __future__ import annotations

import inspect
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pynetdicom
import pytest
from pynetdicom import AE, evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

from dimse.command import message_id, parse
from scp.upper_layer import ServingDIMSE


def source(item: object) -> str:
    return inspect.getsource(item)  # type: ignore[arg-type]


def test_the_release_that_was_read() -> None:
    assert re.match(r"3\.0\.", pynetdicom.__version__)


@pytest.mark.parametrize(
    "name",
    [
        "_kill",
        "_sent_abort",
        "_sent_release",
        "_reactor_checkpoint",
        "_accepted_cx",
        "_server",
        "acse",
        "dimse",
        "dul",
    ],
)
def test_an_association_has(name: str) -> None:
    assert hasattr(Association(AE(), MODE_ACCEPTOR), name)


@pytest.mark.parametrize(
    "name",
    [
        "_idle_timer",
        "_run_loop_delay",
        "event_queue",
        "to_provider_queue",
        "to_user_queue",
        "state_machine",
    ],
)
def test_an_upper_layer_has(name: str) -> None:
    assert hasattr(DULServiceProvider(Association(AE(), MODE_ACCEPTOR)), name)


def test_the_thread_asks_for_bytes_only_when_it_has_nothing_to_send() -> None:
    loop = source(DULServiceProvider.run_reactor)
    assert loop.index("self._process_recv_primitive()") < loop.index("self._is_transport_event()")
    assert "elif self._is_transport_event()" in loop


def test_the_association_looks_for_messages_without_blocking_and_then_at_its_state() -> None:
    loop = source(Association._run_reactor)
    order = [
        "self._reactor_checkpoint.wait()",
        "self.dimse.get_msg(block=False)",
        "self._serve_request(msg",
        "self.acse.is_release_requested()",
        "self.acse.is_aborted()",
        "self.dul.idle_timer_expired()",
    ]
    places = [loop.index(each) for each in order]
    assert places == sorted(places)


def test_the_association_is_paused_while_it_serves() -> None:
    assert "self._is_paused = True\n            service_class.SCP(" in source(
        Association._serve_request
    )


def test_messages_are_put_together_where_we_look() -> None:
    receive = source(DIMSEServiceProvider.receive_primitive)
    assert "self.message is None" in receive
    assert "self.msg_queue.put(" in receive
    assert "block: bool = False" in source(DIMSEServiceProvider.get_msg)


def test_messages_of_two_threads_do_not_mix() -> None:
    """A report that goes out beside an answer, to a peer that takes but short PDUs."""

    class SlowDUL(DULServiceProvider):
        def send_pdu(self, primitive: object) -> None:
            assert isinstance(primitive, P_DATA)
            sent.extend(data for _, data in primitive.presentation_data_value_list)
            time.sleep(0.001)

    sent: list[bytes] = []
    association = Association(AE(), MODE_ACCEPTOR)
    association.requestor.maximum_length = 40
    association.dul = SlowDUL(association)
    dimse = ServingDIMSE(association)

    def report(number: int) -> None:
        message = N_EVENT_REPORT()
        message.MessageID = number
        message.AffectedSOPClassUID = "1.2.840.10008.1.20.1"
        message.AffectedSOPInstanceUID = "1.2.840.10008.1.20.1.1"
        message.EventTypeID = 1
        dimse.send_msg(message, 1)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(report, range(1, 21)))
    received, command = [], b""
    for fragment in sent:
        command += fragment[1:]
        if fragment[0] & 0x02:  # the last of a message (PS3.8 Annex E.2)
            received.append(message_id(parse(command)))
            command = b""
    assert len(sent) > 2 * len(received)
    assert sorted(received) == list(range(1, 21))


def test_the_events_mean_what_we_raise() -> None:
    assert TRANSITION_TABLE["Evt17", "Sta6"] == "AA-4"  # connection closed: tell the user
    assert TRANSITION_TABLE["Evt19", "Sta6"] == "AA-8"  # invalid PDU: abort


def test_an_association_is_made_as_we_make_it() -> None:
    """Our handler is a copy but for the classes and the contexts."""
    stock = source(RequestHandler._create_association)
    for line in (
        "assoc = Association(self.ae, MODE_ACCEPTOR)",
        "assoc._server = self.server",
        "AcceptorThread@",
        "AssociationSocket(assoc, client_socket=self.request)",
        "assoc.acceptor.maximum_length = self.ae.maximum_pdu_size",
        "assoc.acceptor.ae_title = self.server.ae_title",
        "assoc.acceptor.address_info = self.local",
        "assoc.acceptor.implementation_class_uid",
        "assoc.acceptor.implementation_version_name",
        "assoc.acceptor.supported_contexts = deepcopy(self.server.contexts)",
        "assoc.requestor.address_info = self.remote",
        "assoc.bind(event, *self.server._handlers[event])",
        "assoc.bind(event, handler[0], handler[1])",
    ):
        assert line in stock
    assert len(re.findall(r"^\s+assoc\.", stock, re.MULTILINE)) == 12  # and no other


def test_a_socket_reads_where_we_override() -> None:
    reading = source(DULServiceProvider._read_pdu_data)
    assert len(re.findall(r"self\.socket\.recv\(", reading)) == 2
    assert "_is_connected" in source(AssociationSocket.__init__)


def test_the_server_takes_what_we_give_it() -> None:
    parameters = list(inspect.signature(AssociationServer.__init__).parameters)
    assert parameters[1:] == [
        "ae",
        "address",
        "ae_title",
        "contexts",
        "ssl_context",
        "evt_handlers",
        "request_handler",
    ]
    assert "self.ae._servers.remove" in source(AssociationServer.shutdown)
    assert 'if "AcceptorThread" in tt.name' in source(AssociationServer)


def test_intervention_handlers_are_pairs() -> None:
    assert evt.EVT_C_STORE.is_intervention
    assert isinstance(evt.EVT_RELEASED, evt.NotificationEvent)
