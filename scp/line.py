"""Reading from and writing to a peer that may be slow, silent or gone."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

_TICK_SECONDS = 0.1  # how soon a wish of our own to leave is noticed
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux
_BURST_SECONDS = 1.0  # what a peer that paused may send at once, of its rate


class PeerGone(ConnectionError):
    """The connection is closed or broken."""


class PeerTooSlow(TimeoutError):
    """The peer is silent for too long, or sends less than a trickle."""


class Interrupted(Exception):
    """We want to do something else with the association."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a peer is waited for, and how fast it may go.

    Attributes
    ----------
    silence_seconds
        It is cut off after sending nothing for this long.
    floor_bytes_per_second
        It is cut off when it sends less within a message, measured over ``silence_seconds``.
    bytes_per_second
        It is slowed down to this; None for as fast as it goes.
    """

    silence_seconds: float
    floor_bytes_per_second: float = 0.0
    bytes_per_second: float | None = None


class Line:
    """A connected socket, read as fast as bytes come.

    Parameters
    ----------
    connection
        The socket; non-blocking until ``release``.
    limits
        See ``Limits``.
    interrupted
        Asked while waiting: whether to stop, given whether a message is under way.
    """

    def __init__(
        self, connection: socket.socket, limits: Limits, interrupted: Callable[[bool], bool]
    ) -> None:
        self._socket = connection
        self._limits = limits
        self._interrupted = interrupted
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._pace = Pace(limits.bytes_per_second) if limits.bytes_per_second else None
        self._in_message = False
        self._window_began = 0.0
        self._window_bytes = 0
        connection.setblocking(False)

    def expect(self, more: bool) -> None:
        """Say whether the peer owes bytes: the rest of a message."""
        if more and not self._in_message:
            self._open_window()
        self._in_message = more

    def read(self, into: memoryview) -> int:
        """Wait for bytes and read them.

        Raises
        ------
        PeerGone, PeerTooSlow, Interrupted
            No bytes will be waited for any longer.
        """
        if self._pace is not None:
            into = into[: self._pace.portion]
        while True:
            try:
                count = self._socket.recv_into(into)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait()
            except OSError as error:
                raise PeerGone(str(error)) from error
            else:
                break
        if not count:
            raise PeerGone("closed by the peer")
        self._window_bytes += count
        if self._pace is not None:
            self._pace.spend(count)
        return count

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises
        ------
        PeerGone, PeerTooSlow
            The peer does not take it.
        """
        try:
            self._socket.settimeout(self._limits.silence_seconds)
            self._socket.sendall(data)
            self._socket.setblocking(False)
        except TimeoutError as error:
            raise PeerTooSlow("takes no answer") from error
        except OSError as error:
            raise PeerGone(str(error)) from error
        self._open_window()  # the time until here was ours, not the peer's

    def release(self, timeout_seconds: float | None) -> None:
        """Leave the socket as others expect it: blocking, with a timeout."""
        self._socket.settimeout(timeout_seconds)

    def _wait(self) -> None:
        if _QUICKACK is not None:
            # A peer with Nagle's algorithm on holds its last segment back until we acknowledge
            # the one before, which we would do 40 ms later. The option does not last: ask anew.
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        began = time.monotonic()
        while not self._poll.poll(_TICK_SECONDS * 1000):
            if self._interrupted(self._in_message):
                raise Interrupted
            if time.monotonic() - began > self._limits.silence_seconds:
                raise PeerTooSlow("silent")
        if self._in_message:
            self._check_floor()

    def _check_floor(self) -> None:
        elapsed = time.monotonic() - self._window_began
        if elapsed < self._limits.silence_seconds:
            return
        if self._window_bytes < self._floor * elapsed:
            raise PeerTooSlow(f"{self._window_bytes / elapsed:.0f} bytes per second")
        self._open_window()

    def _open_window(self) -> None:
        self._window_began, self._window_bytes = time.monotonic(), 0

    @property
    def _floor(self) -> float:
        rate = self._limits.bytes_per_second
        floor = self._limits.floor_bytes_per_second
        return floor if rate is None else min(floor, rate / 2)  # not slow because we slow it down


class Pace:
    """Holds a reader to a rate.

    Parameters
    ----------
    bytes_per_second
        The average; after a pause, a second's worth may come at once.
    """

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._spent_until = 0.0

    @property
    def portion(self) -> int:
        """Bytes to read at most in one go, so that no pause is longer than about a second."""
        return max(1, int(self._rate))

    def spend(self, count: int) -> None:
        """Wait until these bytes are within the rate."""
        moment = time.monotonic()
        self._spent_until = max(self._spent_until, moment - _BURST_SECONDS) + count / self._rate
        if self._spent_until > moment:
            time.sleep(self._spent_until - moment)
