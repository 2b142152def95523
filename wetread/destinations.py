"""The destinations of the settings, as the courier sees them."""

from __future__ import annotations

from db.archive import Archive
from delivery.cstore import CStoreDestination
from delivery.destination import Destination
from delivery.patient import CheckPatient
from wetread import sections
from wetread.config import Settings
from wetread.peers import destination_peer, web_peer


def destinations(settings: Settings, archive: Archive) -> list[Destination]:
    """Each with the way that leads to it.

    Raises
    ------
    ConfigError
        A file of the TLS of one, or the one with its secret, cannot be used.
    """
    return [_destination(settings, each, archive) for each in settings.destination]


def _destination(settings: Settings, given: sections.Destination, archive: Archive) -> Destination:
    check = CheckPatient(given.check_patient)
    if given.url:
        # Only where it is needed: it imports a large library.
        from delivery.stow import StowDestination

        return StowDestination(
            given.name,
            web_peer(given),
            archive,
            connections=given.associations,
            check_patient=check,
        )
    return CStoreDestination(
        given.name,
        destination_peer(settings, given),
        archive,
        associations=given.associations,
        commitment=given.commitment,
        check_patient=check,
    )
