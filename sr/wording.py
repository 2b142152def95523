"""What results say in words, in the language of their destination.

The sentences stand in the catalogues (``sr.catalogue``); here they are chosen and filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pydicom.sr.coding import Code

from sr.catalogue import Catalogue, catalogue
from sr.findings import (
    Algorithm,
    Decision,
    Grade,
    Normality,
    NotAssessed,
    Probability,
    Region,
    Score,
    Segment,
    Urgency,
)
from sr.reasons import Reason

_SQUARE_CENTIMETRE = 100.0  # mm2
_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")  # noqa: RUF001


def percent_value(probability: float) -> str:
    """Return a probability 0..1 as a Numeric Value in percent with two decimals: ``"87.00"``."""
    return f"{100 * probability:.2f}"


def in_sentence(label: str) -> str:
    """Return a label without its capital, unless it is an abbreviation: ``"COVID-19"`` stays."""
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


def capital(text: str) -> str:
    """Return a text with a capital letter in front."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Words:
    """The words of one language, as results use them.

    Parameters
    ----------
    language
        A language that ``sr.style.LANGUAGES`` names.
    translations
        By language: what the model's own texts (labels, titles, statements) read in it. They go
        before the names that the catalogue has for coded findings; what neither has stays English.
    """

    language: str = "en"
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The sentences of the language."""
        return catalogue(self.language)

    def say(self, key: str, **values: object) -> str:
        """Return a sentence of the catalogue with its placeholders filled."""
        return self.catalogue.say(key, **values)

    # -- the notice --

    @property
    def disclaimer(self) -> str:
        """The notice in one line."""
        return self.say("disclaimer")

    @property
    def notice(self) -> str:
        """The notice in full, and in any other language than English one line of English."""
        return self._with_english(self.say("notice"))

    @property
    def not_read_notice(self) -> str:
        """The notice of a document that tells of no result."""
        return self._with_english(self.say("not_read_notice"))

    def _with_english(self, told: str) -> str:
        if self.language == "en":
            return told
        # Validators and other departments look for the English words.
        return f"{told} {Words().sentence(Words().disclaimer)}"

    @property
    def measured_only(self) -> str:
        """The headline of a model that decides nothing."""
        return self.say("measured_only")

    # -- sentences and lists --

    def sentence(self, text: str) -> str:
        """Return a text with a capital and a full stop, unless it ends like a sentence already."""
        end = "" if text.endswith(_SENTENCE_ENDS) else self.catalogue.full_stop
        return f"{capital(text)}{end}"

    def sentences(self, texts: Iterable[str]) -> str:
        """Return several texts as sentences, one after the other."""
        return self.catalogue.space.join(map(self.sentence, texts))

    def listed(self, items: Iterable[str]) -> str:
        """Return items with commas between them."""
        return self.catalogue.comma.join(items)

    def about(self, subject: str, told: str) -> str:
        """Return what is told of something: ``"Study: NORMAL"``."""
        return self.say("about", subject=subject, told=told)

    # -- names --

    def own(self, text: str) -> str:
        """Return one of the model's own texts, in the language if the model brings it."""
        return self.translations.get(self.language, {}).get(text, text)

    def label(self, label: str, code: Code | None = None) -> str:
        """Return what a label reads in the language: by the model, else by its code."""
        own = self.own(label)
        if own != label or code is None:
            return own
        return self.catalogue.finding(code.scheme_designator, code.value) or label

    def reason(self, reason: Reason) -> str:
        """Return a reason in the language; one that the catalogue does not know stays English."""
        return self.catalogue.reason(reason)

    # -- numbers --

    def number(self, value: float, decimals: int = 1) -> str:
        """Return a number for reading."""
        return f"{value:.{decimals}f}".replace(".", self.catalogue.decimal)

    def percent(self, probability: float) -> str:
        """Return a probability 0..1 for reading, never rounded to certainty: ``"87.0 %"``."""
        if probability >= 0.9995:
            return self.say("percent_above", number=self.number(99.9))
        if probability < 0.0005:
            return self.say("percent_below", number=self.number(0.1))
        return self.say("percent", number=self.number(100 * probability))

    def area(self, value: float) -> str:
        """Return an area given in mm2 for reading: ``"45 mm2"``, ``"12.4 cm2"``."""
        if value >= _SQUARE_CENTIMETRE:
            return self.say("square_centimetres", number=self.number(value / _SQUARE_CENTIMETRE))
        return self.say("square_millimetres", number=self.number(value, 0 if value >= 10 else 1))

    # -- answers --

    def headline(self, decision: Decision | None) -> str:
        """Return an answer in a few words: ``"ABNORMAL, most likely pneumonia (71.3 %)"``."""
        if decision is None:
            return self.measured_only
        if decision.normality is not Normality.ABNORMAL:
            return self.say(decision.normality.value)
        leading = decision.leading
        return self.say(
            "abnormal", finding=self._finding(leading), probability=self.percent(leading.value)
        )

    def caution(self, decision: Decision | None) -> str:
        """Return what an answer must not be taken for; nothing beside an abnormal one."""
        if decision is None:
            return self.say("caution_measured_only")
        if decision.normality is Normality.ABNORMAL:
            return ""
        return self.say(f"caution_{decision.normality.value}")

    def summary(self, decision: Decision) -> str:
        """Return what an answer means."""
        return self.say(f"summary_{decision.normality.value}")

    def urgency(self, value: Urgency) -> str:
        """Return how urgent a study is: ``"ACR category 2, within hours: Red triage tag."``."""
        statement = self.sentence(self.own(value.statement))
        if value.category is None:
            return statement
        return self.say(f"urgency_{value.category}", statement=statement)

    def operating_point(self, decision: Decision) -> str:
        """Return the probability that decided, beside the value that it was compared with."""
        told = {
            "probability": self.percent(decision.abnormal_probability),
            "threshold": self.percent(decision.threshold),
        }
        if decision.band is None:
            return self.say("operating_point", **told)
        low, high = decision.band
        low_told, high_told = self.number(100 * low), self.percent(high)
        return self.say("operating_point_with_band", low=low_told, high=high_told, **told)

    def classes(self, probabilities: Iterable[Probability]) -> str:
        """Return classes or levels with their probabilities."""
        return self.listed(
            self.say(
                "class",
                label=self.label(each.label, each.finding),
                probability=self.percent(each.value),
            )
            for each in probabilities
        )

    def _finding(self, found: Probability) -> str:
        return in_sentence(self.label(found.label, found.finding))

    # -- measurements --

    def score(self, value: Score) -> str:
        """Return a score with its scale: ``"Opacity score 3.2 (scale 0 to 6)"``."""
        name = self.label(value.name.meaning, value.name)
        return self.say("score", name=name, **self._on_scale(value))

    def score_value(self, value: Score) -> str:
        """Return a score's value with its scale: ``"3.2 (0 to 6)"``."""
        return self.say("score_value", **self._on_scale(value))

    def _on_scale(self, value: Score) -> dict[str, str]:
        ends = {"lowest": value.lowest, "highest": value.highest}
        told = {key: f"{each:g}".replace(".", self.catalogue.decimal) for key, each in ends.items()}
        return {"value": self.number(value.value), **told}

    def grade(self, value: Grade) -> str:
        """Return a grade with the level's probability: ``"Retinopathy grade: mild (71.0 %)"``."""
        return self.say(
            "grade",
            name=self.label(value.name.meaning, value.name),
            level=self._finding(value.stated),
            probability=self.percent(value.stated.value),
        )

    def region(self, number: int, value: Region) -> str:
        """Return what a box marks, with its number in the overlay: ``"(1) mass 91.0 %"``."""
        found = value.finding
        probability = self.percent(found.value)
        return self.say(
            "region", number=number, finding=self._finding(found), probability=probability
        )

    def marked(self, regions: Sequence[tuple[int, Region]]) -> str:
        """Return what all boxes mark: ``"2 findings marked: (1) mass 91.0 %, (2) cyst 55.2 %"``."""
        told = self.listed(self.region(number, each) for number, each in regions)
        return self.say("marked", count=len(regions), regions=told)

    def covered(self, segment: Segment, image_area: float | None) -> str:
        """Return how much a finding covers; ``image_area`` is in mm2, None if not calibrated.

        ``"Lesion covers 12.4 cm2 (3.2 % of the image)"``, or the share alone.
        """
        finding = self.label(segment.label, segment.finding)
        if not segment.mask.any():
            return capital(self.say("covers_nothing", finding=in_sentence(finding)))
        share = self.percent(segment.share)
        if image_area is None:
            return capital(self.say("covers", finding=finding, share=share))
        area = self.area(segment.share * image_area)
        return capital(self.say("covers_area", finding=finding, area=area, share=share))

    # -- names of images --

    def place(self, index: int, total: int, view: str) -> str:
        """Return how a report names an image: ``"Image 1 of 2 (PA)"``.

        ``view`` is View Position (0018,5101) as it came; anything but a short word is left out.
        """
        image = self.say("image") if total == 1 else self.say("image_of", index=index, total=total)
        known = view.isascii() and view.isalpha() and len(view) <= 4
        return self.say("image_with_view", image=image, view=view) if known else image

    def slice_place(self, count: int, instance: int | None) -> str:
        """Return which slice a picture shows: ``"Slice with instance number 12, one of 3 shown"``.

        ``instance`` is Instance Number (0020,0013), by which a viewer finds the slice; ``count``
        how many are shown. They are not numbered, because viewers differ in what comes first.
        """
        if instance is None:
            return self.say("slice_shown", count=count)
        return self.say("slice_shown_instance", count=count, instance=instance)

    def instance(self, number: int | None, place: int) -> str:
        """Return how a viewer finds a slice: by Instance Number, else by its place among others."""
        if number is None:
            return self.say("instance_unknown", number=place)
        return self.say("instance", number=number)

    # -- what was read --

    def maker(self, key: str, algorithm: Algorithm, software: str, **values: object) -> str:
        """Return a sentence that names a model and its version."""
        return self.say(
            key,
            title=self.own(algorithm.title),
            name=algorithm.name,
            version=algorithm.version,
            manufacturer=algorithm.manufacturer,
            software=software,
            **values,
        )

    def assessed(self, labels: Iterable[tuple[str, Code | None]]) -> str:
        """Return what a model looks for, from its labels and their codes, as far as known."""
        told = self.listed(in_sentence(self.label(label, code)) for label, code in labels)
        return self.say("assessed", labels=told)

    def not_assessed(self, left_out: NotAssessed) -> str:
        """Return how many images were not read, and why."""
        reason = self.reason(left_out.reason)
        return self.say("not_assessed", count=left_out.images, reason=reason)
