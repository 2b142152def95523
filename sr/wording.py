"""What results say in words. English; every document states that the physician decides."""

from __future__ import annotations

from sr.findings import ImageReading, Normality, Score

DISCLAIMER = "AI screening - not for diagnosis - the physician decides"
NOTICE = (
    "Preliminary result of an automatic screening by artificial intelligence. "
    "Not for diagnosis: it may miss disease and may call disease where there is none. "
    "The physician reads the images and makes the decision."
)
_SUMMARY = {
    Normality.NORMAL: "No abnormality called by the model. This does not exclude disease.",
    Normality.ABNORMAL: "Called abnormal by the model. Prompt review is suggested.",
    Normality.INDETERMINATE: "The model could not decide. Please read without an AI result.",
}


def percent(probability: float) -> str:
    """Return a probability 0..1 for reading, never rounded to certainty: ``"87.0 %"``."""
    if probability >= 0.9995:
        return "> 99.9 %"
    if probability < 0.0005:
        return "< 0.1 %"
    return f"{100 * probability:.1f} %"


def percent_value(probability: float) -> str:
    """Return a probability 0..1 as a Numeric Value in percent with two decimals: ``"87.00"``."""
    return f"{100 * probability:.2f}"


def score(value: Score) -> str:
    """Return a score with its scale: ``"Opacity score 3.2 (scale 0 to 6)"``."""
    span = f"scale {value.lowest:g} to {value.highest:g}"
    return f"{value.name.meaning} {value.value:.1f} ({span})"


def headline(image: ImageReading) -> str:
    """Return the answer in a few words: ``"ABNORMAL, most likely pneumonia (71.3 %)"``."""
    answer = image.decision.normality.value.upper()
    leading = image.decision.leading
    if image.decision.normality is not Normality.ABNORMAL:
        return answer
    return f"{answer}, most likely {in_sentence(leading.label)} ({percent(leading.value)})"


def in_sentence(label: str) -> str:
    """Return a label without its capital, unless it is an abbreviation: ``"COVID-19"`` stays."""
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


def operating_point(image: ImageReading) -> str:
    """Return the probability that decided, beside the value that it was compared with."""
    decision = image.decision
    compared = f"operating point {percent(decision.threshold)}"
    if decision.band is not None:
        low, high = (f"{100 * each:.1f}" for each in decision.band)
        compared += f", indeterminate {low} to {high} %"
    probability = percent(decision.abnormal_probability)
    return f"Probability of abnormality {probability} ({compared})"


def classes(image: ImageReading) -> str:
    """Return all classes with their probabilities."""
    return ", ".join(f"{each.label} {percent(each.value)}" for each in image.probabilities)


def place(index: int, total: int, view: str) -> str:
    """Return how a report names an image: ``"Image 1 of 2 (PA)"``.

    ``view`` is View Position (0018,5101) as it came; anything but a short word is left out.
    """
    known = f" ({view})" if view.isascii() and view.isalpha() and len(view) <= 4 else ""
    return f"Image{known}" if total == 1 else f"Image {index} of {total}{known}"


def finding(image: ImageReading, place: str) -> str:
    """Return one paragraph about one image; ``place`` tells it from the others."""
    sentences = [
        f"{place}: {headline(image)}.",
        f"{operating_point(image)}.",
        f"All classes: {classes(image)}.",
    ]
    if image.scores:
        sentences.append(f"Severity: {', '.join(map(score, image.scores))}.")
    return " ".join(sentences)


def impression(image: ImageReading, place: str) -> str:
    """Return what one image amounts to, in one or two sentences."""
    return f"{place}: {headline(image)}. {_SUMMARY[image.decision.normality]}"
