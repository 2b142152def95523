"""How times, sizes and names are written on a page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from wetread.words import shown_size, shown_span

NONE = "\u2013"


def moment(value: str | float | None) -> Markup | str:
    """A time, on the clock of this host's time zone."""
    if value is None:
        return NONE
    try:
        at = _parsed(value)
    except ValueError:
        return str(value)  # of a file that others may write into
    stamp, shown = at.isoformat(timespec="seconds"), f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
    return Markup('<time datetime="{}">{}</time>').format(stamp, shown)


def ago(value: str | float | None) -> str:
    """How long ago a time is."""
    if value is None:
        return NONE
    seconds = (datetime.now(UTC) - _parsed(value)).total_seconds()
    return f"{span(abs(seconds))} ago" if seconds >= 0 else f"in {span(-seconds)}"


def span(seconds: float | None) -> str:
    """A span of time."""
    return NONE if seconds is None else shown_span(seconds)


def size(count: float | None) -> str:
    """A number of bytes."""
    return NONE if count is None else shown_size(count)


def number(value: float | None) -> str:
    """A count, its thousands apart."""
    return NONE if value is None else f"{value:,.0f}".replace(",", "\u202f")


def percent(value: float | None) -> str:
    """A probability."""
    return NONE if value is None else f"{100 * value:.1f} %"


def person(name: str) -> str:
    """A patient's name as people write it; its writings (PS3.5 section 6.2, VR PN) side by side."""
    return " / ".join(filter(None, map(_written, name.split("=")))) or NONE


def date(value: str) -> str:
    """A date of DICOM (VR DA); what is none stays as it is."""
    if len(value) == 8 and value.isdecimal():
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    return value or NONE


def _written(name: str) -> str:
    family, _, rest = name.partition("^")
    given = " ".join(filter(None, rest.split("^")))
    return ", ".join(filter(None, (family.strip(), given.strip())))


def _parsed(value: str | float) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return datetime.fromtimestamp(value, UTC)


FILTERS: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (moment, ago, span, size, number, percent, person, date)
}
"""What templates may use."""
