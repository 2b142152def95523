"""Numbers, times and texts as people read them, and values as JSON."""

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


def shown_moment(stamp: str) -> str:
    """A time by ISO 8601, to the second, on the clock of this host's time zone."""
    from datetime import datetime  # here: see wetread.cli.quick

    return f"{datetime.fromisoformat(stamp).astimezone():%Y-%m-%d %H:%M:%S}"


def shown_text(said: str) -> str:
    """A text on one line, without what would move a terminal's cursor: a peer may have sent it."""
    return "".join(each if each.isprintable() else "?" for each in said)


def as_json_text(value: object) -> str:
    """A value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
