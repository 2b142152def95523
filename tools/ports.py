"""Free TCP ports."""

from __future__ import annotations

import random
import socket

# Below what the kernel hands to outgoing connections, so that none of those takes the port first.
_LOWEST, _HIGHEST = 15_000, 32_000


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on now."""
    while True:
        port = random.randint(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
