"""Serves the OHIF viewer and, at the same origin, the DICOMweb of a PACS."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

_PROXIED = "/dicom-web/"
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}

_SETTINGS: dict[str, Any] = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "customizationService": [{"ohif.tours": {"$set": []}}],
    "showStudyList": True,
    "showLoadingIndicator": True,
    "showErrorDetails": "always",
    "maxNumberOfWebWorkers": 1,
    # Without a graphics card the viewer would point that out over the images.
    "showCPUFallbackMessage": False,
    "showWarningMessageForCrossOrigin": False,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "pacs",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "pacs",
            "configuration": {
                "friendlyName": "PACS",
                "name": "pacs",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "wadoUriRoot": "/wado",
                "qidoSupportsIncludeField": True,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "singlepart": "bulkdata",
                "bulkDataURI": {"enabled": True},
                "omitQuotationForMultipartRequest": True,
            },
        }
    ],
}


class ViewerServer:
    """An HTTP server on the loopback interface, in threads of its own.

    Parameters
    ----------
    pages
        Folder with the viewer's ``index.html``.
    dicom_web_url
        What answers for ``/dicom-web``.
    """

    def __init__(self, pages: Path, dicom_web_url: str) -> None:
        settings = f"window.config = {json.dumps(_SETTINGS)};".encode()

        class Handler(_Handler):
            folder = pages
            upstream = dicom_web_url
            app_config = settings

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    upstream: str
    app_config: bytes

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(_PROXIED):
            self._proxy()
        elif path == "/app-config.js":
            self._answer(HTTPStatus.OK, ".js", self.app_config)
        else:
            self._file(path)

    def _file(self, path: str) -> None:
        """A file; what is none is a place inside the viewer, which its one page finds."""
        file = (self.folder / path.lstrip("/")).resolve()
        if not file.is_relative_to(self.folder.resolve()) or not file.is_file():
            if Path(path).suffix in _TYPES:
                self._answer(HTTPStatus.NOT_FOUND, ".html", b"")
                return
            file = self.folder / "index.html"
        self._answer(HTTPStatus.OK, file.suffix, file.read_bytes())

    def _answer(self, status: HTTPStatus, suffix: str, body: bytes) -> None:
        self._head(status, _TYPES.get(suffix, "application/octet-stream"), len(body))
        self.wfile.write(body)

    def _proxy(self) -> None:
        url = self.upstream + self.path.removeprefix(_PROXIED.rstrip("/"))
        # Orthanc writes the host it was asked for into the URIs of bulk data.
        headers = {name: self.headers[name] for name in ("Accept", "Host") if name in self.headers}
        try:
            answer = urllib.request.urlopen(
                urllib.request.Request(url, headers=headers), timeout=60
            )
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            body = answer.read()
            kind = answer.headers.get("Content-Type", "application/octet-stream")
            self._head(HTTPStatus(answer.status), kind, len(body))
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        # The viewer's files stay what they are while the server runs; what the PACS has may change.
        fixed = not self.path.startswith(_PROXIED)
        self.send_header("Cache-Control", "max-age=3600" if fixed else "no-store")
        # The viewer's decoders share memory with their workers, which browsers allow such pages.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
