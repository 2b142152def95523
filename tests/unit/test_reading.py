"""From pictures to findings: the operating point, the leading class, the heat map's place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from inference.errors import ModelError
from inference.manifest import ClassificationSection, read_package
from inference.pixels import Placement, Preparation, placement
from inference.reading import crop_to_picture, decide, read_pictures
from inference.runtime import Model
from sr.findings import Normality, Probability
from tests.tinymodel import Fault, write_package

CODE = {"value": "1", "scheme": "SCT", "meaning": "m"}


def section(indeterminate: tuple[float, float] | None = None) -> ClassificationSection:
    return ClassificationSection.model_validate(
        {
            "output": "p",
            "threshold": 0.5,
            "indeterminate": indeterminate,
            "operating_point": "o",
            "class": [
                {"label": "a", "code": CODE},
                {"label": "normal", "code": CODE, "normal": True},
                {"label": "b", "code": CODE},
            ],
        }
    )


def probabilities(*values: float) -> list[Probability]:
    classes = zip(section().classes, values, strict=True)
    return [Probability(finding=c.code.code, label=c.label, value=v) for c, v in classes]


@pytest.mark.parametrize(
    ("values", "band", "normality", "leading"),
    [
        ((0.1, 0.8, 0.1), None, Normality.NORMAL, 1),
        ((0.3, 0.5, 0.2), None, Normality.ABNORMAL, 0),  # exactly at the operating point
        ((0.2, 0.51, 0.29), None, Normality.NORMAL, 1),
        ((0.1, 0.45, 0.45), None, Normality.ABNORMAL, 2),  # though normal is as probable
        ((0.2, 0.6, 0.2), (0.4, 0.6), Normality.INDETERMINATE, 0),
        ((0.2, 0.41, 0.39), (0.4, 0.6), Normality.INDETERMINATE, 2),
        ((0.3, 0.375, 0.325), (0.375, 0.625), Normality.ABNORMAL, 2),  # the band's upper end
        ((0.3, 0.625, 0.075), (0.375, 0.625), Normality.INDETERMINATE, 0),  # its lower end
        ((0.0, 1.0, 0.0), (0.4, 0.6), Normality.NORMAL, 1),
        ((0.0, 0.0, 1.0), None, Normality.ABNORMAL, 2),
    ],
)
def test_the_operating_point_decides(
    values: tuple[float, ...],
    band: tuple[float, float] | None,
    normality: Normality,
    leading: int,
) -> None:
    decision, index = decide(section(band), probabilities(*values))
    assert decision.normality is normality
    assert index == leading
    assert decision.leading.label == ("a", "normal", "b")[leading]
    assert decision.abnormal_probability == pytest.approx(1 - values[1])
    assert decision.threshold == 0.5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(read_package(write_package(tmp_path_factory.mktemp("models"))), threads=1)


def picture(bright: float, rows: int = 40, columns: int = 40) -> NDArray[np.uint8]:
    """Black above white; ``bright`` is the white share of the rows."""
    made = np.zeros((rows, columns), np.uint8)
    made[round(rows * (1 - bright)) :] = 255
    return made


def test_each_picture_is_read_on_its_own(model: Model) -> None:
    shares = {"1.1": 0.9, "1.2": 0.1, "1.3": 0.5, "1.4": 0.8, "1.5": 0.05}  # over three batches
    reading = read_pictures(model, {uid: picture(share) for uid, share in shares.items()})
    assert reading.algorithm == model.package.algorithm
    assert reading.procedure.value == "43468-8"
    assert [each.sop_instance_uid for each in reading.images] == list(shares)
    answers = [each.decision.normality for each in reading.images]
    bad, good, unsure = Normality.ABNORMAL, Normality.NORMAL, Normality.INDETERMINATE
    assert answers == [bad, good, unsure, bad, good]
    for each in reading.images:
        assert sum(p.value for p in each.probabilities) == pytest.approx(1, abs=1e-5)
        alone = read_pictures(model, {"9": picture(shares[each.sop_instance_uid])}).images[0]
        assert alone.decision.abnormal_probability == pytest.approx(
            each.decision.abnormal_probability, abs=1e-6
        )


def test_the_heat_map_has_the_aspect_of_its_picture(model: Model) -> None:
    reading = read_pictures(model, {"1": picture(0.8, 64, 56), "2": picture(0.2, 20, 40)})
    first, second = (each.heatmap for each in reading.images)
    assert first is not None
    assert second is not None
    assert first.shape == (32, 28)
    assert second.shape == (16, 32)
    assert first[0, 14] < 0.6 < 0.9 < first[-3, 14]  # abnormal: where it is white
    assert second[2, 16] > 0.95 > 0.85 > second[-1, 16]  # normal: where it is black


def test_a_model_that_explains_nothing_gives_no_heat_map(tmp_path: Path) -> None:
    folder = write_package(tmp_path, ('activation = "activation"\n', ""))
    reading = read_pictures(Model(read_package(folder), threads=1), {"1": picture(0.5)})
    assert reading.images[0].heatmap is None


def test_a_model_that_fails_is_a_model_error(tmp_path: Path) -> None:
    folder = write_package(tmp_path, fault=Fault.FAILS_ON_BRIGHT)
    with pytest.raises(ModelError, match="model tiny failed"):
        read_pictures(Model(read_package(folder), threads=1), {"1": picture(0.5)})


def test_the_margin_is_cut_off_the_map() -> None:
    place = placement(100, 50, Preparation(rows=32, columns=32))
    activation = np.zeros((32, 32), np.float32)
    activation[:, place.left : place.left + place.width] = 1
    cut = crop_to_picture(activation, place, (32, 32))
    assert cut.shape == (32, 16)
    np.testing.assert_array_equal(cut, 1)


def test_a_coarse_cell_lies_where_the_network_saw_it() -> None:
    activation = np.zeros((4, 4), np.float32)
    activation[1, 2] = 1  # rows 8..15, columns 16..23 of 32
    cut = crop_to_picture(activation, Placement(top=4, left=8, height=20, width=24), (32, 32))
    row, column = np.unravel_index(int(cut.argmax()), cut.shape)
    assert 8 - 4 <= row < 16 - 4
    assert 16 - 8 <= column < 24 - 8


def test_a_mirrored_map_gives_a_mirrored_cut() -> None:
    activation = np.random.default_rng(1).random((7, 7), np.float32)
    place = placement(40, 30, Preparation(rows=32, columns=32))
    cut = crop_to_picture(activation, place, (32, 32))
    mirrored = crop_to_picture(activation[::-1, ::-1], place, (32, 32))
    np.testing.assert_allclose(mirrored, cut[::-1, ::-1], atol=1e-6)


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-2, 2, width=32),
    ),
    st.integers(1, 300),
    st.integers(1, 300),
)
def test_any_map_stays_within_0_and_1(
    activation: NDArray[np.float32], rows: int, columns: int
) -> None:
    place = placement(rows, columns, Preparation(rows=24, columns=40))
    cut = crop_to_picture(activation, place, (24, 40))
    assert cut.shape == (place.height, place.width)
    assert cut.dtype == np.float32
    assert cut.min() >= 0
    assert cut.max() <= np.float32(1.000001)
