"""Starts every role as a process of its own, restarts what dies, and stops all together."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from wetread import log, roles
from wetread.config import Settings
from wetread.origin import SUPERVISED

_log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_STEADY_SECONDS = 60.0  # a process that lived this long starts afresh with the shortest wait
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05


class StartError(Exception):
    """A role failed before it was ever ready; ``exit_code`` is what it left with."""

    def __init__(self, name: str, exit_code: int) -> None:
        super().__init__(f"{name} could not start; its own message stands above")
        self.exit_code = exit_code


@dataclass
class _Child:
    """One role's process, over all its restarts."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    started_at: float = 0.0
    restart_at: float = 0.0
    wait_seconds: float = _FIRST_WAIT_SECONDS

    def start(self) -> None:
        environment = os.environ | {SUPERVISED: "1"}
        # Standard input stays open as long as the supervisor lives; its end tells the child.
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self.started_at = time.monotonic()
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == roles.READY.encode():
                self.ready.set()


class Supervisor:
    """Runs the whole node on this host.

    Parameters
    ----------
    settings
        How many receivers and workers.
    config_file
        Handed to each role.
    """

    def __init__(self, settings: Settings, config_file: Path | None) -> None:
        self._settings = settings
        arguments = ["-c", str(config_file)] if config_file else []
        self._children = [
            _Child(name, [sys.executable, "-m", "wetread", name, *arguments])
            for name in settings.roles()
        ]

    def run(self, stop: threading.Event) -> None:
        """Start all roles, print ``ready`` when all are, and restart what dies until ``stop``.

        Raises
        ------
        StartError
            A role ended before it was ready for the first time.
        """
        log.configure(self._settings.log, "supervisor", file=self._settings.log_file())
        try:
            self._start_all(stop)
            if not stop.is_set():
                roles.announce_ready()
            while not stop.wait(_POLL_SECONDS):
                for child in self._children:
                    self._keep_alive(child)
        finally:
            self._stop_all()

    def _start_all(self, stop: threading.Event) -> None:
        for child in self._children:
            child.start()
        waiting = list(self._children)
        while waiting and not stop.wait(_POLL_SECONDS):
            for child in list(waiting):
                assert child.process is not None
                if child.ready.is_set():
                    waiting.remove(child)
                elif (code := child.process.poll()) is not None:
                    raise StartError(child.name, code)

    def _keep_alive(self, child: _Child) -> None:
        moment = time.monotonic()
        if child.process is None:
            if moment >= child.restart_at:
                child.start()
            return
        code = child.process.poll()
        if code is None:
            return
        if moment - child.started_at >= _STEADY_SECONDS:
            child.wait_seconds = _FIRST_WAIT_SECONDS
        _log.error("role.died", name=child.name, exit_code=code, restart_in=child.wait_seconds)
        child.process = None
        child.restart_at = moment + child.wait_seconds
        child.wait_seconds = min(child.wait_seconds * 2, _LONGEST_WAIT_SECONDS)

    def _stop_all(self) -> None:
        running = [each.process for each in self._children if each.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.error("role.killed", pid=process.pid)
                process.kill()
                process.wait()
