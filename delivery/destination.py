"""A destination, as the courier sees it: takes parcels and says what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from db.outbox import Parcel


@dataclass(frozen=True)
class Sent:
    """The destination answered Success.

    Attributes
    ----------
    result_id
        The form that it took.
    commit
        Whether it is to be asked to commit to keeping it.
    """

    result_id: int
    commit: bool = False


@dataclass(frozen=True)
class Refused:
    """The destination takes no form of this object; trying again would change nothing."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """It did not work this time; a retry can help."""

    reason: str


@dataclass(frozen=True)
class Held:
    """It must not be sent while the destination knows the study as another patient's."""

    reason: str


Outcome = Sent | Refused | Failed | Held


class Away(Exception):
    """The destination cannot be reached, which says nothing about the parcel; it says why."""


class Line(Protocol):
    """A way to a destination that stays open from parcel to parcel; for one thread."""

    def open(self, parcels: Sequence[Parcel]) -> None:
        """Be ready to deliver these.

        Raises
        ------
        Away
            The destination cannot be reached.
        """
        ...

    def deliver(self, parcel: Parcel) -> Outcome:
        """Deliver one.

        Raises
        ------
        Away
            The line was lost before, and cannot be opened again.
        """
        ...

    def rest(self) -> None:
        """There is nothing to deliver for now; called again as long as that lasts."""
        ...

    def close(self) -> None:
        """End it; it can be opened again."""
        ...


class Destination(Protocol):
    """A place that gets results."""

    @property
    def name(self) -> str:
        """The destination's name in the settings."""
        ...

    @property
    def lines(self) -> Sequence[Line]:
        """The ways to it, which are used side by side."""
        ...
