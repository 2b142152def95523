"""Audit messages over TLS: to whom, in what form, and what happens while the server is away."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit import shipper
from audit.events import Peer
from audit.shipper import SyslogSink
from audit.spool import Spool
from audit.syslog import Header, Server
from tests.auditschema import alert, checked, event, outcome
from tests.auditserver import AuditServer, wait_until
from tests.certificates import Authority
from wetread.config import Settings
from wetread.sections import AuditSection
from wetread.trails import role_trail

AT = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = Header(host="node one", application="wetread", process="receive-17")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if not Authority.installed():
        pytest.skip("openssl is not installed")
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(authority: Authority) -> AuditServer:
    return AuditServer(authority.issue("audit"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper, "_FIRST_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(shipper, "_LONGEST_WAIT_SECONDS", 0.2)


def spool_of(folder: Path, limit: int = 10**6, seconds: float = 3600.0) -> Spool:
    return Spool(folder / "spool", limit, seconds)


@contextmanager
def sending(
    spool: Spool, server: AuditServer, authority: Authority, host: str = "localhost"
) -> Iterator[SyslogSink]:
    sink = sink_of(spool, server, authority, host)
    sink.start()
    try:
        yield sink
    finally:
        sink.close()


def sink_of(
    spool: Spool, server: AuditServer, authority: Authority, host: str = "localhost"
) -> SyslogSink:
    where = Server(host=host, port=server.port, ca=Path(authority.certificate))
    return SyslogSink(HEADER, spool, where, lambda count: HEADER.line(f"<lost n='{count}'/>", AT))


def test_a_message_arrives_in_the_form_of_the_standard(
    server: AuditServer, authority: Authority, tmp_path: Path
) -> None:
    with server, sending(spool_of(tmp_path), server, authority) as sink:
        sink.write("<a>\u00fc\U0001f600</a>", AT)
        server.wait(1)
    # PRI, VERSION, TIMESTAMP, HOSTNAME, APP-NAME, PROCID, MSGID, STRUCTURED-DATA, BOM, MSG.
    assert server.lines == [
        b"<85>1 2026-01-01T00:00:00.000Z node_one wetread receive-17 DICOM+RFC3881 - "
        b"\xef\xbb\xbf<a>\xc3\xbc\xf0\x9f\x98\x80</a>"
    ]


def test_what_waited_is_sent_in_order_when_the_server_is_back(
    server: AuditServer, authority: Authority, tmp_path: Path
) -> None:
    spool = spool_of(tmp_path)
    with sending(spool, server, authority) as sink:
        begun = time.monotonic()
        for number in range(100):
            sink.write(f"<m n='{number}'/>", AT)
        assert time.monotonic() - begun < 10.0  # nobody waited for the server
        with server:
            server.wait(100)
            wait_until(lambda: not spool.waiting())
        # It goes away with the connection open, and comes back.
        sink.write("<m n='100'/>", AT)
        time.sleep(0.5)
        sink.write("<m n='101'/>", AT)
        with server:
            server.wait(102)
            wait_until(lambda: not spool.waiting())
    numbers = [int(re.findall(r"n='(\d+)'", text)[0]) for text in server.texts()]
    assert numbers == list(range(102))


def test_messages_of_one_run_are_sent_by_the_next(
    server: AuditServer, authority: Authority, tmp_path: Path
) -> None:
    first = sink_of(spool_of(tmp_path), server, authority)
    first.write("<a/>", AT)
    first.close()  # never sent: the way of the command line
    with server, sending(spool_of(tmp_path), server, authority):
        assert server.wait(1) == ["<a/>"]


def test_only_one_process_sends(server: AuditServer, authority: Authority, tmp_path: Path) -> None:
    with server:
        with (
            sending(spool_of(tmp_path), server, authority) as one,
            sending(spool_of(tmp_path), server, authority) as two,
        ):
            for number in range(50):
                (one, two)[number % 2].write(f"<m n='{number}'/>", AT)
            server.wait(50)
        assert server.texts() == [f"<m n='{number}'/>" for number in range(50)]
        assert len(server.senders) == 1


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_server_that_is_not_the_one_gets_nothing(
    server: AuditServer, authority: Authority, tmp_path: Path, wrong: str
) -> None:
    trusted = Authority(tmp_path / "other") if wrong == "authority" else authority
    if wrong == "name":
        server = AuditServer(authority.issue("elsewhere", "DNS:elsewhere.example"))
    spool = spool_of(tmp_path)
    with server, sending(spool, server, trusted) as sink:
        sink.write("<secret/>", AT)
        time.sleep(1.0)
        assert server.lines == []
        assert len(spool.waiting()) == 1


def test_we_show_our_certificate_to_a_server_that_asks(
    authority: Authority, tmp_path: Path
) -> None:
    server = AuditServer(authority.issue("audit"), authority)
    ours = authority.issue("node")
    spool = spool_of(tmp_path)
    where = Server(
        host="localhost",
        port=server.port,
        ca=Path(authority.certificate),
        certificate=Path(ours.certificate),
        key=Path(ours.key),
    )
    sink = SyslogSink(HEADER, spool, where, lambda _: b"")
    with server:
        sink.start()
        sink.write("<a/>", AT)
        server.wait(1)
        sink.close()
    assert "node" in str(server.senders)
    with server, sending(spool, server, authority) as without:
        without.write("<b/>", AT)
        time.sleep(1.0)
        assert server.texts() == ["<a/>"]
    assert len(spool.waiting()) == 1


def test_a_full_spool_keeps_the_oldest_and_tells_how_many_were_lost(
    server: AuditServer, authority: Authority, tmp_path: Path
) -> None:
    size = len(HEADER.line("<m n='0'/>", AT))
    spool = spool_of(tmp_path, limit=3 * size)
    with sending(spool, server, authority) as sink:
        for number in range(8):
            sink.write(f"<m n='{number}'/>", AT)
        assert spool.lost() == 5
        with server:
            texts = server.wait(4)
            wait_until(lambda: spool.lost() == 0)
    assert texts == ["<m n='0'/>", "<m n='1'/>", "<m n='2'/>", "<lost n='5'/>"]


def test_a_role_tells_the_server_by_an_alert_how_many_messages_it_never_got(
    server: AuditServer, authority: Authority, tmp_path: Path
) -> None:
    section = AuditSection(
        file="",
        syslog_host="localhost",
        syslog_port=server.port,
        ca=authority.certificate,
        spool_megabytes=0.004,
    )
    made = Settings(audit=section)
    node = made.node.model_copy(update={"data_dir": tmp_path})
    with role_trail(made.model_copy(update={"node": node}), "receive") as trail:
        for number in range(10):
            trail.association_rejected(Peer(ae_title="X", address="192.0.2.1"), f"reason {number}")
        with server:
            wait_until(lambda: any("110133" in text for text in server.texts()))
    received = [checked(text) for text in server.texts()]
    lost = received[-1]
    assert (event(lost), outcome(lost)) == ("Audit Recording Stopped", "12")
    assert alert(lost).startswith(f"{10 - len(received[:-1])} audit messages were lost")
    assert alert(received[0]) == "association rejected: reason 0"


def test_a_disk_that_takes_no_message_is_a_loss_too(
    server: AuditServer, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spool_of(tmp_path)
    sink = sink_of(spool, server, authority)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "_write", full)
    with pytest.raises(OSError, match="No space"):
        sink.write("<a/>", AT)
    assert spool.lost() == 1
    assert spool.waiting() == []


def test_what_waited_too_long_is_counted_as_lost(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, seconds=0.0)
    assert spool.put(b"old")
    assert spool.forget_old() == 1
    assert spool.waiting() == []
    assert spool.lost() == 1
    spool.told(1)
    assert spool.lost() == 0


def test_the_spool_is_for_its_owner_alone(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        spool = spool_of(tmp_path, limit=5)
        spool.put(b"12345")
        spool.put(b"6")
        with spool.sending() as ours:
            assert ours
    finally:
        os.umask(previous)
    assert {stat.S_IMODE(each.stat().st_mode) for each in spool.folder.iterdir()} == {0o600}
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700


SPOOLER = """
import sys
from pathlib import Path
from audit.spool import Spool
spool = Spool(Path(sys.argv[1]), 10**9, 3600.0)
for number in range(10**6):
    spool.put(b"<m n='%d'>%s</m>" % (number, b"x" * 5000))
    print(number, flush=True)
"""


def test_kill_9_while_spooling_leaves_whole_messages_and_all_that_were_taken(
    server: AuditServer, authority: Authority, tmp_path: Path
) -> None:
    spool = spool_of(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", SPOOLER, str(spool.folder)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(200):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    taken = 200 + len(process.stdout.read().splitlines())
    process.stdout.close()
    process.wait()
    with server, sending(spool, server, authority):
        wait_until(lambda: not spool.waiting())
        wait_until(lambda: len(server.lines) >= taken)
    assert taken <= len(server.lines) <= taken + 1
    for number, line in enumerate(server.lines):
        assert line == b"<m n='%d'>%s</m>" % (number, b"x" * 5000)


SENDER = """
import sys, time
from pathlib import Path
from audit.shipper import SyslogSink
from audit.spool import Spool
from audit.syslog import Header, Server
spool = Spool(Path(sys.argv[1]), 10**9, 3600.0)
server = Server(host="localhost", port=int(sys.argv[2]), ca=Path(sys.argv[3]))
SyslogSink(Header(host="h", application="a", process="p"), spool, server, lambda _: b"").start()
time.sleep(60)
"""


def test_kill_9_while_sending_loses_nothing(
    server: AuditServer, authority: Authority, tmp_path: Path
) -> None:
    spool = spool_of(tmp_path)
    for number in range(1000):
        spool.put(b"<m n='%d'/>" % number)
    arguments = [str(spool.folder), str(server.port), authority.certificate]
    with server:
        process = subprocess.Popen([sys.executable, "-c", SENDER, *arguments])
        wait_until(lambda: len(server.lines) > 100)
        process.kill()
        process.wait()
        with sending(spool, server, authority):
            wait_until(lambda: not spool.waiting())
    numbers = [int(line.split(b"'")[1]) for line in server.lines]
    assert sorted(set(numbers)) == list(range(1000))
    # At most the batch at hand came twice.
    assert len(numbers) <= 1000 + 64


@pytest.mark.parametrize("missing", ["ca", "certificate"])
def test_files_that_cannot_be_used_are_told(tmp_path: Path, missing: str) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    server = (
        Server(host="h", port=1, ca=wrong)
        if missing == "ca"
        else Server(host="h", port=1, certificate=wrong, key=wrong)
    )
    with pytest.raises(OSError):  # noqa: PT011 - OpenSSL's own words
        server.context()
