"""The socket in the data folder on which a role answers ``wetread status``.

A request and its answer are a line of JSON each. Who may write to the socket may ask: the node's
own user, and root. Nothing of a patient passes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "status.sock"
MOST_BYTES = 10_000
"""Of a request."""


@contextmanager
def address(folder: Path, name: str = NAME) -> Iterator[str]:
    """A path of the socket that is short enough: the system takes no more than 107 bytes."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{opened}/{name}"
    finally:
        os.close(opened)
