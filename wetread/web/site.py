"""What the dashboard is made of, for whoever answers a request."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.trail import Trail
from db.archive import Archive
from db.engine import Database
from inference.package import Package
from wetread.config import Settings
from wetread.web.door import Door

_AGAIN_SECONDS = 600.0
_REMEMBERED = 20_000


class Shown:
    """Which studies somebody was shown lately: a page that updates itself is told of once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[tuple[str, str], float] = {}

    def new(self, account: str, study_uids: Sequence[str]) -> list[str]:
        """Those of the studies that they were not shown within ten minutes."""
        moment = time.monotonic()
        with self._lock:
            if len(self._until) > _REMEMBERED:
                self._until.clear()  # too much is told then, never too little
            found = [each for each in study_uids if self._until.get((account, each), -1.0) < moment]
            self._until |= {(account, each): moment + _AGAIN_SECONDS for each in found}
        return found


@dataclass(frozen=True, kw_only=True)
class Site:
    """What every page may need.

    Attributes
    ----------
    settings
        Of the node.
    database, archive
        What is told of.
    trail
        Where it is audited.
    door
        Who is logged in.
    shown
        Who saw what lately.
    packages
        The models on this host, by name.
    """

    settings: Settings
    database: Database
    archive: Archive
    trail: Trail
    door: Door
    shown: Shown
    packages: Mapping[str, Package]
