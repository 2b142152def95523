"""What a reading says, for the queue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.said import said
from sr.findings import Normality, Reading
from tests.sr_examples import (
    READINGS,
    ct_slice,
    image_reading,
    measured,
    radiograph,
    reading,
    series_reading,
    urgent,
)


def value_of(made: Reading) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(said(made))
    return value


def test_the_gravest_image_speaks_for_the_study() -> None:
    images = [
        image_reading(radiograph(number), normality)
        for number, normality in enumerate(
            (Normality.NORMAL, Normality.ABNORMAL, Normality.INDETERMINATE), start=1
        )
    ]
    value = value_of(reading(*images))
    assert (value["answer"], value["leading"]) == ("abnormal", "Pneumonia")
    assert value["abnormal_probability"] == 0.8712
    assert value["probabilities"] == {"Normal": 0.1288, "Pneumonia": 0.697, "COVID-19": 0.1742}
    assert (value["images"], value["urgent"]) == (3, None)


@pytest.mark.parametrize("cannot_wait", [True, False, None])
def test_a_series_is_answered_as_a_whole(cannot_wait: bool | None) -> None:
    slices = [ct_slice(number) for number in range(1, 5)]
    value = value_of(series_reading(slices, urgency=urgent(cannot_wait)))
    assert (value["answer"], value["leading"]) == ("abnormal", "Intracranial haemorrhage")
    assert value["probabilities"]["Intracranial haemorrhage"] == 0.8712
    assert value["urgent"] is cannot_wait


def test_who_decides_nothing_says_what_was_measured() -> None:
    made = image_reading(radiograph())
    value = value_of(reading(measured(radiograph(), probabilities=made.probabilities)))
    assert (value["answer"], value["abnormal_probability"], value["leading"]) == (None, None, None)
    assert value["probabilities"] == {"Normal": 0.1288, "Pneumonia": 0.697, "COVID-19": 0.1742}


@pytest.mark.parametrize("name", READINGS)
def test_every_kind_of_reading_can_be_said(name: str) -> None:
    _, made = READINGS[name]()
    value = value_of(made)
    assert value["images"] == len(made.images)
    assert value["regions"] == sum(len(each.regions) for each in made.images)
    scores = {each.name.meaning for image in made.images for each in image.scores}
    assert set(value["scores"]) <= scores
