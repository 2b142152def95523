"""Keeps libraries from saying what only the node may decide to say."""

from __future__ import annotations

import logging
import warnings


def silence_libraries() -> None:
    """Keep libraries quiet: their warnings quote what peers say, which may be a patient's name."""
    warnings.simplefilter("ignore")
    for name in ("pydicom", "pynetdicom", "dicomweb_client", "retrying", "urllib3", "uvicorn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
