"""The runtime on small real graphs, sound and broken."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.errors import ManifestError, ModelError
from inference.package import read_package
from inference.runtime import Model, available_providers
from tests.tinygraph import SIDE, Fault, abnormal_probability
from tests.tinymodel import write_package


def batch(*means: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Even tensors of these values."""
    return np.stack([np.full((1, SIDE, SIDE), each, np.float32) for each in means])


def model(root: Path, *edits: tuple[str, str], fault: Fault | None = None) -> Model:
    return Model(read_package(write_package(root, *edits, fault=fault)), threads=1)


def test_it_runs_and_names_its_provider(tmp_path: Path) -> None:
    loaded = model(tmp_path)
    assert loaded.provider in available_providers()
    outputs = loaded.run(batch(-0.3, 0.0, 0.5))
    expected = [[1 - abnormal_probability(m), abnormal_probability(m)] for m in (-0.3, 0.0, 0.5)]
    np.testing.assert_allclose(outputs["probability"], expected, atol=1e-5)
    assert outputs["activation"].shape == (3, 2, 4, 4)
    np.testing.assert_allclose(outputs["activation"][2, 1], 0.75, atol=1e-6)


def test_the_runtime_tells_nobody_what_it_runs(tmp_path: Path) -> None:
    """It begins with an identifier of the machine, in the home folder of who runs it."""
    package, home = write_package(tmp_path / "package"), tmp_path / "home"
    home.mkdir()
    silencing = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in silencing}
    load = (
        "import sys; from pathlib import Path; from inference.package import read_package; "
        "from inference.runtime import Model; Model(read_package(Path(sys.argv[1])))"
    )
    subprocess.run(
        [sys.executable, "-c", load, package], check=True, env=environment | {"HOME": str(home)}
    )
    assert list(home.rglob("*")) == []


def test_the_cpu_is_always_there_and_last() -> None:
    assert available_providers()[-1] == "CPUExecutionProvider"


def test_a_model_may_explain_nothing(tmp_path: Path) -> None:
    outputs = model(tmp_path, ('activation = "activation"\n', "")).run(batch(0))
    assert list(outputs) == ["probability"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (('input = "image"', 'input = "picture"'), r"no input 'picture': \['image'\]"),
        (('output = "probability"', 'output = "p"'), "no output 'p'"),
        (('activation = "activation"', 'activation = "cam"'), "no output 'cam'"),
    ],
)
def test_a_name_that_the_graph_lacks_is_told_beside_those_it_has(
    tmp_path: Path, edit: tuple[str, str], message: str
) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        model(tmp_path, edit)
    assert "model.onnx" in str(caught.value)


@pytest.mark.parametrize("fault", [Fault.FIXED_BATCH, Fault.LARGER])
def test_a_graph_of_another_size_is_no_match_for_its_manifest(tmp_path: Path, fault: Fault) -> None:
    with pytest.raises(ManifestError, match=r"takes \[.*\], .* makes \[2, 1, 32, 32\]"):
        model(tmp_path, fault=fault)


def test_channels_are_compared_too(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"makes \[2, 3, 32, 32\]"):
        model(tmp_path, ("channels = 1", "channels = 3"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.NAN, "not finite"),
        (Fault.LOGITS, r"outside 0\.\.1"),
        (Fault.THREE_CLASSES, r"shape \(1, 3\).*expected \(1, 2\)"),
        (Fault.FLAT_MAP, r"'activation' has shape \(1, 4, 4\)"),
        (Fault.NAN_MAP, "'activation' .* not finite"),
    ],
)
def test_outputs_that_are_no_probabilities_are_found_when_loading(
    tmp_path: Path, fault: Fault, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        model(tmp_path, fault=fault)


@pytest.mark.parametrize(
    ("fault", "message"),
    [(Fault.NAN_ON_BRIGHT, "not finite"), (Fault.FAILS_ON_BRIGHT, "model tiny failed: ")],
)
def test_a_graph_that_fails_on_a_picture_may_be_tried_again(
    tmp_path: Path, fault: Fault, message: str
) -> None:
    loaded = model(tmp_path, fault=fault)
    with pytest.raises(ModelError, match=message) as caught:
        loaded.run(batch(1.0))
    assert caught.value.retryable
    np.testing.assert_allclose(loaded.run(batch(0.0))["probability"], 0.5)


def test_a_tensor_of_the_wrong_size_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model tiny failed"):
        model(tmp_path).run(np.zeros((1, 1, 8, 8), np.float32))


def test_a_file_that_is_no_graph_cannot_be_loaded(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ManifestError, match=r"SHA-256 is [0-9a-f]{64}, the manifest says"):
        Model(read_package(folder))
    manifest = folder / "model.toml"
    old = read_package(folder).manifest.model.sha256
    digest = hashlib.sha256(b"no graph").hexdigest()
    manifest.write_text(manifest.read_text("utf-8").replace(old, digest), "utf-8")
    with pytest.raises(ModelError, match=r"model\.onnx: cannot be loaded"):
        Model(read_package(folder))
