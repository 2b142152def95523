"""What a graph says against what its manifest says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.errors import ModelError
from inference.manifest import Manifest
from inference.outputs import check_outputs, output_names
from inference.package import read_package
from tests.tinygraph import BOXES, LABELS
from tests.tinymodel import (
    CLASSIFICATION,
    DETECTION,
    GRADE,
    SCORE,
    SEGMENTATION,
    write_package,
    write_series_package,
)

EVERYTHING = CLASSIFICATION + SCORE + GRADE + DETECTION + SEGMENTATION
SOUND: dict[str, Any] = {
    "probability": np.array([[0.2, 0.8], [0.5, 0.5]], np.float32),
    "activation": np.full((2, 2, 4, 4), 3.0, np.float32),
    "score": np.array([-4.0, 99.0], np.float32),
    "grade": np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], np.float32),
    "boxes": np.stack([BOXES, BOXES]),
    "box_scores": np.array([[0.9, 0.8, 0.1, 0.0, 0.0]] * 2, np.float32),
    "box_labels": np.stack([LABELS, LABELS]),
    "mask": np.zeros((2, 1, 8, 8), np.float32),
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = write_package(tmp_path_factory.mktemp("models"), sections=EVERYTHING)
    return read_package(folder).manifest


def test_every_output_that_the_manifest_names_is_asked_for(manifest: Manifest) -> None:
    assert output_names(manifest) == list(SOUND)


def test_what_is_as_the_manifest_says_passes(manifest: Manifest) -> None:
    check_outputs(manifest, 2, SOUND)
    check_outputs(manifest, 2, SOUND | {"score": np.zeros((2, 1), np.float32)})
    no_box = {"boxes": np.zeros((2, 0, 4)), "box_scores": np.zeros((2, 0))}
    check_outputs(manifest, 2, SOUND | no_box | {"box_labels": np.zeros((2, 0))})
    unused = SOUND["box_labels"].copy()
    unused[:, 3:] = -1
    check_outputs(manifest, 2, SOUND | {"box_labels": unused})
    half_precision = SOUND["probability"] + np.float32(5e-4)
    check_outputs(manifest, 2, SOUND | {"probability": half_precision})


def changed(name: str, index: Any, value: float) -> dict[str, Any]:
    copy = SOUND[name].copy()
    copy[index] = value
    return {name: copy}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"probability": np.zeros((2, 3))}, r"'probability' has shape \(2, 3\), expected \(2, 2\)"),
    ({"probability": np.zeros((1, 2))}, r"'probability' has shape \(1, 2\)"),
    ({"probability": np.array([["a", "b"]] * 2)}, "'probability' .* not finite numbers"),
    (changed("probability", (0, 0), 1.01), r"'probability' has values outside 0\.\.1"),
    (changed("probability", (0, 0), -0.01), "end in softmax or sigmoid"),
    (changed("activation", (0, 0, 0, 0), np.nan), "'activation' .* not finite"),
    ({"activation": np.zeros((2, 2, 0, 4))}, r"'activation' .* expected \(2, 2, h, w\)"),
    ({"score": np.zeros((2, 2))}, r"'score' .* expected \(2,\) or \(2, 1\)"),
    (changed("score", 0, np.inf), "'score' .* not finite"),
    ({"grade": np.zeros((2, 2))}, r"'grade' .* expected \(2, 3\)"),
    (changed("grade", (0, 0), 0.9), "'grade' must sum to 1"),
    (changed("boxes", (0, 0, 0), np.nan), "'boxes' .* not finite"),
    ({"boxes": np.zeros((2, 4, 5))}, r"'boxes' .* expected \(2, n, 4\)"),
    ({"boxes": np.zeros((2, 4, 4))}, "different numbers of boxes"),
    ({"box_labels": np.zeros((2, 4))}, "different numbers of boxes"),
    (changed("box_scores", (0, 0), 7), r"'box_scores' has values outside 0\.\.1"),
    (changed("box_labels", (0, 0), 2), "'box_labels' names no class"),
    (changed("box_labels", (1, 1), -1), "'box_labels' names no class"),
    ({"mask": np.zeros((2, 2, 8, 8))}, r"'mask' .* expected \(2, 1, h, w\)"),
    (changed("mask", (0, 0, 0, 0), 3), r"'mask' has values outside 0\.\.1"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_what_is_not_is_told_by_name(
    manifest: Manifest, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        check_outputs(manifest, 2, SOUND | change)
    assert str(caught.value).startswith("model tiny: ")


def test_a_series_has_one_answer_and_one_for_each_slice(tmp_path: Path) -> None:
    manifest = read_package(write_series_package(tmp_path)).manifest
    slices = np.full((9, 2), 0.5, np.float32)
    maps = np.zeros((9, 2, 4, 4), np.float32)
    sound = {"study_probability": slices[:1], "probability": slices, "activation": maps}
    assert output_names(manifest) == list(sound)
    check_outputs(manifest, 9, sound)
    for change in (
        {"study_probability": slices},
        {"probability": slices[:8]},
        {"activation": maps[:1]},
    ):
        with pytest.raises(ModelError, match="has shape"):
            check_outputs(manifest, 9, sound | change)


def test_of_one_kind_of_output_no_other_is_asked_for(tmp_path: Path) -> None:
    folder = write_package(tmp_path, sections=SEGMENTATION)
    assert output_names(read_package(folder).manifest) == ["mask"]
