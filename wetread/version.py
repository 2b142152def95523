"""Which wetread this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """The installed version; "not installed" when run from a bare checkout."""
    try:
        return metadata.version("wetread")
    except metadata.PackageNotFoundError:
        return "not installed"
