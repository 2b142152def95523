"""A DICOMweb server that stores, or answers what it is told to, however bad that is."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase, BytesIO
from typing import Any, BinaryIO, Self

from pydicom import Dataset, dcmread

from tools.ports import free_port

JSON = "application/dicom+json"


@dataclass(frozen=True)
class Reply:
    """What is answered: status, body, and headers besides those that belong to them."""

    status: int = 200
    body: bytes = b""
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What came.

    Attributes
    ----------
    files
        The Part 10 files of a POST.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    files: tuple[bytes, ...] = ()

    @property
    def objects(self) -> list[Dataset]:
        return [dcmread(BytesIO(each)) for each in self.files]


Answer = Callable[[Request, BaseHTTPRequestHandler], Reply | None]
"""Says what to reply; None if it has done something else with the connection."""


def stored(*uids: str) -> Dataset:
    """PS3.18 table I.2-1, for objects that were stored."""
    answer = Dataset()
    answer.ReferencedSOPSequence = [_reference(each) for each in uids]
    return answer


def failed(reason: int, *uids: str) -> Dataset:
    """The same, for objects that were not."""
    answer = Dataset()
    answer.FailedSOPSequence = [_reference(each) for each in uids]
    for each in answer.FailedSOPSequence:
        each.FailureReason = reason
    return answer


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2"
    item.ReferencedSOPInstanceUID = uid
    return item


def reply(content: Dataset | list[Dataset], status: int = 200, media_type: str = JSON) -> Reply:
    if isinstance(content, list):
        shown: Any = [each.to_json_dict() for each in content]
    else:
        shown = content.to_json_dict()
    return Reply(status, json.dumps(shown).encode(), media_type)


def stores(request: Request, _handler: BaseHTTPRequestHandler) -> Reply:
    """Stores what comes, and knows no study."""
    if request.method != "POST":
        return Reply(204)
    return reply(stored(*(str(each.SOPInstanceUID) for each in request.objects)))


class WebServer:
    """Serves within a ``with`` block, and then nobody listens at its address.

    Parameters
    ----------
    answer
        What it answers.
    tls
        How it speaks https; None for http.
    pause_seconds
        How long it rests after each MB that it reads.

    Attributes
    ----------
    requests
        What came, without what asks whether it is there (OPTIONS).
    connections
        How many were opened.
    """

    def __init__(
        self,
        answer: Answer = stores,
        tls: ssl.SSLContext | None = None,
        pause_seconds: float = 0.0,
    ) -> None:
        self.answer = answer
        self.pause_seconds = pause_seconds
        self.requests: list[Request] = []
        self.connections = 0
        self._tls = tls
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/dicom-web"

    @property
    def files(self) -> list[bytes]:
        return [file for each in self.requests for file in each.files]

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", self.port), _handler_of(self))
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that leaves, or a handshake that fails, is no news here."""


def _handler_of(server: WebServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 20

        def setup(self) -> None:
            super().setup()
            server.connections += 1

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self._serve()

        def do_OPTIONS(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = _body(self.rfile, length, server.pause_seconds)
            files = _parts(self.headers["Content-Type"], body) if body else ()
            request = Request(self.command, self.path, dict(self.headers), files)
            if self.command != "OPTIONS":
                server.requests.append(request)
            answered = server.answer(request, self)
            if answered is None:
                return
            self.send_response(answered.status)
            self.send_header("Content-Type", answered.media_type)
            self.send_header("Content-Length", str(len(answered.body)))
            for name, value in answered.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answered.body)

    return Handler


def _body(stream: BinaryIO | BufferedIOBase, length: int, pause_seconds: float) -> bytes:
    body = b""
    while len(body) < length:
        body += stream.read(min(1_000_000, length - len(body)))
        time.sleep(pause_seconds)
    return body


def _parts(content_type: str, body: bytes) -> tuple[bytes, ...]:
    boundary = content_type.partition('boundary="')[2].partition('"')[0].encode()
    _, *parts, end = body.split(b"\r\n--" + boundary)
    assert end.startswith(b"--")
    return tuple(each.partition(b"\r\n\r\n")[2] for each in parts)
