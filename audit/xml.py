"""Writes XML on one line, whatever text a peer sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

# XML 1.0 section 2.2: all but these may stand in a document, even as a reference. Lone
# surrogates are among them; they cannot be encoded as UTF-8 either.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Markup, and whatever some reader takes for the end of a line: one message is one line.
_ESCAPED = re.compile("[&<>\"'\t\n\r\u007f-\u009f\u2028\u2029]")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}


def element(name: str, attributes: Mapping[str, str | None], *children: str, text: str = "") -> str:
    """One element.

    Parameters
    ----------
    name
        Its tag.
    attributes
        Those that are None are left out.
    children
        Elements in it, as this function returns them.
    text
        Its text, if it has no children.
    """
    given = "".join(f' {key}="{escaped(value)}"' for key, value in _present(attributes))
    content = "".join(children) or escaped(text)
    return f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>"


def escaped(text: str) -> str:
    """Text as it stands in an element or between quotation marks.

    What XML cannot hold at all becomes U+FFFD, so that it is seen that something was there.
    """
    return _ESCAPED.sub(_reference, _FORBIDDEN.sub("\ufffd", text))


def _present(attributes: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in attributes.items() if value is not None)


def _reference(match: re.Match[str]) -> str:
    found = match.group()
    return _NAMED.get(found, f"&#{ord(found)};")
