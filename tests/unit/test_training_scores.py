from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.manifest import CodeSection
from tests.tinytraining import example, write_csv
from training.errors import CollectionError
from training.recipe import RecipeScore
from training.scores import Rated, fit_score, rated

SCORE = RecipeScore(
    files="sub/scores.csv", column="extent", lowest=0.0, highest=8.0,
    code=CodeSection(value="1", scheme="99TEST", meaning="Extent"),
)  # fmt: skip


def row(number: int, **values: Any) -> dict[str, Any]:
    return {"file": f"{number}.png", "group_id": f"g{number}", "fold": number % 2,
            "extent": number / 2, **values}  # fmt: skip


def found(folder: Path, *rows: dict[str, Any]) -> Rated:
    write_csv(folder / "sub/scores.csv", rows)
    examples = [example(n, path=folder / f"sub/{n}.png") for n in range(5)]
    return rated(SCORE, folder, examples)


def test_images_are_found_by_their_file(tmp_path: Path) -> None:
    images = found(tmp_path, row(3), row(0), row(2))
    assert images.at.tolist() == [3, 0, 2]
    assert images.values.tolist() == [1.5, 0.0, 1.0]
    assert images.folds.tolist() == [1, 0, 0]
    assert images.groups == ["g3", "g0", "g2"]


def test_an_image_that_no_collection_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"no \[\[data\]\] has the image .*9\.png"):
        found(tmp_path, row(1), row(9, file="9.png"))


def test_one_fold_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"scores\.csv: one fold only"):
        found(tmp_path, row(1), row(3))


@pytest.mark.parametrize("values", [{"extent": "much"}, {"fold": "first"}])
def test_a_value_that_is_no_number_is_named(tmp_path: Path, values: dict[str, str]) -> None:
    with pytest.raises(CollectionError, match=r"2\.png: extent or fold is no number"):
        found(tmp_path, row(1), row(2, **values))


def images(values: NDArray[np.float64], folds: int = 4) -> Rated:
    count = len(values)
    return Rated(
        at=np.arange(count, dtype=np.intp),
        values=values,
        folds=np.arange(count) % folds,
        groups=[f"g{n}" for n in range(count)],
    )


def test_a_linear_score_is_found_again() -> None:
    features = np.random.default_rng(1).normal(3.0, 2.0, (300, 4))
    values = features @ np.array([0.5, 0.0, -0.3, 0.0]) + 4.0
    fitted = fit_score(SCORE, images(values), features)
    assert fitted.weight == pytest.approx([0.5, 0.0, -0.3, 0.0], abs=0.03)
    assert np.abs(features @ fitted.weight + fitted.bias - values).max() < 0.2
    assert np.abs(fitted.folded - values).mean() < 0.05
    assert np.abs(fitted.constant - values).mean() > 0.5


def test_cross_validation_does_not_see_its_own_fold() -> None:
    """Features that tell nothing but the image itself are learned by heart, and of no use."""
    features = np.eye(40)
    values = np.random.default_rng(2).uniform(0.0, 8.0, 40)
    fitted = fit_score(SCORE, images(values), features)
    assert np.abs(fitted.folded - values).mean() > 1.0
    for fold in range(4):
        held = np.arange(40) % 4 == fold
        assert fitted.constant[held] == pytest.approx(np.median(values[~held]))
        assert fitted.folded[held] == pytest.approx(np.full(10, values[~held].mean()), abs=0.5)


def test_what_is_beyond_the_scale_is_clipped() -> None:
    features = np.linspace(-1.0, 1.0, 60)[:, None]
    fitted = fit_score(SCORE, images(20.0 * features[:, 0]), features)
    assert fitted.folded.min() == 0.0
    assert fitted.folded.max() == 8.0
