"""Reasons in English that can be said in another language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self


class Reason(str):
    """A sentence in English that knows its template and what was put into it.

    Wherever text is expected it is the sentence; a catalogue of another language looks up the
    template.

    Parameters
    ----------
    template
        English, with ``{names}`` for the values.
    values
        What stands in their place; neither a person's name nor an ID.
    """

    template: str
    values: Mapping[str, str]

    def __new__(cls, template: str, **values: object) -> Self:
        """Fill the template."""
        shown = {name: str(value) for name, value in values.items()}
        self = super().__new__(cls, template.format(**shown))
        self.template, self.values = template, shown
        return self

    @classmethod
    def of(cls, text: str, **values: object) -> Self:
        """Return ``text`` if it is a reason already, else the reason with this template."""
        return text if isinstance(text, cls) else cls(text, **values)

    def record(self) -> dict[str, Any]:
        """Return what ``recorded`` makes the same reason of; for JSON."""
        return {"template": self.template, "values": dict(self.values)}

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> Self:
        """Return a reason from its record."""
        return cls(record["template"], **record["values"])
