"""The network, its augmentation and its export; skipped where torch is not installed."""

from __future__ import annotations

import importlib
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import training
from inference.pixels import Preparation

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
# Loaded by name, so that type checking does not need torch either.
backbone: Any = importlib.import_module("training.backbone")
network: Any = importlib.import_module("training.network")
augmenting: Any = importlib.import_module("training.augment")
fitting: Any = importlib.import_module("training.fit")
exporting: Any = importlib.import_module("training.export")


@pytest.fixture(scope="module")
def exported() -> Any:
    torch.manual_seed(7)
    torch.set_num_threads(1)
    classifier = network.Classifier(backbone.MobileNetV2(), 3)
    for module in classifier.backbone.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_in")
    return network.Exported(classifier, temperature=1.7, strong=1e-3).eval()


def examples(count: int = 8) -> Any:
    greys = np.random.default_rng(8).random((count, 224, 224)).astype(np.float16)
    greys[:, :40] = greys[:, -40:] = 0.0
    targets = np.eye(3, dtype=np.float32)[np.arange(count) % 3]
    return fitting.Examples(greys=greys, targets=targets, weights=np.ones(count))


def test_the_package_needs_no_torch_to_be_imported() -> None:
    assert training.__doc__


def test_the_exported_graph_computes_what_the_network_does(exported: Any, tmp_path: Path) -> None:
    image = torch.rand(2, 3, 224, 224) * 2 - 1
    path = tmp_path / "model.onnx"
    digest = exporting.export_onnx(exported, image, path)
    assert len(digest) == 64
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = exported(image)
    for ours, theirs in zip(wanted, session.run(None, {"image": image.numpy()}), strict=True):
        assert np.abs(ours.numpy() - theirs).max() < 1e-4


def test_the_mean_of_a_map_and_the_bias_is_the_logit(exported: Any) -> None:
    classifier = exported.classifier
    with torch.no_grad():
        features = classifier.backbone(torch.rand(1, 3, 224, 224))
        logits = classifier.head(features.mean((2, 3)))
        evidence = classifier.evidence(features).mean((2, 3)) + classifier.head.bias
    # They differ by the same value for every class, which a softmax does not see.
    assert (logits - evidence).std() < 1e-4


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    meta = json.dumps({"graph": [{"op": "conv", "w": "w0", "b": "b0"}]}).encode()
    np.savez(tmp_path / "few.npz", __meta__=np.frombuffer(meta, dtype=np.uint8))
    with pytest.raises(backbone.WeightsError, match="1 convolutions"):
        backbone.load(tmp_path / "few.npz")


def test_saved_weights_come_back_in_order(tmp_path: Path) -> None:
    torch.manual_seed(9)
    first = backbone.MobileNetV2()
    arrays, graph = {}, []
    layers = [m for m in first.modules() if isinstance(m, backbone.Convolution)]
    for index, layer in enumerate(layers):
        arrays[f"w{index}"] = layer.weight.detach().numpy()
        arrays[f"b{index}"] = layer.bias.detach().numpy()
        graph.append({"op": "conv", "w": f"w{index}", "b": f"b{index}"})
    meta = np.frombuffer(json.dumps({"graph": graph}).encode(), dtype=np.uint8)
    np.savez(tmp_path / "all.npz", __meta__=meta, **arrays)
    again = backbone.load(tmp_path / "all.npz")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(first(image), again(image))


def test_augmentation_keeps_shape_and_repeats_with_its_seed() -> None:
    batch = examples()
    greys = torch.from_numpy(batch.greys.astype(np.float32))[:, None]
    content = torch.from_numpy(batch.content)
    first, again, other = (
        augmenting.augment(greys, content, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert first.shape == greys.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_margin_after_augmentation_does_not_tell_the_aspect_before() -> None:
    """A square source and a wide one end with the same margins for the same random numbers."""
    square = torch.ones(64, 1, 96, 96)
    wide = torch.ones(64, 1, 96, 96)
    wide[:, :, :15] = wide[:, :, -15:] = 0.0
    margins = []
    for greys, height in ((square, 1.0), (wide, 66 / 96)):
        content = torch.tensor([[height, 1.0]]).expand(64, 2)
        framed = augmenting._reframe(greys, content, torch.Generator().manual_seed(3))
        margins.append((framed[:, 0, :, 48] < 0.01).float().mean())
    assert abs(float(margins[0] - margins[1])) < 0.05


def test_content_is_the_part_that_holds_the_picture() -> None:
    assert examples().content[0] == pytest.approx([(224 - 80) / 224, 1.0])


def test_the_head_learns_what_the_features_tell() -> None:
    torch.manual_seed(10)
    head = torch.nn.Linear(12, 3)
    inputs = torch.randn(300, 12)
    labels = inputs[:, :3].argmax(1)
    fitting._regress(head, inputs, torch.eye(3)[labels], penalty=1e-4)
    assert float((head(inputs).argmax(1) == labels).float().mean()) > 0.95


def test_model_input_is_what_the_node_feeds() -> None:
    preparation = Preparation(rows=8, columns=8, mean=0.4, std=0.2)
    grey = torch.full((1, 1, 8, 8), 0.6)
    result = fitting.model_input(grey, preparation)
    assert result.shape == (1, 3, 8, 8)
    assert float(result.max()) == pytest.approx(1.0)


def test_the_manifest_written_is_toml(tmp_path: Path) -> None:
    tables = {
        "model": {"name": 'a"b', "accepted": True, "list": ["x", ""], "code": {"value": 'q"'}},
        "classification": {"threshold": 0.5, "class": [{"label": "é"}, {"label": "b"}]},
    }
    exporting.write_manifest(tables, tmp_path / "model.toml")
    assert tomllib.loads((tmp_path / "model.toml").read_text("utf-8")) == tables
