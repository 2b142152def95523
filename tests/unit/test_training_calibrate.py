from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.calibrate import (
    choose,
    fit_temperature,
    log_loss,
    softmax,
    threshold_for_sensitivity,
    threshold_for_specificity,
)
from training.errors import CalibrationError

UNIT = st.floats(0.0, 1.0)


def test_temperature_undoes_overconfidence() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(4000, 3)) * 1.5
    chances = softmax(logits)
    labels = np.array([generator.choice(3, p=chance) for chance in chances])
    assert fit_temperature(3.0 * logits, labels) == pytest.approx(3.0, rel=0.1)


def test_temperature_does_not_change_the_order_of_classes() -> None:
    logits = np.random.default_rng(2).normal(size=(50, 3))
    assert (softmax(logits, 4.0).argmax(1) == logits.argmax(1)).all()
    assert softmax(logits, 4.0).sum(1) == pytest.approx(np.ones(50))


def test_log_loss_weighs_images() -> None:
    probability = np.array([[0.5, 0.5], [0.1, 0.9]])
    labels = np.array([0, 0])
    assert log_loss(probability, labels) == pytest.approx(np.mean([-np.log(0.5), -np.log(0.1)]))
    assert log_loss(probability, labels, np.array([1.0, 0.0])) == pytest.approx(-np.log(0.5))


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


def test_no_validation_image_is_an_error() -> None:
    with pytest.raises(CalibrationError, match="no validation images"):
        fit_temperature(np.empty((0, 3)), np.empty(0, dtype=np.int64))
