"""Who gets which results, in which form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)

from db.outbox import Letter
from sr.bundle import ResultObject
from sr.findings import Reading
from sr.identity import Kind
from sr.style import DEFAULT_KINDS, DEFAULT_STYLE, Style

REPORT_CLASSES = (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    BasicTextSRStorage,
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What one destination gets.

    Attributes
    ----------
    destination
        Its name.
    kinds
        Which results.
    style
        How they look.
    report_classes
        SOP classes that the measurement report may be sent as, best first. The Basic Text SR is
        left out where the text report goes there anyway.
    negatives
        Whether a reading that calls everything normal is sent.
    notices
        Whether a study that was not processed sends a notice that says why.
    """

    destination: str
    kinds: tuple[Kind, ...] = DEFAULT_KINDS
    style: Style = DEFAULT_STYLE
    report_classes: tuple[UID, ...] = REPORT_CLASSES
    negatives: bool = True
    notices: bool = False

    @property
    def measurement_classes(self) -> tuple[UID, ...]:
        """SOP classes as which the measurement report is sent, best first."""
        text_goes_too = Kind.TEXT in self.kinds
        return tuple(
            each
            for each in self.report_classes
            if not (each == BasicTextSRStorage and text_goes_too)
        )

    def letters(self, objects: Sequence[ResultObject]) -> Iterator[Letter]:
        """Address objects of this profile's style, in their order."""
        wanted = [each for each in objects if each.kind in self.kinds]
        for kind, number in dict.fromkeys((each.kind, each.number) for each in wanted):
            alternatives = [each for each in wanted if (each.kind, each.number) == (kind, number)]
            forms = self._forms(kind, alternatives)
            if forms:
                yield Letter(
                    destination=self.destination, kind=kind.value, number=number, forms=forms
                )

    def _forms(self, kind: Kind, alternatives: Sequence[ResultObject]) -> tuple[str, ...]:
        uids = {each.dataset.SOPClassUID: str(each.dataset.SOPInstanceUID) for each in alternatives}
        if kind is not Kind.REPORT:
            return tuple(uids.values())
        return tuple(uids[each] for each in self.measurement_classes if each in uids)


def addressed(profiles: Iterable[Profile], reading: Reading) -> tuple[list[Profile], str | None]:
    """Choose the destinations that want a reading.

    Returns
    -------
    tuple
        Their profiles, and why the others get nothing (None if there are none).
    """
    profiles = list(profiles)
    wanting = [each for each in profiles if each.negatives or not reading.is_negative]
    others = [each.destination for each in profiles if each not in wanting]
    reason = f"negative, not sent to {', '.join(others)}" if others else None
    return wanting, reason


def by_style(profiles: Iterable[Profile]) -> list[tuple[Style, list[Profile]]]:
    """Group profiles whose objects look alike."""
    groups: dict[str, list[Profile]] = {}
    for each in profiles:
        groups.setdefault(each.style.key, []).append(each)
    return [(group[0].style, group) for group in groups.values()]
