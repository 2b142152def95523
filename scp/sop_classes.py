"""Storage SOP classes by name, as the settings give them."""

from __future__ import annotations

from functools import cache

from pydicom.uid import UID
from pynetdicom import AllStoragePresentationContexts


def storage_class(name: str) -> str:
    """UID of a storage SOP class that is accepted, by UID or by name, e.g. ``CTImageStorage``.

    Raises
    ------
    ValueError
        There is no such class, or it is not for storage.
    """
    uid = _by_name().get(name, name)
    if uid not in storage_classes():
        raise ValueError(f"{name[:80]!r} is no storage SOP class, such as 'CTImageStorage'")
    return uid


@cache
def storage_classes() -> frozenset[str]:
    """UIDs of all of them."""
    return frozenset(each.abstract_syntax or "" for each in AllStoragePresentationContexts)


@cache
def _by_name() -> dict[str, str]:
    # The newest classes have no keyword in pydicom's dictionary yet; they go by UID.
    return {keyword: uid for uid in storage_classes() if (keyword := UID(uid).keyword)}
