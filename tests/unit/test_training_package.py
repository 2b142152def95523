"""The shipped ``cxr-covid`` package is whole, valid, and says what its code says."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from inference.package import ZOO, Package, read_package
from inference.pixels import prepare
from training.calibrate import OperatingPoint
from training.chest_manifest import manifest
from training.data import read_collection, read_picture

FOLDER = ZOO / "cxr-covid"


@pytest.fixture(scope="module")
def package() -> Package:
    return read_package(FOLDER)


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        FOLDER / "model.onnx", sess_options=options, providers=["CPUExecutionProvider"]
    )


def noise(count: int) -> NDArray[np.float32]:
    values = np.random.default_rng(6).uniform(-1.0, 1.0, (count, 1, 224, 224))
    return np.repeat(values.astype(np.float32), 3, axis=1)


def test_the_manifest_names_this_graph(package: Package) -> None:
    digest = hashlib.sha256((FOLDER / "model.onnx").read_bytes()).hexdigest()
    assert package.manifest.model.sha256 == digest


def test_the_graph_is_valid_and_small(package: Package) -> None:
    onnx.checker.check_model(str(FOLDER / "model.onnx"), full_check=True)
    graph = onnx.load(FOLDER / "model.onnx")
    assert [entry.version for entry in graph.opset_import] == [17]
    assert (FOLDER / "model.onnx").stat().st_size < 10_000_000
    names = {value.name for value in graph.graph.output}
    assert names == {"probability", "activation"}


def test_the_batch_does_not_change_the_answer(session: onnxruntime.InferenceSession) -> None:
    images = noise(3)
    together = session.run(None, {"image": images})
    for index in range(3):
        alone = session.run(None, {"image": images[index : index + 1]})
        for one, all_of_them in zip(alone, together, strict=True):
            assert np.abs(one[0] - all_of_them[index]).max() < 1e-4


def test_probabilities_sum_to_one_and_maps_lie_in_unit_range(
    session: onnxruntime.InferenceSession,
) -> None:
    probability, activation = session.run(["probability", "activation"], {"image": noise(2)})
    assert probability.shape == (2, 3)
    assert probability.sum(1) == pytest.approx([1.0, 1.0], abs=1e-5)
    assert activation.shape == (2, 3, 7, 7)
    assert activation.min() >= 0.0
    assert activation.max() <= 1.0


def test_the_manifest_is_what_the_code_writes(package: Package) -> None:
    section = package.manifest.classification
    assert section.indeterminate is not None
    point = OperatingPoint(threshold=section.threshold, band=section.indeterminate)
    written = manifest(package.manifest.model.sha256, package.preparation, point, {})
    shipped = package.manifest.model_dump(by_alias=True)
    for name in ("model", "accepts", "report", "prepare", "runtime"):
        assert shipped[name] == written[name]


def test_the_card_states_purpose_limits_and_operating_point(package: Package) -> None:
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    assert "Research and demonstration only" in card
    assert "What must not be concluded" in card
    assert f"Threshold {package.manifest.classification.threshold:.4f}" in card


def test_real_test_images_are_told_apart(
    package: Package, session: onnxruntime.InferenceSession
) -> None:
    root = os.environ.get("WETREAD_DATA")
    if not root:
        pytest.skip("WETREAD_DATA is not set; it names the folder of the real images")
    folder = Path(root) / "cxr"
    rows = [row for row in read_collection(folder) if row.split == "test"]
    means = []
    for abnormal in (False, True):
        some = [row for row in rows if (row.label > 0) == abnormal][:24]
        images = [prepare(read_picture(folder / row.file), package.preparation) for row in some]
        probability = session.run(["probability"], {"image": np.stack(images)})[0]
        means.append(float(1.0 - probability[:, 0].mean()))
    assert means[1] > means[0] + 0.2
