"""Which wetread this is; pyproject.toml takes the number from here."""

from __future__ import annotations

VERSION = "0.1.0"
