"""A destination, as the courier sees it: takes parcels and says what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from db.outbox import Parcel


@dataclass(frozen=True)
class Sent:
    """The destination answered Success; ``result_id`` names the form that it took."""

    result_id: int


@dataclass(frozen=True)
class Refused:
    """The destination takes no form of this object; trying again would change nothing."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """It did not work this time; a retry can help."""

    reason: str


Outcome = Sent | Refused | Failed


class Destination(Protocol):
    """Takes results to one place."""

    @property
    def name(self) -> str:
        """The destination's name in the settings."""
        ...

    def deliver(self, parcels: Sequence[Parcel]) -> Iterator[tuple[Parcel, Outcome]]:
        """Deliver parcels in order; yields each outcome as soon as it is known."""
        ...
