"""A DICOMweb server that is hostile, broken, secured or asks for credentials."""

from __future__ import annotations

import gzip
import json
import shutil
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage

from delivery import dicomweb, stow
from delivery.dicomweb import (
    Credentials,
    NoAnswer,
    TooLarge,
    Unreachable,
    Unwilling,
    Web,
    WebPeer,
    WebTrouble,
)
from delivery.tls import client_context
from scp.tls import server_context
from tests.certificates import Authority
from tests.delivering import object_of
from tests.webserver import Reply, Request, WebServer, failed, reply, stored, stores
from tools.ports import free_port

UID = "2.25.1"
XML = f"""<?xml version="1.0"?><NativeDicomModel>
<DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence"><Item number="1">
<DicomAttribute tag="00081155" vr="UI" keyword="ReferencedSOPInstanceUID"><Value number="1">{UID}
</Value></DicomAttribute></Item></DicomAttribute></NativeDicomModel>""".encode()


def report() -> Dataset:
    buffer = BytesIO()
    object_of(EnhancedSRStorage, UID).save_as(buffer, enforce_file_format=True)
    return dcmread(BytesIO(buffer.getvalue()))


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as made:
        yield made


def store(server: WebServer, credentials: Credentials | None = None) -> int:
    web = Web(WebPeer(url=server.url, credentials=credentials))
    try:
        return web.store(report())
    finally:
        web.close()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (reply(stored(UID)), 0),
        (reply(stored(UID), 202), 0),
        (reply(stored(UID), media_type="application/dicom+json; charset=utf-8"), 0),
        (reply(stored(UID), media_type="Application/JSON"), 0),
        (
            Reply(
                200, gzip.compress(reply(stored(UID)).body), headers={"Content-Encoding": "gzip"}
            ),
            0,
        ),
        (reply(failed(0xA700, UID), 409), 0xA700),
        (reply(failed(0x0122, UID), 409), 0x0122),
        (reply(failed(0xC000, UID), 202), 0xC000),
        (reply(failed(0xA900, UID)), 0xA900),
        (reply(failed(0xA900, "2.25.9"), 409), 0xA900),
        (reply(failed(0, UID), 409), 0x0110),
        (
            Reply(
                409,
                b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "SL", "Value": [-9]}}]}}',
            ),
            0x0110,
        ),
        (reply(failed(0x0111, UID), 409), 0),
        (reply(failed(0xB00E, UID), 409), 0),
        (reply(failed(0xB00F, UID), 409), 0xB00F),
    ],
)
def test_a_reply_says_what_became_of_the_object(
    server: WebServer, answer: Reply, status: int
) -> None:
    server.answer = lambda *_: answer
    assert store(server) == status


def _closes(_request: Request, handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def _breaks_off(_request: Request, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    handler.wfile.write(b'Content-Length: 1000\r\n\r\n{"0008')
    handler.close_connection = True


def _rambles(_request: Request, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
    for _ in range(100):
        handler.wfile.write(b"0," * 50_000)
    handler.close_connection = True


def _babbles(_request: Request, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\x01\x02 no HTTP at all\r\n\r\n")
    handler.close_connection = True


MALFORMED = [
    Reply(200),
    Reply(200, b"<html>Please log in</html>", "text/html"),
    Reply(200, b"", ""),
    Reply(200, b"{", "application/json"),
    Reply(200, b"\xff\xfe", "application/dicom+json"),
    Reply(200, b"[" * 100_000, "application/dicom+json"),
    Reply(200, b"<a", "application/dicom+xml"),
    Reply(200, b"<a><b/></a>", "application/dicom+xml"),
    Reply(200, b"null", "application/dicom+json"),
    reply([stored(UID)]),
    reply(Dataset()),
    reply(stored("2.25.9")),
    Reply(200, b'{"00081199": {"vr": "LO", "Value": ["2.25.1"]}}'),
    Reply(200, b'{"00081199": {"vr": "SQ", "Value": [{}]}}'),
    Reply(200, b'{"00081198": {"vr": "SQ", "Value": [{}]}}'),
    Reply(200, b'{"00081198": {"vr": "SQ", "Value": 5}}'),
    Reply(200, b'{"no tag": {"vr": "SQ"}}'),
    Reply(204),
    Reply(304),
]


@pytest.mark.parametrize("answer", MALFORMED)
def test_what_does_not_say_that_it_is_stored_is_not_believed(
    server: WebServer, answer: Reply
) -> None:
    server.answer = lambda *_: answer
    with pytest.raises(WebTrouble, match="its reply") as caught:
        store(server)
    assert type(caught.value) is WebTrouble
    assert str(caught.value).startswith(server.url)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["00081198", "00081199", "00081155", "00081197", "vr", "Value", "x"]),
            inner | st.sampled_from(["SQ", "UI", "US", UID]),
            max_size=3,
        )
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def lasting() -> Iterator[WebServer]:
    with WebServer() as made:
        yield made


@given(content=JSON_VALUES, status=st.sampled_from([200, 202, 409]))
@settings(max_examples=100, deadline=None)
def test_no_json_is_more_than_a_trouble_or_an_answer(
    lasting: WebServer, content: object, status: int
) -> None:
    lasting.answer = lambda *_: Reply(status, json.dumps(content).encode())
    try:
        assert store(lasting) >= 0
    except WebTrouble as error:
        said = str(error)
    else:
        said = lasting.url
    assert said.startswith(lasting.url)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (301, Unwilling, "it redirects to another address"),
        (302, Unwilling, "it redirects to another address"),
        (307, Unwilling, "it redirects to another address"),
        (400, WebTrouble, "status 400: it does not understand the request"),
        (401, Unwilling, "status 401: it does not accept our credentials"),
        (403, Unwilling, "status 403: our credentials"),
        (404, Unwilling, "status 404: there is no such DICOMweb service"),
        (405, Unwilling, "status 405: there is no such DICOMweb service"),
        (407, Unwilling, "status 407: a proxy"),
        (409, WebTrouble, "status 409: it did not store the object"),
        (413, TooLarge, "status 413: it, or a proxy before it, takes no object of this size"),
        (415, WebTrouble, "status 415: it does not take DICOM files"),
        (418, WebTrouble, "status 418"),
        (429, Unreachable, "status 429: it asks for fewer requests, for 120 seconds"),
        (500, WebTrouble, "status 500"),
        (502, WebTrouble, "status 502: a proxy gets no answer"),
        (503, Unreachable, "status 503: it is not available at the moment, for 120 seconds"),
        (504, WebTrouble, "status 504: a proxy gets no answer"),
        (599, WebTrouble, "status 599"),
    ],
)
def test_a_status_says_what_is_wrong(
    server: WebServer, status: int, kind: type[WebTrouble], said: str
) -> None:
    elsewhere = {"Location": "/login", "Retry-After": "120"}
    server.answer = lambda *_: Reply(status, b"Doe^Jane is unknown", "text/plain", elsewhere)
    with pytest.raises(kind) as caught:
        store(server)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{server.url}: {said}")
    assert "Doe" not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (_closes, NoAnswer, "the connection was lost"),
        (_babbles, NoAnswer, "the connection was lost"),
        (_rambles, NoAnswer, "the connection was lost"),
        (_breaks_off, WebTrouble, "the connection was lost|its reply is no DICOM JSON"),
    ],
)
def test_a_connection_that_breaks_is_no_answer(
    server: WebServer, answer: object, kind: type[WebTrouble], said: str
) -> None:
    server.answer = answer  # type: ignore[assignment]
    with pytest.raises(kind, match=said):
        store(server)


def test_silence_is_no_answer(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb, "ANSWER_SECONDS", 0.2)

    def silent(_request: Request, handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(1)  # until the client has enough of it

    server.answer = silent
    with pytest.raises(NoAnswer, match="no answer in time"):
        store(server)


def test_a_large_object_may_take_longer_than_a_piece_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dicomweb, "CONNECT_SECONDS", 1.0)
    large = report()
    large.add_new(0x00420011, "OB", bytes(24_000_000))
    with WebServer(pause_seconds=0.12) as server:
        web = Web(WebPeer(url=server.url))
        assert web.store(large) == 0
        web.close()
        assert len(server.files[0]) > 24_000_000


def test_nothing_listens() -> None:
    web = Web(WebPeer(url=f"http://127.0.0.1:{free_port()}/dicom-web"))
    with pytest.raises(Unreachable, match="/dicom-web: no connection"):
        web.store(report())
    with pytest.raises(Unreachable, match="/dicom-web: no connection"):
        web.look_up("1.2.3")


def test_a_reply_in_xml_is_understood(server: WebServer) -> None:
    server.answer = lambda *_: Reply(200, XML, "application/dicom+xml")
    assert store(server) == 0
    assert server.requests[0].headers["Accept"] == "application/dicom+json"


def test_the_host_has_its_port_and_the_body_its_length(server: WebServer) -> None:
    store(server)
    (request,) = server.requests
    assert request.headers["Host"] == f"127.0.0.1:{server.port}"
    assert "Transfer-Encoding" not in request.headers
    assert request.path == "/dicom-web/studies"


@pytest.mark.parametrize(
    ("user", "secret", "header"),
    [
        ("", "abc.def", "Bearer abc.def"),
        ("wetread", "open sesame", "Basic d2V0cmVhZDpvcGVuIHNlc2FtZQ=="),
        ("wetread", "s\u00e9same", "Basic d2V0cmVhZDpzw6lzYW1l"),
    ],
)
def test_credentials_are_shown_and_may_be_renewed(
    server: WebServer, tmp_path: Path, user: str, secret: str, header: str
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n", "utf-8")
    credentials = Credentials(file, user)
    store(server, credentials)
    file.write_text("renewed", "utf-8")
    store(server, credentials)
    first, second = (each.headers["Authorization"] for each in server.requests)
    assert first == header
    assert second != header
    assert secret not in repr(WebPeer(url=server.url, credentials=credentials))


@pytest.mark.parametrize("content", [None, b"", b" \n", b"two\nlines", b"\xff", "s\u00e9".encode()])
def test_a_secret_that_cannot_be_used_is_named_by_its_file(
    server: WebServer, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Unwilling) as caught:
        store(server, Credentials(file))
    assert str(caught.value).startswith(f"{file}: ")
    assert "lines" not in str(caught.value)
    assert server.requests == []


def test_no_credentials_of_the_environment_are_shown(
    server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert store(server) == 0
    assert "Authorization" not in server.requests[0].headers


needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed: apt-get install openssl"
)


class Site:
    """A clinic's certificates."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "clinic")
        self.ca = self.authority.certificate
        self.server = self.authority.issue("pacs")
        self.ours = self.authority.issue("wetread")
        self.stranger = Authority(folder / "elsewhere", "Another CA").certificate


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("certificates"))


def verified(site: Site, tls: ssl.SSLContext, *, mutual: bool = False) -> str:
    ca = site.ca if mutual else ""
    theirs = server_context(site.server.certificate, site.server.key, ca)
    with WebServer(tls=theirs) as server:
        return stow.verify(WebPeer(url=server.url, tls=tls)).removeprefix(server.url)


@needs_openssl
def test_a_server_is_trusted_by_the_site_s_ca_alone(site: Site) -> None:
    assert verified(site, client_context(site.ca)) == ""
    distrusted = ": its TLS certificate: unable to get local issuer certificate"
    assert verified(site, client_context(site.stranger)) == distrusted
    assert verified(site, client_context()) == distrusted


@needs_openssl
def test_a_server_may_want_to_see_our_certificate(site: Site) -> None:
    ours = client_context(site.ca, site.ours.certificate, site.ours.key)
    assert verified(site, ours, mutual=True) == ""
    refused = verified(site, client_context(site.ca), mutual=True)
    assert refused.startswith(": TLS failed: ")


@needs_openssl
def test_what_does_not_speak_tls_is_told_so(site: Site, server: WebServer) -> None:
    url = server.url.replace("http:", "https:")
    peer = WebPeer(url=url, tls=client_context(site.ca))
    assert stow.verify(peer).startswith(f"{url}: TLS failed: ")


def test_a_server_without_queries_is_told_so(server: WebServer) -> None:
    assert stow.verify(WebPeer(url=server.url)) == ""
    server.answer = lambda *_: Reply(404)
    assert "status 404: there is no such" in stow.verify(WebPeer(url=server.url))


def test_files_and_folders_are_sent(server: WebServer, tmp_path: Path) -> None:
    file = tmp_path / "a.dcm"
    object_of(EnhancedSRStorage, UID).save_as(file, enforce_file_format=True)
    (tmp_path / "notes.txt").write_text("no DICOM")
    peer = WebPeer(url=server.url)
    outcomes = {each.path.name: each for each in stow.send(peer, [tmp_path, tmp_path / "missing"])}
    assert outcomes["a.dcm"].stored
    assert outcomes["a.dcm"].sop_instance_uid == UID
    assert outcomes["notes.txt"].reason == "not a DICOM file (PS3.10)"
    assert outcomes["missing"].reason == "cannot be read: No such file or directory"
    assert server.files == [file.read_bytes()]
    assert server.connections == 1


def test_a_file_that_is_not_taken_is_named(server: WebServer, tmp_path: Path) -> None:
    file = tmp_path / "a.dcm"
    object_of(EnhancedSRStorage, UID).save_as(file, enforce_file_format=True)
    for answer, reason in [
        (reply(failed(0xA700, UID), 409), "refused with status A700"),
        (Reply(500), f"{server.url}: status 500"),
    ]:
        server.answer = lambda *_, answer=answer: answer
        (outcome,) = stow.send(WebPeer(url=server.url), [file])
        assert outcome.reason == reason
    server.answer = stores
