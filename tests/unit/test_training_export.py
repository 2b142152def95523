"""The exported graphs compute, in the node's runtime, what the networks do; skipped without torch.

Each package is written by ``training.package`` and read by ``inference``.
"""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from inference.package import read_package
from inference.runtime import Model
from tests.tinytraining import (
    ABNORMAL,
    SIDE,
    image_recipe,
    random_backbone,
    recipe_of,
    series_recipe,
    write_recipe,
)
from training.calibrate import Calibration, OperatingPoint
from training.errors import ExportError
from training.recipe import Recipe, read_recipe
from training.record import MOST, pooled
from training.scores import FittedScore

torch: Any = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")
graphs: Any = importlib.import_module("training.graphs")
network: Any = importlib.import_module("training.network")
region: Any = importlib.import_module("training.region")
exporting: Any = importlib.import_module("training.export")
packaging: Any = importlib.import_module("training.package")
loop: Any = importlib.import_module("training.loop")

TOLERANCE = 1e-4
SLICES, STUDY = Calibration(scale=1.3, shift=-0.2), Calibration(scale=0.7, shift=0.4)
POINT = OperatingPoint(threshold=0.5, band=(0.4, 0.6))


def classifier(classes: int, seed: int) -> Any:
    made = network.Classifier(random_backbone(seed), classes, dropout=0.3).eval()
    torch.nn.init.normal_(made.head.weight, std=0.05)
    torch.nn.init.uniform_(made.head.bias)
    return made


def finder() -> Any:
    """A network that finds a region of its own in each picture, without having been trained."""
    made = region.RegionNet(random_backbone(5), 32).eval()
    with torch.no_grad():
        seen = made(pictures(8, seed=9))
        made.last.weight /= seen.std()
        made.last.bias -= seen.mean() / seen.std()
    return made


def pictures(count: int, seed: int = 1) -> Any:
    """Grey of 0..1 that varies smoothly, shape (count, 1, 32, 32)."""
    coarse = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")


def tensors(count: int, seed: int = 1) -> Any:
    """The node's tensors, shape (count, 1, SIDE, SIDE)."""
    grown = torch.nn.functional.interpolate(pictures(count, seed), size=SIDE, mode="bilinear")
    return (grown - 0.5) / 0.5


def three_classes() -> dict[str, Any]:
    kinds = [{"label": label, "code": {"value": label[:8], "scheme": "99TEST", "meaning": label}}
             for label in (ABNORMAL, "COVID-19")]  # fmt: skip
    tables = image_recipe()
    tables["class"] = [tables["class"][0], *kinds]
    score = {"files": "s.csv", "column": "s", "lowest": 0.0, "highest": 8.0,
             "code": {"value": "E", "scheme": "99TEST", "meaning": "Extent"}}  # fmt: skip
    tables["score"] = [score, {**score, "lowest": 1.0, "when": "always"}]
    return tables


def score(seed: int) -> FittedScore:
    generator = np.random.default_rng(seed)
    nothing = np.zeros(1)
    return FittedScore(
        weight=generator.normal(size=24), bias=0.7 * seed, values=nothing, folded=nothing,
        constant=nothing, groups=["g"],
    )  # fmt: skip


def write(tmp_path: Path, tables: dict[str, Any], graph: Any, outputs: dict[str, str],
          example: Any) -> tuple[Model, Path]:  # fmt: skip
    """Write the package of a graph, and load it as the node does."""
    file = write_recipe(tmp_path / "own.toml", tables)
    trained = packaging.Trained(
        exported=graph.eval(), outputs=outputs, example=example, point=POINT, calibration=STUDY,
        chosen="by the test", history={"all": loop.History(train=[0.5])}, facts={"images": {}},
    )  # fmt: skip
    worst = packaging.write_package(read_recipe(file), file, trained, tmp_path / "package")
    assert worst <= TOLERANCE
    return Model(read_package(tmp_path / "package"), 1), tmp_path / "package"


def compared(model: Model, graph: Any, example: Any, names: list[str]) -> list[NDArray[Any]]:
    """Run both, compare each output, and return those of the runtime."""
    with torch.no_grad():
        wanted = graph(example)
    found = model.run(example.numpy())
    assert len(wanted) == len(names)
    for name, ours in zip(names, wanted, strict=True):
        assert found[name].shape == tuple(ours.shape), name
        assert np.abs(found[name] - ours.numpy()).max() <= TOLERANCE, name
    return [found[name] for name in names]


IMAGE_OUTPUTS = {"probability": "N", "activation": "N", "score_0": "N", "score_1": "N"}


@pytest.fixture(scope="module", params=[True, False], ids=["region", "whole"])
def images(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model of three classes and two scores, with and without a region."""
    tables = three_classes()
    recipe: Recipe = recipe_of(tables)
    graph = graphs.ImageGraph(
        classifier(3, 1), finder() if request.param else None, recipe.preparation, SIDE,
        STUDY, 0.5, [score(1), score(2)],
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("images")
    model, package = write(folder, tables, graph, IMAGE_OUTPUTS, tensors(2))
    return model, graph.eval(), package, request.param


@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_image_graph_is_exported_as_it_is(images: Any, count: int) -> None:
    model, graph, _, cut = images
    outputs = compared(model, graph, tensors(count, seed=count), list(IMAGE_OUTPUTS))
    probability, activation, *scores = outputs
    assert probability.shape == (count, 3)
    assert probability.sum(1) == pytest.approx(np.ones(count), abs=1e-5)
    assert activation.shape == (count, 3, *((40, 40) if cut else (2, 2)))
    assert 0.0 <= activation.min() <= activation.max() <= 1.0 + 1e-6
    assert [each.shape for each in scores] == [(count, 1), (count, 1)]


def test_the_batch_does_not_change_the_answer(images: Any) -> None:
    model, _, _, _ = images
    together = model.run(tensors(3).numpy())
    for at in range(3):
        alone = model.run(tensors(3)[at : at + 1].numpy())
        for name in IMAGE_OUTPUTS:
            assert np.abs(alone[name][0] - together[name][at]).max() <= TOLERANCE, name


def test_pictures_with_and_without_a_region_go_through_one_graph(images: Any) -> None:
    model, graph, _, _ = images
    mixed = tensors(4)
    mixed[1] = -1.0  # black
    mixed[2] = 1.0  # white
    compared(model, graph, mixed, list(IMAGE_OUTPUTS))


def test_the_region_is_of_use(images: Any) -> None:
    """Or the tests above would compare two graphs that look at the whole picture."""
    _, graph, _, cut = images
    if cut:
        grey = graph.preparation.std * tensors(8) + graph.preparation.mean
        frames = region.frame_of(graph.finder.find(grey))
        assert len({tuple(each) for each in frames.tolist()}) > 3


def test_the_package_of_an_image_model_states_what_was_trained(images: Any) -> None:
    model, _, folder, _ = images
    manifest = model.package.manifest
    assert manifest.series is None
    assert manifest.classification.slice_output is None
    assert manifest.classification.threshold == POINT.threshold
    assert manifest.classification.indeterminate == POINT.band
    assert [each.output for each in manifest.scores] == ["score_0", "score_1"]
    assert [each.when for each in manifest.scores] == ["abnormal", "always"]
    assert manifest.training["calibration"].startswith("Platt scaling on validation")
    written = tomllib.loads((folder / "recipe.toml").read_text("utf-8"))
    assert written == three_classes()
    model.package.verify()
    assert "not evaluated yet" in (folder / "CARD.md").read_text("utf-8")


# -- series --

SERIES_OUTPUTS = {"probability": "1", "slice_probability": "N", "activation": "N"}


@pytest.fixture(scope="module", params=[SIDE, 2 * SIDE], ids=["same", "larger"])
def series(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A series model of two members; its tensor as large as what they see, or twice that."""
    tables = series_recipe(prepare={"rows": request.param, "columns": request.param})
    how = recipe_of(tables).preparation
    members = [classifier(2, 1), classifier(2, 2)]
    graph = graphs.SeriesGraph(members, how, SIDE, SLICES, STUDY, 0.5)
    folder = tmp_path_factory.mktemp("series")
    model, package = write(folder, tables, graph, SERIES_OUTPUTS, slices(7, request.param))
    return model, graph.eval(), package, request.param


def slices(count: int, side: int) -> Any:
    grown = tensors(count, seed=count)
    return torch.nn.functional.interpolate(grown, size=side, mode="bilinear")


@pytest.mark.parametrize("count", [5, 12, 40])
def test_the_series_graph_is_exported_as_it_is(series: Any, count: int) -> None:
    model, graph, _, side = series
    study, chances, activation = compared(model, graph, slices(count, side), list(SERIES_OUTPUTS))
    assert study.shape == (1, 2)
    assert chances.shape == (count, 2)
    assert activation.shape == (count, 2, 16, 16)
    assert chances.sum(1) == pytest.approx(np.ones(count), abs=1e-5)
    # Evaluation pools logits from cross-validation with numpy; it must be the graph's pooling.
    logits = (np.log(chances[:, 1] / chances[:, 0]) - SLICES.shift) / SLICES.scale
    assert STUDY(np.array(pooled(logits.astype(np.float64)))) == pytest.approx(
        study[0, 1], abs=1e-4
    )


def test_nothing_is_shown_outside_the_head(series: Any) -> None:
    _, graph, _, side = series
    some = slices(6, side)
    some[:, :, :, : side // 2] = -1.0  # black: air
    with torch.no_grad():
        _, _, activation = graph(some)
    assert float(activation[..., :8].max()) == 0.0
    assert float(activation[..., 8:].max()) > 0.0


def test_members_and_mirror_images_are_averaged(series: Any) -> None:
    _, graph, _, side = series
    some = slices(6, side)
    picture = graphs.neighbours(region.resized(some * 0.5 + 0.5, SIDE))
    whole = torch.ones_like(picture[:, :1])
    with torch.no_grad():
        each = [
            net(shown, whole) for net in graph.classifiers for shown in (picture, picture.flip(3))
        ]
        wanted = torch.stack(each).mean(0)
        _, chances, _ = graph(some)
    said = torch.sigmoid(SLICES.scale * wanted[:, 0] + SLICES.shift)
    assert torch.allclose(chances[:, 1], said, atol=1e-5)
    assert float((each[0] - each[1]).abs().max()) > 1e-3
    assert float((each[0] - each[2]).abs().max()) > 1e-3


def test_the_package_of_a_series_model_states_what_was_trained(series: Any) -> None:
    model, _, _, _ = series
    manifest = model.package.manifest
    assert manifest.series.minimum_slices == 5
    assert manifest.classification.slice_output == "slice_probability"
    assert "other folds" in manifest.training["calibration"]


@given(hnp.arrays(np.float64, st.integers(MOST, 40), elements=st.floats(-9, 9, width=32)))
def test_studies_are_pooled_alike_in_graph_and_record(logits: NDArray[np.float64]) -> None:
    graph = graphs.study_logit(torch.from_numpy(logits)[:, None])
    assert graph.shape == (1, 1)
    assert float(graph) == pytest.approx(pooled(logits), abs=1e-9)


def test_one_odd_slice_does_not_decide() -> None:
    odd = np.full(20, -3.0)
    odd[10] = 6.0
    several = np.full(20, -3.0)
    several[8:14] = 2.0
    assert pooled(odd) < pooled(several)
    assert pooled(odd) == pytest.approx((-0.75 * 2 + 1.5 - 3 * 2) / 5)


# -- what is wrong is told --


def test_another_answer_than_the_network_gives_is_an_error() -> None:
    class Twice(torch.nn.Module):  # type: ignore[misc]
        def forward(self, image: Any) -> tuple[Any]:
            return (image * 2.0,)

    some = torch.ones(1, 1, 2, 2)
    right = {"double": np.full((1, 1, 2, 2), 2.0, np.float32)}
    assert exporting.check_export(Twice(), some, right) == 0.0
    for wrong in (2.001, np.nan):
        found = {"double": np.full((1, 1, 2, 2), wrong, np.float32)}
        with pytest.raises(ExportError, match="output double of the exported graph is off by"):
            exporting.check_export(Twice(), some, found)
