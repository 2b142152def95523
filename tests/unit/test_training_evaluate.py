from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from training.errors import EvaluationError
from training.evaluate import (
    Flags,
    Floats,
    auc,
    auc_figure,
    bootstrap,
    calibration_error,
    logistic_scores,
    precision_area,
    rate,
    rate_figure,
    resamples,
    thumbnails,
)


def test_auc_is_the_share_of_pairs_in_order() -> None:
    scores = np.array([0.1, 0.4, 0.35, 0.8])
    assert auc(scores, np.array([False, False, True, True])) == pytest.approx(0.75)


def test_auc_counts_a_tie_as_half() -> None:
    assert auc(np.full(5, 0.3), np.array([True, False, True, False, False])) == 0.5


@given(
    hnp.arrays(np.float64, 30, elements=st.integers(0, 9).map(float)),
    hnp.arrays(np.bool_, 30),
)
def test_auc_agrees_with_counting_pairs(
    scores: Floats,
    positive: Flags,
) -> None:
    if positive.all() or not positive.any():
        with pytest.raises(EvaluationError):
            auc(scores, positive)
        return
    above = scores[positive][:, None] - scores[~positive][None, :]
    expected = np.mean((above > 0) + 0.5 * (above == 0))
    assert auc(scores, positive) == pytest.approx(expected)


@given(
    hnp.arrays(np.float64, 30, elements=st.integers(0, 9).map(float)),
    hnp.arrays(np.bool_, 30),
)
def test_average_precision_agrees_with_scikit_learn(scores: Floats, positive: Flags) -> None:
    if positive.all() or not positive.any():
        with pytest.raises(EvaluationError):
            precision_area(scores, positive)
        return
    expected = average_precision_score(positive, scores)
    assert precision_area(scores, positive) == pytest.approx(expected)


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_a_resample_takes_patients_whole(groups: list[str], seed: int) -> None:
    owner = np.array(groups)
    for positions in resamples(groups, 5, seed):
        assert len(positions) > 0
        counts = np.bincount(positions, minlength=len(groups))
        for patient in set(groups):
            assert len(set(counts[owner == patient])) == 1


def test_resamples_repeat_with_their_seed() -> None:
    groups = [str(index) for index in range(20)]
    first, again, other = (resamples(groups, 3, seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_the_interval_is_wider_when_images_share_patients() -> None:
    generator = np.random.default_rng(3)
    patient = np.repeat(generator.random(40), 10)
    alone = rate_figure(patient, 0.5, [str(index) for index in range(400)])
    together = rate_figure(patient, 0.5, [str(index // 10) for index in range(400)])
    assert alone.value == together.value
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_interval_holds_the_true_value_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(4)
    hits = 0
    groups = [str(index) for index in range(120)]

    def share(sample: Floats) -> Callable[[NDArray[np.int64]], float]:
        return lambda at: rate(sample[at], 0.7)

    for seed in range(60):
        figure = bootstrap(share(generator.random(120)), groups, count=200, seed=seed)
        hits += figure.low <= 0.3 <= figure.high
    assert 50 <= hits <= 60


def test_a_resample_of_one_class_is_left_out() -> None:
    positive = np.array([True] + [False] * 4)
    figure = auc_figure(np.linspace(1.0, 0.0, 5), positive, list("abcde"))
    assert (figure.value, figure.low, figure.high) == (1.0, 1.0, 1.0)


def test_rate_of_no_images_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no images"):
        rate(np.array([]), 0.5)


def test_calibration_error_is_zero_when_bins_are_right_and_large_when_not() -> None:
    scores = np.repeat([0.25, 0.75], 400)
    right = np.concatenate([np.arange(400) % 4 == 0, np.arange(400) % 4 != 0])
    assert calibration_error(scores, right) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error(scores, ~right) == pytest.approx(0.5)


def test_thumbnails_average_blocks() -> None:
    picture = np.zeros((1, 32, 32))
    picture[0, :2, :2] = [[0.0, 1.0], [1.0, 2.0]]
    small = thumbnails(picture, 16)
    assert small.shape == (1, 256)
    assert small[0, 0] == 1.0
    assert small[0, 1:].max() == 0.0


def test_logistic_regression_learns_a_plain_rule() -> None:
    generator = np.random.default_rng(5)
    inputs = generator.normal(size=(400, 6))
    positive = inputs[:, 2] + 0.3 * generator.normal(size=400) > 0
    scores = logistic_scores(inputs[:300], positive[:300], inputs[300:])
    assert auc(scores, positive[300:]) > 0.95
    assert ((scores > 0) & (scores < 1)).all()
