"""A C-STORE SCP that accepts an association and then does what a script says, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

from bench.sink import accept
from dimse.command import Elements, parse
from dimse.pdata import Fragment, OtherPDU, PDataReader

ABORT = struct.pack(">BxI4x", 7, 4)
RELEASE = struct.pack(">BxI4x", 5, 4)


class Call:
    """One association, as the script sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.others: list[int] = []
        self._reader = PDataReader()

    def receive(self) -> tuple[Elements, bytes]:
        """Read one request with its data set."""
        command, data = bytearray(), bytearray()
        while True:
            for event in self._reader.feed(self._more()):
                assert isinstance(event, Fragment)
                (command if event.command else data).extend(event.data)
                if event.last and not event.command:
                    return parse(command), bytes(data)

    def until_closed(self) -> None:
        """Note which PDUs come, other than P-DATA-TF, until the peer closes the connection."""
        with contextlib.suppress(OSError, EOFError):
            while True:
                for event in self._reader.feed(self._more()):
                    if isinstance(event, OtherPDU):
                        self.others.append(event.kind)
                        return

    def _more(self) -> memoryview:
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise EOFError
        return memoryview(piece)


class ScriptedSCP:
    """Listens on a free port; runs the script in a thread for each association.

    Parameters
    ----------
    script
        What to do once an association is accepted; the connection is closed after it.
    maximum_length
        What is announced; 0 for PDUs of any length.
    """

    def __init__(self, script: Callable[[Call], None], maximum_length: int = 16384) -> None:
        self._script = script
        self._maximum_length = maximum_length
        self.calls: list[Call] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._accepting = threading.Thread(target=self._listen)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in [self._accepting, *self._threads]:
            each.join()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            connection.settimeout(20)
            accept(connection, self._maximum_length)
            call = Call(connection)
            self.calls.append(call)
            self._script(call)
