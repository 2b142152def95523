"""Reads from a certificate how long it is valid; the standard library does not tell of our own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18


@dataclass(frozen=True, kw_only=True)
class Validity:
    """When a certificate is valid (RFC 5280 section 4.1.2.5)."""

    not_before: datetime
    not_after: datetime


def validity(certificate: bytes) -> Validity:
    """Read it from a certificate in DER form.

    Raises
    ------
    ValueError
        These bytes are no certificate.
    """
    try:
        ((_, whole),) = _elements(certificate)
        (_, signed), *_ = _elements(whole)
        fields = _elements(signed)
        # [version], serial number, algorithm, issuer, validity
        _, dates = fields[4 if fields[0][0] == _VERSION else 3]
        begin, end = _elements(dates)
    except (IndexError, TypeError) as error:
        raise ValueError("these bytes are no certificate") from error
    return Validity(not_before=_time(*begin), not_after=_time(*end))


def _elements(content: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each element, one after the other."""
    found = []
    while content:
        tag, length, start = content[0], content[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(content[2:start], "big")
        if start + length > len(content):
            raise ValueError("an element ends too early")
        found.append((tag, content[start : start + length]))
        content = content[start + length :]
    return found


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        century = "19" if text[:2] >= "50" else "20"  # RFC 5280 section 4.1.2.5.1
        text = century + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("a time of another kind")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
