"""Who wants to know what goes out: an audit trail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from db.errors import where
from db.outbox import Parcel
from db.schema import DeliveryState
from delivery.destination import Outcome

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Recorded:
    """What became of a parcel, and the state that it is in now."""

    parcel: Parcel
    outcome: Outcome
    state: DeliveryState


class Observer(Protocol):
    """Is told of each batch, in the thread that delivers it.

    What it raises is logged and changes nothing for the delivery.
    """

    def begun(self, destination: str, parcels: Sequence[Parcel]) -> None:
        """Note that parcels are about to be sent."""
        ...

    def ended(self, destination: str, recorded: Sequence[Recorded]) -> None:
        """Note what became of them; those that were given back are left out."""
        ...


class Unobserved:
    """Nobody wants to know."""

    def begun(self, destination: str, parcels: Sequence[Parcel]) -> None:
        """Do nothing."""

    def ended(self, destination: str, recorded: Sequence[Recorded]) -> None:
        """Do nothing."""


def tell(event: Callable[[], None]) -> None:
    """Tell an observer of an event, whatever comes of it."""
    try:
        event()
    except Exception as error:  # noqa: BLE001 - an observer must not cost a delivery
        _log.error("observer.trouble", error=where(error))
