"""A series read as a whole: the study's answer, and the slices to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from inference.errors import ManifestError
from inference.package import read_package
from inference.routing import route
from inference.runtime import Model
from inference.series_reading import highest_slices, read_volume
from inference.study import decode, read, shown
from inference.volume import volume_of
from sr.findings import Normality, Reading, StudyAnswer
from tests.ctfiles import between, head_series, left_between
from tests.tinymodel import write_package, write_series_package

# What is enough for half a brain full of blood.
SENSITIVE = (
    ("threshold = 0.5\nindeterminate = [0.4, 0.6]", "threshold = 0.2"),
    ("threshold = 0.7", "threshold = 0.9"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return loaded(tmp_path_factory.mktemp("models"))


def loaded(root: Path, *edits: tuple[str, str]) -> Model:
    return Model(read_package(write_series_package(root, *edits)), threads=1)


def read_slices(model: Model, slices: Sequence[Dataset]) -> tuple[Reading, StudyAnswer]:
    reading = read(model, decode(model.package.manifest, slices))
    assert reading.study is not None
    return reading, reading.study


def numbers(uids: tuple[str, ...]) -> list[int]:
    return [int(each.rpartition(".")[2]) for each in uids]


def test_a_study_with_blood_is_abnormal_and_its_slices_are_named(model: Model) -> None:
    reading, study = read_slices(model, head_series(bleed=between(4, 16)))
    assert study.decision.normality is Normality.ABNORMAL
    assert study.decision.leading.label == "pneumonia"
    assert sum(each.value for each in study.probabilities) == pytest.approx(1, abs=1e-5)
    assert study.images_read == 13
    assert sorted(numbers(study.suspicious)) == [8, 9, 10]
    highest = [
        next(each for each in reading.images if each.sop_instance_uid == uid)
        for uid in study.suspicious
    ]
    values = [each.probabilities[0].value for each in highest]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(study.decision.abnormal_probability, abs=1e-6)
    assert reading.urgency is not None
    assert reading.urgency.urgent
    assert reading.assessed == ("pneumonia",)


def test_the_slices_come_in_anatomical_order_without_a_decision_of_their_own(
    model: Model,
) -> None:
    slices = head_series(heights=list(range(30, -31, -5)), bleed=between(4, 16))
    reading, _ = read_slices(model, slices)
    assert numbers(tuple(each.sop_instance_uid for each in reading.images)) == [6, 5, 4]
    for each in reading.images:
        assert each.decision is None
        (probability,) = each.probabilities
        assert probability.label == "pneumonia"
        assert each.heatmap is not None


def test_of_a_normal_study_one_slice_is_shown_and_none_is_suspicious(model: Model) -> None:
    reading, study = read_slices(model, head_series())
    assert study.decision.normality is Normality.NORMAL
    assert study.decision.leading.label == "normal"
    assert study.suspicious == ()
    (only,) = reading.images
    assert only.heatmap is None
    assert only.probabilities[0].label == "pneumonia"
    assert reading.urgency is not None
    assert reading.urgency.urgent is False


def test_a_study_the_model_does_not_decide_is_shown_with_its_slices(tmp_path: Path) -> None:
    wide = loaded(tmp_path, ("[0.4, 0.6]", "[0.1, 0.95]"))
    reading, study = read_slices(wide, head_series(bleed=between(4, 16)))
    assert study.decision.normality is Normality.INDETERMINATE
    assert len(study.suspicious) == 3
    assert reading.urgency is not None
    assert reading.urgency.urgent is None


@pytest.mark.parametrize(
    "axes",
    [
        ((1, 0, 0), (0, 1, 0)),
        ((-1, 0, 0), (0, 1, 0)),
        ((-1, 0, 0), (0, -1, 0)),
        ((0, 1, 0), (-1, 0, 0)),
    ],
)
def test_the_heat_map_lies_over_the_blood_in_the_stored_picture(tmp_path: Path, axes: Any) -> None:
    slices = head_series(axes=axes, bleed=left_between(-3, 3))
    reading, study = read_slices(loaded(tmp_path, *SENSITIVE), slices)
    uid = study.suspicious[0]
    (stored,) = (each.pixel_array - 1024.0 for each in slices if each.SOPInstanceUID == uid)
    (heatmap,) = (each.heatmap for each in reading.images if each.sop_instance_uid == uid)
    assert heatmap is not None
    assert heatmap.shape == stored.shape
    blood, brain = stored == 100, stored == 35
    assert blood.any()
    assert heatmap[blood].mean() > heatmap[brain].mean() + 0.2
    hot = np.argwhere(heatmap > 0.85).mean(0)
    np.testing.assert_allclose(hot, np.argwhere(blood).mean(0), atol=8)


def test_outside_the_head_a_heat_map_is_empty(model: Model) -> None:
    small = head_series(bleed=between(4, 16), side=64)
    for each in small:
        padded = np.zeros((128, 128), np.uint16)
        padded[:64, 64:] = each.pixel_array
        each.Rows = each.Columns = 128
        each.PixelData = padded.tobytes()
    reading, _ = read_slices(model, small)
    for found in reading.images:
        assert found.heatmap is not None
        assert found.heatmap[80:].max() == 0
        assert found.heatmap[:, :50].max() == 0
        assert found.heatmap[:64, 64:].max() > 0.9


def test_more_slices_are_shown_where_the_manifest_says_so(tmp_path: Path) -> None:
    more = loaded(tmp_path, ("shown_slices = 3", "shown_slices = 5"))
    reading, study = read_slices(more, head_series(bleed=between(4, 16)))
    assert len(reading.images) == len(study.suspicious) == 5


def test_a_model_that_explains_nothing_shows_no_heat_map(tmp_path: Path) -> None:
    silent = loaded(tmp_path, ('activation = "activation"\n', ""))
    reading, _ = read_slices(silent, head_series(bleed=between(4, 16)))
    assert [each.heatmap for each in reading.images] == [None] * 3


def test_a_slice_that_stands_twice_is_shown_once(model: Model) -> None:
    thick = head_series(heights=range(-30, 31, 10), thickness=10, bleed=between(-5, 25))
    _, study = read_slices(model, thick)
    assert len(set(study.suspicious)) == 3


def values(*numbers: float) -> NDArray[np.float64]:
    return np.array(numbers)


def test_the_highest_slices_are_found_by_name() -> None:
    assert highest_slices(("a", "b", "c"), values(0.1, 0.9, 0.5), 2) == [1, 2]
    assert highest_slices(("a", "a", "c"), values(0.8, 0.9, 0.5), 2) == [1, 2]
    assert highest_slices(("a", "b"), values(0.5, 0.5), 9) == [0, 1]


def test_the_pictures_of_shown_slices_are_in_their_own_window(model: Model) -> None:
    slices = head_series(bleed=between(4, 16), WindowCenter=500, WindowWidth=2000)
    manifest = model.package.manifest
    seen = decode(manifest, slices)
    reading = read(model, seen)
    pictures = shown(manifest, seen, reading)
    assert set(pictures) == {each.sop_instance_uid for each in reading.images}
    for each in pictures.values():
        assert 0 < each[32, 32] < 128  # blood is grey in a bone window, white in the model's


def test_a_model_of_images_reads_no_volume(tmp_path: Path) -> None:
    images = Model(read_package(write_package(tmp_path)), threads=1)
    volume = volume_of(head_series(), 5.0, (40.0, 120.0))
    with pytest.raises(ManifestError, match="model tiny reads no series"):
        read_volume(images, volume)


def test_a_real_head_goes_the_whole_way(model: Model, real_head: Path) -> None:
    slices = [dcmread(each) for each in sorted(real_head.glob("*.dcm"), reverse=True)]
    routed = route(model.package, slices)
    assert routed.reason == ""
    assert routed.fitting == tuple(str(each.SOPInstanceUID) for each in reversed(slices))
    _, study = read_slices(model, slices)
    assert study.images_read == 28
