"""How a site wants its results: language, banner, series numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256

from sr.identity import SERIES_NUMBERS, Kind

LANGUAGES = ("en", "ja", "fr")
DEFAULT_KINDS = (Kind.REPORT, Kind.TEXT, Kind.OVERLAY)


class KeyImagesFor(Enum):
    """What the key object selection is for; decides its title (PS3.16 CID 7010)."""

    INTEREST = "of-interest"
    RESEARCH = "for-research"


@dataclass(frozen=True, kw_only=True)
class Style:
    """How the objects of one destination look.

    Attributes
    ----------
    language
        One of ``LANGUAGES``. Coded meanings and concept names stay English.
    banner
        What the overlay's upper band says instead of the notice, which then stands below; empty
        for the notice.
    series_numbers
        Series Number of each kind that does not have its own of ``SERIES_NUMBERS``.
    key_images_for
        The title of the key object selection.
    """

    language: str = "en"
    banner: str = ""
    series_numbers: Mapping[Kind, int] = field(default_factory=dict)
    key_images_for: KeyImagesFor = KeyImagesFor.INTEREST

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise ValueError(f"language {self.language!r} is not one of {', '.join(LANGUAGES)}")

    def series_number(self, kind: Kind) -> int:
        """Return the Series Number of a kind."""
        return self.series_numbers.get(kind, SERIES_NUMBERS[kind])

    @property
    def key(self) -> str:
        """A short name that differs for styles whose objects differ; empty for the default one.

        It goes into the UIDs: two objects of one UID must not differ.
        """
        changed = sorted(
            f"{kind.value} {number}"
            for kind, number in self.series_numbers.items()
            if number != SERIES_NUMBERS[kind]
        )
        parts = [self.language, self.banner, self.key_images_for.value, *changed]
        if parts == ["en", "", KeyImagesFor.INTEREST.value]:
            return ""
        return sha256("\n".join(parts).encode()).hexdigest()[:12]


DEFAULT_STYLE = Style()
