"""The server of the viewer: its files, its places, its settings, and the PACS behind it."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tools.viewer_server import ViewerServer


class Pacs(BaseHTTPRequestHandler):
    """Tells what it was asked for, and refuses what is called missing."""

    def do_GET(self) -> None:
        body = f"{self.path} {self.headers['Accept']}".encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.html").write_text("the page", "utf-8")
    (pages / "app.js").write_text("the script", "utf-8")
    (tmp_path / "secret.js").write_text("not for all", "utf-8")
    pacs = ThreadingHTTPServer(("127.0.0.1", 0), Pacs)
    thread = threading.Thread(target=pacs.serve_forever)
    thread.start()
    with ViewerServer(pages, f"http://127.0.0.1:{pacs.server_port}/root") as server:
        yield server.url
    pacs.shutdown()
    thread.join()
    pacs.server_close()


def get(url: str, **headers: str) -> tuple[int, str, str]:
    """Status, type and text of an answer."""
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_files_places_and_settings(url: str) -> None:
    assert get(f"{url}/") == (200, "text/html", "the page")
    assert get(f"{url}/viewer?StudyInstanceUIDs=1.2") == (200, "text/html", "the page")
    assert get(f"{url}/app.js") == (200, "text/javascript", "the script")
    assert get(f"{url}/missing.js")[0] == 404
    assert get(f"{url}/../secret.js")[0] == 404
    assert get(f"{url}/app-config.js")[2].startswith("window.config = {")


def test_the_pacs_is_at_the_same_origin(url: str) -> None:
    asked = get(f"{url}/dicom-web/studies?limit=1", Accept="application/dicom+json")
    assert asked == (200, "text/plain", "/root/studies?limit=1 application/dicom+json")
    assert get(f"{url}/dicom-web/missing")[0] == 404
