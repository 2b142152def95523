"""Serves the dashboard over HTTP or HTTPS until it is told to stop."""

from __future__ import annotations

import errno
import socket
import threading
from typing import Self

import structlog
import uvicorn
from starlette.types import ASGIApp

from wetread import certificates
from wetread.config import Settings

_LOOK_SECONDS = 0.5
_GRACE_SECONDS = 1  # for answers on their way; live updates never end by themselves
_CONNECTIONS = 256

_log = structlog.get_logger(__name__)


class AddressError(Exception):
    """The address of ``[web]`` cannot be listened on."""


class Server:
    """Listens from construction on; answers while it runs.

    Parameters
    ----------
    settings
        Address and certificate.
    app
        What answers.

    Raises
    ------
    AddressError
        The address is taken or not ours.
    ConfigError
        Certificate or key cannot be used.
    """

    def __init__(self, settings: Settings, app: ASGIApp) -> None:
        files = certificates.web_files(settings)
        certificates.check(files)
        self._socket = _listening(settings.web.host, settings.web.port)
        if not files.certificate and not settings.web.proxies and not self._is_local():
            _log.warning(
                "web.not_encrypted", advice="set certificate and key, or proxies, in [web]"
            )
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="asyncio",
                http="h11",
                ws="none",
                ssl_certfile=files.certificate or None,
                ssl_keyfile=files.key or None,
                log_config=None,
                access_log=False,  # a path may hold what somebody searched for
                server_header=False,
                proxy_headers=False,  # see wetread.web.proxy
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    def run(self, stop: threading.Event) -> None:
        """Answer until ``stop`` is set."""
        # In a thread of its own, where it leaves the signals to us.
        thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web")
        thread.start()
        while thread.is_alive() and not stop.wait(_LOOK_SECONDS):
            pass
        self._server.should_exit = True
        thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _is_local(self) -> bool:
        address = str(self._socket.getsockname()[0])
        return address.startswith("127.") or address == "::1"


def _listening(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        why = error.strerror or "cannot be used"
        advice = "; set another port in [web]" if error.errno == errno.EADDRINUSE else ""
        raise AddressError(f"cannot listen on {host}:{port}: {why}{advice}") from error
