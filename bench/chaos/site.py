"""What is killed: a node on a small disk, its PACS, and its database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.full_table import environment
from tests.disk import Disk
from tests.postgres import PostgresServer
from tools.node import Node
from tools.orthanc import Orthanc

# Of the disk: what a study and its results take, and what killed workers leave of theirs.
_MEGABYTES_OF_STUDY, _MEGABYTES_OF_REST = 15, 500
# Whatever is killed a dozen times is not the study's fault, and no fault lasts long.
_SETTINGS = """
[worker]
processes = 2
attempts = 100
lease_seconds = 5
retry_seconds = 0.5
retry_longest_seconds = 4
[delivery]
lease_seconds = 10
retry_seconds = 0.5
retry_longest_seconds = 4
[study]
quiet_seconds = { default = 5, CR = 5, DX = 5 }
"""


@dataclass(frozen=True)
class Site:
    """All that runs.

    Attributes
    ----------
    disk
        Where the node's data folder lies; None where none can be mounted.
    postgres
        The database's server; None with SQLite, which lies on the disk.
    """

    node: Node
    orthanc: Orthanc
    disk: Disk | None
    postgres: PostgresServer | None


@contextmanager
def running(folder: Path, kind: str, studies: int, disk: Disk | None = None) -> Iterator[Site]:
    """Start everything and stop it at the end.

    Parameters
    ----------
    folder
        Where it lies.
    kind
        Of the database: "sqlite" or "postgresql".
    studies
        How many the disk has room for.
    disk
        Where the node's data folder is to lie, mounted; None makes one where that is possible.
    """
    with ExitStack() as stack:
        if disk is None and os.geteuid() == 0:
            megabytes = studies * _MEGABYTES_OF_STUDY + _MEGABYTES_OF_REST
            disk = stack.enter_context(Disk(folder, "ext4", megabytes))
        data = (disk.root if disk else folder) / "data"
        postgres = stack.enter_context(PostgresServer()) if kind == "postgresql" else None
        url = postgres.new_database() if postgres else f"sqlite:///{data.parent / 'wetread.db'}"
        stack.enter_context(
            environment(
                WETREAD_DATABASE__URL=url,
                WETREAD_NODE__DATA_DIR=str(data),
                WETREAD_NODE__FREE_MEGABYTES="0",  # so that the disk may really be full
                WETREAD_NODE__RECEIVERS="2",
            )
        )
        orthanc = stack.enter_context(Orthanc(folder / "orthanc"))
        node = Node(folder / "node", [("pacs", orthanc.ae_title, orthanc.port)], _SETTINGS)
        stack.enter_context(node)
        yield Site(node, orthanc, disk, postgres)
