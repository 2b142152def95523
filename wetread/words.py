"""Numbers as people read them, and values as JSON."""

from __future__ import annotations

import json

_SIZES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_SPANS = ((86_400, "days"), (3600, "hours"), (60, "min"))


def shown_size(count: float) -> str:
    """A number of bytes."""
    for unit, name in _SIZES:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"


def shown_span(seconds: float) -> str:
    """A span of time; from two of a unit on in this unit."""
    for unit, name in _SPANS:
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def as_json_text(value: object) -> str:
    """A value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
