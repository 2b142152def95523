"""What results say in words. English; every document states that the physician decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sr.findings import Decision, Grade, Normality, Probability, Region, Score, Segment, Urgency

_DISCLAIMER = "AI screening - not for diagnosis - the physician decides"
_NOTICE = (
    "Preliminary result of an automatic screening by artificial intelligence. "
    "Not for diagnosis: it may miss disease and may call disease where there is none. "
    "The physician reads the images and makes the decision."
)
_MEASURED_ONLY = "MEASURED ONLY"
_NO_CALL = "The model only measures; it calls nothing, and does not exclude disease."
_CAUTION = {
    Normality.NORMAL: "This does not exclude disease.",
    Normality.ABNORMAL: "",
    Normality.INDETERMINATE: "Please read without an AI result.",
}
_WITHIN = {1: "minutes", 2: "hours", 3: "days"}  # the ACR's categories of actionable findings
_SQUARE_CENTIMETRE = 100.0  # mm2


def percent_value(probability: float) -> str:
    """Return a probability 0..1 as a Numeric Value in percent with two decimals: ``"87.00"``."""
    return f"{100 * probability:.2f}"


def in_sentence(label: str) -> str:
    """Return a label without its capital, unless it is an abbreviation: ``"COVID-19"`` stays."""
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


@dataclass(frozen=True)
class Words:
    """The words of one language, as results use them.

    Parameters
    ----------
    language
        A language that ``sr.style.LANGUAGES`` names.
    translations
        By language: what the model's own texts (labels, titles, statements) read in it.
    """

    language: str = "en"
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def disclaimer(self) -> str:
        """The notice in one line."""
        return _DISCLAIMER

    @property
    def notice(self) -> str:
        """The notice in full."""
        return _NOTICE

    @property
    def measured_only(self) -> str:
        """The headline of a model that decides nothing."""
        return _MEASURED_ONLY

    def percent(self, probability: float) -> str:
        """Return a probability 0..1 for reading, never rounded to certainty: ``"87.0 %"``."""
        if probability >= 0.9995:
            return "> 99.9 %"
        if probability < 0.0005:
            return "< 0.1 %"
        return f"{100 * probability:.1f} %"

    def sentence(self, text: str) -> str:
        """Return a text with a full stop, unless it ends like a sentence already."""
        return text if text.endswith((".", "!", "?")) else f"{text}."

    # -- answers --

    def headline(self, decision: Decision | None) -> str:
        """Return an answer in a few words: ``"ABNORMAL, most likely pneumonia (71.3 %)"``."""
        if decision is None:
            return _MEASURED_ONLY
        answer = decision.normality.value.upper()
        if decision.normality is not Normality.ABNORMAL:
            return answer
        leading = decision.leading
        return f"{answer}, most likely {in_sentence(leading.label)} ({self.percent(leading.value)})"

    def caution(self, decision: Decision | None) -> str:
        """Return what an answer must not be taken for; nothing beside an abnormal one."""
        return _NO_CALL if decision is None else _CAUTION[decision.normality]

    def urgency(self, value: Urgency) -> str:
        """Return how urgent a study is: ``"ACR category 2, within hours: Red triage tag."``."""
        if value.category is None:
            return self.sentence(value.statement)
        within = f"ACR category {value.category}, within {_WITHIN[value.category]}"
        return f"{within}: {self.sentence(value.statement)}"

    def operating_point(self, decision: Decision) -> str:
        """Return the probability that decided, beside the value that it was compared with."""
        compared = f"operating point {self.percent(decision.threshold)}"
        if decision.band is not None:
            low, high = (f"{100 * each:.1f}" for each in decision.band)
            compared += f", indeterminate {low} to {high} %"
        probability = self.percent(decision.abnormal_probability)
        return f"Probability of abnormality {probability} ({compared})"

    def classes(self, probabilities: Iterable[Probability]) -> str:
        """Return classes or levels with their probabilities."""
        return ", ".join(f"{each.label} {self.percent(each.value)}" for each in probabilities)

    # -- measurements --

    def score(self, value: Score) -> str:
        """Return a score with its scale: ``"Opacity score 3.2 (scale 0 to 6)"``."""
        span = f"scale {value.lowest:g} to {value.highest:g}"
        return f"{value.name.meaning} {value.value:.1f} ({span})"

    def grade(self, value: Grade) -> str:
        """Return a grade with the level's probability: ``"Retinopathy grade: mild (71.0 %)"``."""
        stated = value.stated
        return f"{value.name.meaning}: {in_sentence(stated.label)} ({self.percent(stated.value)})"

    def region(self, number: int, value: Region) -> str:
        """Return what a box marks, with its number in the overlay: ``"(1) mass 91.0 %"``."""
        return f"({number}) {in_sentence(value.finding.label)} {self.percent(value.finding.value)}"

    def marked(self, regions: Sequence[tuple[int, Region]]) -> str:
        """Return what all boxes mark: ``"2 findings marked: (1) mass 91.0 %, (2) cyst 55.2 %"``."""
        count = f"{len(regions)} finding{'s' if len(regions) > 1 else ''} marked"
        return f"{count}: {', '.join(self.region(number, each) for number, each in regions)}"

    def covered(self, segment: Segment, image_area: float | None) -> str:
        """Return how much a finding covers; ``image_area`` is in mm2, None if not calibrated.

        ``"Lesion covers 12.4 cm2 (3.2 % of the image)"``, or the share alone.
        """
        if not segment.mask.any():
            return f"No {in_sentence(segment.label)} outlined"
        share = f"{self.percent(segment.share)} of the image"
        if image_area is None:
            return f"{segment.label} covers {share}"
        return f"{segment.label} covers {self.area(segment.share * image_area)} ({share})"

    def area(self, value: float) -> str:
        """Return an area given in mm2 for reading: ``"45 mm2"``, ``"12.4 cm2"``."""
        if value >= _SQUARE_CENTIMETRE:
            return f"{value / _SQUARE_CENTIMETRE:.1f} cm2"
        return f"{value:.0f} mm2" if value >= 10 else f"{value:.1f} mm2"

    # -- names of images --

    def place(self, index: int, total: int, view: str) -> str:
        """Return how a report names an image: ``"Image 1 of 2 (PA)"``.

        ``view`` is View Position (0018,5101) as it came; anything but a short word is left out.
        """
        known = f" ({view})" if view.isascii() and view.isalpha() and len(view) <= 4 else ""
        return f"Image{known}" if total == 1 else f"Image {index} of {total}{known}"

    def slice_place(self, index: int, total: int, instance: int | None) -> str:
        """Return which slice a picture shows: ``"Slice 2 of 3 shown, instance 12"``.

        ``instance`` is Instance Number (0020,0013), by which a viewer finds the slice.
        """
        shown = f"Slice {index} of {total} shown"
        return shown if instance is None else f"{shown}, instance {instance}"
