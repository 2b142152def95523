"""The receiver's process with peers and TLS in its settings, called by DCMTK and pynetdicom."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import CTImageStorage, MRImageStorage
from pynetdicom import AE
from pynetdicom.association import Association

from db.engine import Database
from db.stats import studies as listed_studies
from delivery.associate import NoAssociation, Peer
from delivery.send import echo
from delivery.tls import Witness, client_context
from scp.passcode import hashed
from scp.rejection import Rejection
from tests.certificates import Authority, Pair
from tests.dicomfiles import as_file, image
from tools.ports import free_port
from wetread.config import Settings, load

pytestmark = [
    pytest.mark.skipif(
        not Authority.installed(), reason="openssl is not installed: apt-get install openssl"
    ),
    pytest.mark.skipif(
        shutil.which("storescu") is None, reason="DCMTK is not installed: apt-get install dcmtk"
    ),
]
Run = Callable[..., AbstractContextManager["Closed"]]
PASSCODE = "open sesame"
SETTINGS = """
[log]
json_lines = true
[node]
host = "127.0.0.1"
port = {plain}
[tls]
certificate = "{node.certificate}"
key = "{node.key}"
ca = "{ca}"
port = {secured}
require = {require}
[[peer]]
name = "ct"
ae_title = "CT1"
networks = ["{network}"]
certificate = "ct1"
sop_classes = ["CTImageStorage"]
object_megabytes = 0.1
associations = 2
[[peer]]
name = "old"
ae_title = "OLD1"
networks = ["{network}"]
user = "anna"
passcode_hash = "{passcode_hash}"
"""


class Site:
    """Certificates, image files, and the node's settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = Authority(folder / "clinic")
        self.ca = authority.certificate
        self.node = authority.issue("wetread")
        self.ct = authority.issue("ct1")
        self.mr = authority.issue("mr1")
        self.expired = authority.issue("ct1", days=-1)
        self.stranger = Authority(folder / "elsewhere", "Another CA").issue("ct1")

    def file(self, sop_class: str = CTImageStorage, size: int = 64) -> Path:
        dataset = image(np.zeros((size, size), np.uint16))
        dataset.SOPClassUID = sop_class
        path = self.folder / f"{sop_class}-{size}.dcm"
        path.write_bytes(as_file(dataset))
        return path


class Closed:
    """The process of a receiver."""

    def __init__(self, settings: Settings, site: Site, log: Path) -> None:
        self.settings = settings
        self.site = site
        self.log = log

    def reasons(self) -> list[str]:
        """Why callers were kept out, by the log."""
        lines = [json.loads(each) for each in self.log.read_text("utf-8").splitlines()]
        kept_out = ("association.rejected", "connection.refused")
        return [each["reason"] for each in lines if each["event"] in kept_out]

    def scu(
        self, program: str, *arguments: str, pair: Pair | None = None, title: str = "CT1"
    ) -> str:
        """Call with a DCMTK program, by TLS with a certificate; return what it says."""
        tls: list[str] = []
        port = self.settings.node.port
        if pair is not None:
            tls = ["+tls", pair.key, pair.certificate, "+cf", self.site.ca]
            port = self.settings.tls.port
        options = [each for each in arguments if not each.endswith(".dcm")]
        files = [each for each in arguments if each.endswith(".dcm")]
        address = ["-aet", title, "-aec", "WETREAD", "127.0.0.1", str(port)]
        done = subprocess.run(
            [program, *tls, *options, *address, *files],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        return done.stdout + done.stderr

    def stored(self) -> int:
        database = Database(self.settings.database.url)
        with database.read() as connection:
            rows = listed_studies(connection)
        database.close()
        return sum(each["instances"] for each in rows)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def run(site: Site, tmp_path: Path) -> Run:
    """Start the receiver's process."""

    @contextmanager
    def running(require: bool = True, network: str = "127.0.0.0/8") -> Iterator[Closed]:
        text = SETTINGS.format(
            plain=free_port(), secured=free_port(), node=site.node, ca=site.ca,
            require=str(require).lower(), network=network, passcode_hash=hashed(PASSCODE.encode()),
        )  # fmt: skip
        file = tmp_path / "wetread.toml"
        file.write_text(text, "utf-8")
        log = tmp_path / "wetread.log"
        with (
            log.open("wb") as written,
            subprocess.Popen(
                [sys.executable, "-m", "wetread", "receive", "-c", str(file)],
                stdout=subprocess.PIPE, stderr=written,
                env={name: os.environ[name] for name in os.environ if "WETREAD" not in name},
            ) as process,
        ):  # fmt: skip
            try:
                assert process.stdout is not None
                assert process.stdout.readline().strip() == b"ready", log.read_text("utf-8")
                yield Closed(load(file), site, log)
            finally:
                process.terminate()
                process.wait(30)

    return running


def test_tls_alone(run: Run, site: Site) -> None:
    with run() as node:
        image_file = str(site.file())
        assert node.scu("echoscu", pair=site.ct) == ""
        assert node.scu("storescu", image_file, pair=site.ct) == ""
        assert node.stored() == 1
        assert "Calling AE Title Not Recognized" in node.scu("echoscu", pair=site.mr)
        assert "Calling AE Title" in node.scu("echoscu", pair=site.ct, title="EVE")
        for wrong in (site.stranger, site.expired):
            assert "Association Request Failed" in node.scu("storescu", image_file, pair=wrong)
        assert "TCP Initialization Error" in node.scu("echoscu")  # nobody listens there
        plain = Peer(
            ae_title="WETREAD",
            host="127.0.0.1",
            port=node.settings.tls.port,
            calling_ae_title="CT1",
        )
        with pytest.raises(NoAssociation):
            echo(plain)
        assert node.stored() == 1
    assert node.reasons() == [
        Rejection.CERTIFICATE.reason,
        Rejection.CALLING_AE.reason,
        "the peer's certificate: unable to get local issuer certificate",
        "the peer's certificate: certificate has expired",
        "wrong version number",
    ]


def test_a_connection_from_nowhere_is_closed_unread(run: Run, site: Site) -> None:
    with run(network="192.0.2.0/24") as node:
        assert "Association Request Failed" in node.scu("echoscu", pair=site.ct)
        assert node.reasons() == ["no peer has this address"]


def test_what_a_peer_may_send(run: Run, site: Site) -> None:
    with run() as node:
        said = node.scu("storescu", str(site.file(MRImageStorage)), pair=site.ct)
        assert "No presentation context for: (MR)" in said
        said = node.scu("storescu", "-v", str(site.file(size=400)), pair=site.ct)
        assert "OutOfResources" in said.replace(" ", "")
        assert node.stored() == 0


def test_a_plain_port_beside_it_is_for_those_that_are_bound_to_no_certificate(
    run: Run, site: Site
) -> None:
    with run(require=False) as node:
        image_file = str(site.file())
        anna = ("-usr", "anna", "-rsp")
        for pair in (None, site.mr):
            said = node.scu(
                "storescu", *anna, "-pwd", "a guess", image_file, pair=pair, title="OLD1"
            )
            assert "No Reason" in said
            assert node.stored() == 0
        assert node.scu("storescu", *anna, "-pwd", PASSCODE, image_file, title="OLD1") == ""
        assert node.stored() == 1
        assert node.scu("echoscu", pair=site.ct) == ""
        assert "Calling AE Title Not Recognized" in node.scu("echoscu")
    assert node.reasons() == [
        Rejection.IDENTITY.reason,
        Rejection.IDENTITY.reason,
        Rejection.CERTIFICATE.reason,
    ]
    said = node.log.read_text("utf-8")
    assert "sesame" not in said
    assert "guess" not in said
    assert "scrypt" not in said


def test_one_limit_of_associations_holds_over_both_ports_and_none_is_forgotten(
    run: Run, site: Site
) -> None:
    context = client_context(site.ca, site.ct.certificate, site.ct.key)
    with run(require=False) as node, ExitStack() as opened:

        def associate() -> Association:
            witness = Witness(context)
            opened.callback(witness.close)
            ae = AE("CT1")
            ae.add_requested_context(CTImageStorage)
            tls: Any = (witness, "127.0.0.1")
            port = node.settings.tls.port
            return ae.associate("127.0.0.1", port, ae_title="WETREAD", tls_args=tls)

        held = [associate(), associate()]
        assert all(each.is_established for each in held)
        assert associate().is_rejected
        held[0].release()
        transport = held[1].dul.socket
        assert transport is not None
        assert transport.socket is not None
        transport.socket.shutdown(socket.SHUT_RDWR)  # the cable is cut
        deadline = time.monotonic() + 20
        again: list[Association] = []
        while len(again) < 2:
            assert time.monotonic() < deadline
            again += [each for each in [associate()] if each.is_established]
        assert associate().is_rejected
        for each in again:
            each.release()


def test_a_stalled_handshake_holds_nobody_up(run: Run, site: Site) -> None:
    with run() as node:
        address = ("127.0.0.1", node.settings.tls.port)
        silent = [socket.create_connection(address) for _ in range(20)]
        started = time.monotonic()
        assert node.scu("echoscu", pair=site.ct) == ""
        assert time.monotonic() - started < 5
        for each in silent:
            each.close()


def test_a_certificate_that_cannot_be_used_stops_the_start(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "wetread.toml"
    certificate, key = site.expired.certificate, site.expired.key
    file.write_text(f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n', "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "wetread", "receive", "-c", str(file)],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 3
    assert f"wetread: {certificate}: expired on " in done.stderr
    assert "Traceback" not in done.stderr
