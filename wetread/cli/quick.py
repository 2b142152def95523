"""``wetread status`` as a role of this node tells it, before anything slow is imported.

Where no role answers, or the call is more than plain, ``wetread.cli.status`` looks itself, with
the same outcome.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from wetread import local_socket, screen
from wetread.origin import ConfigError, Origin
from wetread.version import VERSION

_PATIENCE_SECONDS = 3.0
_FAILED = 1  # Exit.FAILED, whose module is slow to import


class Call:
    """What ``wetread status`` was called with.

    Parameters
    ----------
    options
        Of the command line, behind ``status``.

    Raises
    ------
    ValueError
        There are others than the plain ones; the command line proper knows them or says so.
    """

    def __init__(self, options: list[str]) -> None:
        self.config: Path | None = None
        self.as_json = self.check = False
        left = iter(options)
        for option in left:
            if option == "--json":
                self.as_json = True
            elif option == "--check":
                self.check = True
            elif option in ("-c", "--config") and (name := next(left, "")):
                self.config = Path(name)
            else:
                raise ValueError(f"{option!r} is not plain")


def status(options: list[str]) -> int | None:
    """Print the node's status.

    Parameters
    ----------
    options
        Of the command line, behind ``status``.

    Returns
    -------
    int or None
        The exit code; None if nothing was printed.
    """
    try:
        call = Call(options)
        told = _ask(call)
    except (OSError, ValueError, ConfigError):
        return None
    if told is None:
        return None
    text, alarms = told
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read left. Python writes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    return _FAILED if call.check and alarms else 0


def _ask(call: Call) -> tuple[str, int] | None:
    """The text, and how many alarms; None if no role with the same settings answers."""
    origin = Origin(call.config)
    folder = origin.data_dir()
    if folder is None:
        return None
    request = {
        "version": VERSION,
        "settings": origin.fingerprint(),
        "as_json": call.as_json,
        "coloured": screen.coloured(),
    }
    with local_socket.address(folder) as address, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE_SECONDS)
        connection.connect(address)
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as answer:
            told = json.loads(answer.read() or b"null")
    return (told["text"], told["alarms"]) if told else None
