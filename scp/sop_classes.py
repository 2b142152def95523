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
    known = _by_name()
    uid = known.get(name, name)
    if uid not in known.values():
        raise ValueError(f"{name[:80]!r} is no storage SOP class, such as 'CTImageStorage'")
    return uid


@cache
def _by_name() -> dict[str, str]:
    uids = [UID(each.abstract_syntax or "") for each in AllStoragePresentationContexts]
    return {each.keyword: str(each) for each in uids}
