"""DCMTK's storescp as a PACS that accepts only what it is told to."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydicom import Dataset, dcmread

from tools.ports import free_port

_CONFIG = """\
[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[Accepted]
{contexts}
[[Profiles]]
[Accepted]
PresentationContexts = Accepted
"""


class StoreScp:
    """A storescp process.

    Parameters
    ----------
    folder
        Where it keeps what it gets.
    classes
        Names of the SOP classes that it accepts, as DCMTK spells them; nothing else, not even
        Verification.
    """

    ae_title = "LIMITED"

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self._inbox = folder / "inbox"
        self._inbox.mkdir()
        lines = [
            f"PresentationContext{number} = {name}\\Uncompressed"
            for number, name in enumerate(classes, start=1)
        ]
        config = folder / "association.cfg"
        config.write_text(_CONFIG.format(contexts="\n".join(lines)), "utf-8")
        self._command = ["storescp", "-od", str(self._inbox), "-xf", str(config), "Accepted"]
        self._command.append(str(self.port))

    @staticmethod
    def installed() -> bool:
        """Whether it can be started here."""
        return shutil.which("storescp") is not None

    def datasets(self) -> list[Dataset]:
        """Every object that came."""
        return [dcmread(each) for each in sorted(self._inbox.iterdir())]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise RuntimeError("storescp did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
