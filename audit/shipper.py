"""Takes messages from the spool to the audit server, in order, for as long as it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

from audit.spool import Spool
from audit.syslog import Connection, Header, Server

_log = structlog.get_logger(__name__)
_BATCH = 64
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_IDLE_SECONDS = 1.0
_FORGET_SECONDS = 60.0
_LEAVE_SECONDS = 5.0
_LOST_TOLD = 100


class SyslogSink:
    """Spools messages as syslog lines; a thread of its own sends them.

    Nothing here waits for the network. Without ``start`` messages are only spooled, and the thread
    of whichever process has one sends them: that is how the command line writes its own.

    Parameters
    ----------
    header
        What the lines say of this process.
    spool
        Where they wait.
    server
        Where they go.
    tell_lost
        Makes the line that says how many messages were lost.
    """

    def __init__(
        self,
        header: Header,
        spool: Spool,
        server: Server,
        tell_lost: Callable[[int], bytes],
    ) -> None:
        self._header = header
        self._spool = spool
        self._server = server
        self._tell_lost = tell_lost
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._wait_seconds = _FIRST_WAIT_SECONDS
        self._away = False
        self._thread: threading.Thread | None = None

    def write(self, message: str, at: datetime) -> None:
        """Spool one message.

        Raises
        ------
        OSError
            The spool's disk does not take it.
        """
        try:
            kept = self._spool.put(self._header.line(message, at))
        except OSError:
            self._spool.count_lost(1)
            raise
        if not kept:
            self._report_lost(self._spool.lost())
        self._wake.set()

    def sync(self) -> None:
        """Nothing to do: the spool puts each message on the disk at once."""

    def start(self) -> None:
        """Send from now on."""
        self._thread = threading.Thread(target=self._run, name="audit-shipper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what can be sent in a moment; the rest waits for the next start."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_LEAVE_SECONDS)

    def _run(self) -> None:
        while True:
            # The last round comes after the last message, which says that the process stopped.
            last = self._stop.is_set()
            try:
                with self._spool.sending() as ours:
                    if ours:
                        self._serve()
            except Exception as error:  # noqa: BLE001 - the loop that sends all others, too
                self._report(error)
            if last:
                return
            self._pause()

    def _pause(self) -> None:
        """Wait longer after each failure; a new message is no reason to try sooner."""
        seconds = self._wait_seconds if self._away else _IDLE_SECONDS
        self._stop.wait(seconds)
        if self._away:
            self._wait_seconds = min(self._wait_seconds * 2, _LONGEST_WAIT_SECONDS)

    def _serve(self) -> None:
        """Send until there is nothing to send and we are told to stop, or the connection fails."""
        self._spool.forget_old()
        if not self._waiting():
            self._idle_until_waiting()
        if not self._waiting():
            return
        with self._server.connect() as connection:
            self._back()
            while True:
                self._send_all(connection)
                if self._stop.is_set():
                    return
                self._wake.wait(_IDLE_SECONDS)
                self._wake.clear()

    def _idle_until_waiting(self) -> None:
        while not self._stop.is_set() and not self._waiting():
            self._wake.wait(_IDLE_SECONDS)
            self._wake.clear()

    def _waiting(self) -> bool:
        return bool(self._spool.waiting()) or self._spool.lost() > 0

    def _send_all(self, connection: Connection) -> None:
        """Send what waits; a file is removed when the other host has its bytes."""
        waiting = self._spool.waiting()
        for start in range(0, len(waiting), _BATCH):
            self._send(connection, waiting[start : start + _BATCH])
        lost = self._spool.lost()
        if lost:
            connection.check()
            connection.send(self._tell_lost(lost))
            connection.acknowledged()
            self._spool.told(lost)

    @staticmethod
    def _send(connection: Connection, batch: list[Path]) -> None:
        connection.check()
        for path in batch:
            connection.send(path.read_bytes())
        connection.acknowledged()
        for path in batch:
            path.unlink(missing_ok=True)

    @staticmethod
    def _report_lost(lost: int) -> None:
        """Say it of the first and then of every hundredth, not of each."""
        if lost % _LOST_TOLD == 1:
            _log.error("audit.lost", reason="the spool is full", lost=lost)

    def _report(self, error: Exception) -> None:
        """Say once that the server is away, not once a minute."""
        if not self._away:
            _log.error(
                "audit.server_away",
                server=f"{self._server.host}:{self._server.port}",
                error=str(error) or type(error).__name__,
            )
        self._away = True

    def _back(self) -> None:
        if self._away:
            _log.info("audit.server_back", waiting=len(self._spool.waiting()))
        self._away = False
        self._wait_seconds = _FIRST_WAIT_SECONDS
