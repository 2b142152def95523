"""What each destination gets, as the settings say it."""

from __future__ import annotations

from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)

from inference.addressing import Profile
from sr.identity import Kind
from sr.style import KeyImagesFor, Style
from wetread.sections import Destination

_REPORT_CLASSES = {
    "comprehensive-3d": Comprehensive3DSRStorage,
    "comprehensive": ComprehensiveSRStorage,
    "enhanced": EnhancedSRStorage,
    "basic-text": BasicTextSRStorage,
}


def profile(destination: Destination) -> Profile:
    """Return the profile that a destination's settings describe."""
    results = destination.results
    numbers = {Kind(kind): number for kind, number in results.series_numbers.items()}
    return Profile(
        destination=destination.name,
        kinds=tuple(Kind(each) for each in results.send),
        style=Style(
            language=results.language,
            banner=results.banner,
            series_numbers=numbers,
            key_images_for=KeyImagesFor(results.key_images),
        ),
        report_classes=tuple(_REPORT_CLASSES[each] for each in results.fallback),
        negatives=results.negatives,
        notices=results.not_processed,
    )
