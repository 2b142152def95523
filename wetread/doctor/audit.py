"""The audit trail: whether its file can be written, and its server takes messages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from audit.syslog import Server
from wetread.doctor.finding import Finding, failed, ok, warning
from wetread.doctor.reach import Unreached, connect, not_secured
from wetread.doctor.surroundings import Surroundings
from wetread.trails import syslog_server


def audit(surroundings: Surroundings) -> Iterator[Finding]:
    """Open the file, and connect to the server; write and send nothing."""
    settings = surroundings.settings
    if settings.audit.file:
        yield _file(settings.node.data_dir / settings.audit.file)
    server = syslog_server(settings.audit)
    if server is not None:
        try:
            yield _server(server)
        except Unreached as error:
            yield failed(
                "server",
                f"{server.host}:{server.port}: {error}: messages wait on this host",
                error.remedy,
            )
    if not settings.audit.file and server is None:
        yield warning("trail", "none is kept", "set file or syslog_host in [audit]")


def _file(path: Path) -> Finding:
    # The nearest that there is: the file, or the folder in which it would be made.
    place = next(each for each in (path, *path.parents) if each.exists())
    if os.access(place, os.W_OK):
        return ok("file", f"{path}: can be written")
    return failed(
        "file",
        f"{place}: this user may not write it",
        "give it to the user of the node (chown), or mount its disk for writing",
    )


def _server(server: Server) -> Finding:
    try:
        with server.connect():
            return ok("server", f"{server.host}:{server.port} takes us, over TLS")
    except OSError as error:
        connect(server.host, server.port).close()  # raises what keeps us from it, if TLS does not
        raise not_secured(server.host, error) from error
