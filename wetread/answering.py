"""Answers ``wetread status`` for commands with the same settings on this host.

A command of its own would spend most of its time on starting: on importing what the role has.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.engine import Database
from db.errors import where
from wetread import local_socket, screen
from wetread.condition import condition
from wetread.config import Settings
from wetread.origin import ConfigError
from wetread.version import VERSION

_PATIENCE_SECONDS = 5.0

_log = structlog.get_logger(__name__)


@contextmanager
def answering(settings: Settings, database: Database) -> Iterator[None]:
    """Answer as long as the block runs; where there can be no socket, commands look themselves."""
    folder = settings.node.data_dir
    try:
        server = _listening(folder, settings, database)
    except OSError as error:
        _log.warning("status.unanswered", error=where(error))
        yield
        return
    thread = threading.Thread(target=server.serve_forever, name="status", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        _remove(folder / local_socket.NAME, server.inode)


def _listening(folder: Path, settings: Settings, database: Database) -> _Server:
    new = f"{local_socket.NAME}.{os.getpid()}"
    (folder / new).unlink(missing_ok=True)  # of a process before us, which was killed meanwhile
    with local_socket.address(folder, new) as address:
        server = _Server(address, settings, database)
    try:
        server.inode = (folder / new).stat().st_ino
        (folder / new).chmod(0o600)
        # One of a process before us is replaced at once; who connects meanwhile finds it or ours.
        (folder / new).rename(folder / local_socket.NAME)
    except OSError:
        server.server_close()
        (folder / new).unlink(missing_ok=True)
        raise
    return server


def _remove(socket: Path, inode: int) -> None:
    with suppress(OSError):  # the data folder may be gone
        if socket.stat().st_ino == inode:  # else another process listens there now
            socket.unlink()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, address: str, settings: Settings, database: Database) -> None:
        super().__init__(address, _Handler)
        self.settings, self.database, self.inode = settings, database, 0

    def handle_error(self, _request: Any, _client: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            _log.error("status.trouble", error=where(error))


class _Handler(socketserver.StreamRequestHandler):
    timeout = _PATIENCE_SECONDS
    server: _Server

    def handle(self) -> None:
        # Without an answer the command looks itself, and says what is wrong.
        with suppress(SQLAlchemyError, ConfigError, OSError, ValueError):
            asked = json.loads(self.rfile.readline(local_socket.MOST_BYTES))
            self.wfile.write(json.dumps(self._answer(asked)).encode() + b"\n")

    def _answer(self, asked: Any) -> dict[str, Any] | None:
        settings = self.server.settings
        if asked["version"] != VERSION or asked["settings"] != settings.fingerprint:
            return None
        with self.server.database.read() as connection:
            found = condition(settings, connection)
        text = screen.text(found, as_json=asked["as_json"], coloured=asked["coloured"])
        return {"text": text, "alarms": len(found["alarms"])}
