"""What the checks look at: the settings, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from db.engine import Database
from wetread.config import Settings


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """A node, as it is looked at from this host.

    Attributes
    ----------
    settings
        The node's.
    file
        Where they stand; None for the defaults and the environment.
    devices
        Where the operating system lists its devices.
    patience_seconds
        How long the test study may take.
    """

    settings: Settings
    file: Path | None = None
    devices: Path = Path("/dev")
    patience_seconds: float = 120.0

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads, and never makes or upgrades anything."""
        database = Database(self.settings.database.url)
        try:
            with database.read() as connection:
                yield connection
        finally:
            database.close()
