"""An audit server: syslog over TLS, as RFC 5425 has it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Self

from tests.certificates import Authority, Pair
from tools.ports import free_port


class AuditServer:
    """Takes messages, and can go away and come back on the same port.

    Parameters
    ----------
    pair
        Its certificate and key.
    authority
        Whose certificates senders must show; None if they need show none.
    """

    def __init__(self, pair: Pair, authority: Authority | None = None) -> None:
        self.port = free_port()
        self.lines: list[bytes] = []
        self.senders: list[object] = []
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(pair.certificate, pair.key)
        if authority is not None:
            self._context.load_verify_locations(authority.certificate)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener: socket.socket | None = None
        self._open: list[ssl.SSLSocket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.settimeout(0.1)
        self._thread(self._accept, self._listener)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._listener is not None
        listener, self._listener = self._listener, None
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        listener.close()
        self._open, self._threads = [], []

    def texts(self) -> list[str]:
        """The XML of every message, in the order in which they came."""
        return [line.decode().partition("\ufeff")[2] for line in self.lines]

    def wait(self, count: int, seconds: float = 20.0) -> list[str]:
        """Wait for so many messages."""
        wait_until(lambda: len(self.lines) >= count, seconds)
        return self.texts()

    def _thread(self, target: Callable[..., None], argument: object) -> None:
        thread = threading.Thread(target=target, args=(argument,))
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            with contextlib.suppress(TimeoutError):
                self._thread(self._serve, listener.accept()[0])

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(10.0)
        try:
            tls = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            return
        self._open.append(tls)
        self.senders.append(tls.getpeercert())
        with tls, tls.makefile("rb") as stream, contextlib.suppress(OSError):
            while length := _number(stream.read):
                self.lines.append(stream.read(length))


def _number(read: Callable[[int], bytes]) -> int:
    """The length before a message; 0 at the end (RFC 5425 section 4.3)."""
    digits = b""
    while (byte := read(1)) not in (b" ", b""):
        digits += byte
    return int(digits) if digits else 0


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
