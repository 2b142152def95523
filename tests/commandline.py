"""Runs ``wetread`` within the test's process, as the installed command does."""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wetread.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be bare JSON."""
        return json.loads(self.out)


class CommandLine:
    """Calls ``wetread`` in an empty folder, with no settings but the test's."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name in list(os.environ):
            if name.startswith("WETREAD_"):
                monkeypatch.delenv(name)
        monkeypatch.chdir(folder)
        for library in ("pydicom", "pynetdicom"):  # whose loggers the command silences
            monkeypatch.setattr(logging.getLogger(library), "level", logging.WARNING)

    def __call__(self, *arguments: object) -> Done:
        """Run a command; it must not show a traceback."""
        self._monkeypatch.setattr(sys, "argv", ["wetread", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main.run()
        printed = self._capsys.readouterr()
        assert "Traceback" not in printed.err
        code = caught.value.code
        return Done(code if isinstance(code, int) else 0, printed.out, printed.err)
