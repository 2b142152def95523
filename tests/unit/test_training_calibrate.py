from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.calibrate import (
    choose,
    fit_platt,
    threshold_for_sensitivity,
    threshold_for_specificity,
)
from training.errors import CalibrationError

UNIT = st.floats(0.0, 1.0)


def test_platt_scaling_finds_what_the_logits_mean() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=20_000) * 2.0
    positive = generator.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 1.0)))
    found = fit_platt(logits, positive)
    assert found.scale == pytest.approx(0.5, abs=0.05)
    assert found.shift == pytest.approx(-1.0, abs=0.06)
    assert found(np.array([2.0])) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("logits", "positive", "message"),
    [
        ([1.0, 2.0], [True, True], "2 of 2 images are abnormal"),
        ([1.0, 2.0], [False, False], "0 of 2 images are abnormal"),
        ([3.0, 2.0, 1.0, 0.0], [False, False, True, True], "do not rise with abnormality"),
    ],
)
def test_scores_that_cannot_be_calibrated_are_an_error(
    logits: list[float], positive: list[bool], message: str
) -> None:
    with pytest.raises(CalibrationError, match=message):
        fit_platt(np.array(logits), np.array(positive))


@given(
    st.lists(UNIT, min_size=1, max_size=60),
    st.lists(UNIT, min_size=1, max_size=60),
    st.floats(0.5, 1.0),
)
def test_thresholds_keep_their_promise(sick: list[float], well: list[float], target: float) -> None:
    scores = np.array(sick + well)
    positive = np.arange(len(scores)) < len(sick)
    at = threshold_for_sensitivity(scores, positive, target)
    assert np.mean(np.array(sick) >= at) >= target - 1e-9
    high = threshold_for_specificity(scores, positive, target)
    assert np.mean(np.array(well) < high) >= target - 1e-9 or high == 1.0


def test_the_threshold_is_the_greatest_that_keeps_the_sensitivity() -> None:
    scores = np.linspace(0.0, 1.0, 21)[1:]
    positive = np.ones(20, dtype=bool)
    assert threshold_for_sensitivity(scores, positive, 0.95) == pytest.approx(0.1)


@given(st.lists(UNIT, min_size=2, max_size=80))
def test_the_band_encloses_the_threshold(values: list[float]) -> None:
    scores = np.array(values)
    positive = np.arange(len(values)) % 2 == 0
    point = choose(scores, positive, sensitivity=0.95, specificity=0.9)
    assert point.band[0] <= point.threshold <= point.band[1]


def test_no_positive_image_is_an_error() -> None:
    with pytest.raises(CalibrationError, match="0 positive"):
        threshold_for_sensitivity(np.array([0.2]), np.array([False]), 0.9)


def test_no_negative_image_is_an_error() -> None:
    with pytest.raises(CalibrationError, match="0 negative"):
        threshold_for_specificity(np.array([0.2]), np.array([True]), 0.9)
