"""A small but real model package: bright pictures are abnormal. It can be made wrong in many ways.

The graph takes the mean of the tensor as the logit, so the answer is known without running it.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 32  # pixels of the square input tensor
_GAIN = 4.0

MANIFEST = """\
[model]
name = "tiny"
version = "1.0"
title = "Brightness screening"
manufacturer = "tests"
sha256 = "{sha256}"
intended_use = "Tests only."
licence = "Apache-2.0"

[accepts]
modality = ["CR", "DX"]
body_part = ["CHEST", "THORAX"]
view = ["PA", "AP", ""]
minimum_rows = 16
minimum_columns = 16

[report]
procedure = {{ value = "43468-8", scheme = "LN", meaning = "XR unspecified body region Views" }}

[prepare]
rows = 32
columns = 32
channels = 1

[runtime]
input = "image"
batch = 2

[classification]
output = "probability"
activation = "activation"
threshold = 0.5
indeterminate = [0.4, 0.6]
operating_point = "none; brightness decides"

[[classification.class]]
label = "normal"
normal = true
code = {{ value = "17621005", scheme = "SCT", meaning = "Normal" }}

[[classification.class]]
label = "pneumonia"
code = {{ value = "233604007", scheme = "SCT", meaning = "Pneumonia" }}
"""


class Fault(Enum):
    """What is wrong with the graph."""

    NAN = "probabilities are not a number"
    NAN_ON_BRIGHT = "probabilities are not a number for any picture that is not black"
    FAILS_ON_BRIGHT = "fails for any picture that is not black"
    LOGITS = "says values above 1"
    THREE_CLASSES = "says three classes"
    FLAT_MAP = "the activation map has no classes"
    NAN_MAP = "the activation map is not a number"
    FIXED_BATCH = "takes exactly two images"
    LARGER = "takes a larger picture"


def write_package(
    root: Path, *edits: tuple[str, str], folder: str = "tiny", fault: Fault | None = None
) -> Path:
    """Write a package below ``root`` and return its folder.

    Parameters
    ----------
    root
        A folder for ``[models] folders``.
    edits
        (old, new) texts to change in the manifest; ``old`` must be there.
    folder
        Name of the package's folder.
    fault
        What to break in the graph.
    """
    package = root / folder
    package.mkdir(parents=True)
    graph = _graph(fault).SerializeToString()
    (package / "model.onnx").write_bytes(graph)
    manifest = MANIFEST.format(sha256=hashlib.sha256(graph).hexdigest())
    for old, new in edits:
        assert old in manifest, old
        manifest = manifest.replace(old, new)
    (package / "model.toml").write_text(manifest, "utf-8")
    (package / "CARD.md").write_text("# tiny\n", "utf-8")
    return package


def abnormal_probability(mean: float) -> float:
    """What the graph says of a tensor with this mean (-1..1)."""
    return float(1 / (1 + np.exp(-2 * _GAIN * mean)))


def _graph(fault: Fault | None) -> onnx.ModelProto:
    classes = 3 if fault is Fault.THREE_CLASSES else 2
    weights = np.array([[-_GAIN, _GAIN, 0.0][:classes]], np.float32)
    constants: dict[str, NDArray[Any]] = {
        "weights": weights,
        "half": np.array(0.5, np.float32),
        "zero": np.array(0.0, np.float32),
        "one": np.array(1.0, np.float32),
        "axes": np.array([1, 2, 3], np.int64),
        "channel": np.array([1], np.int64),
        "nan": np.array(np.nan, np.float32),
        "lonely": np.zeros(1, np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "channel"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["softmax"], axis=1),
        helper.make_node("ReduceMax", ["image"], ["brightest"], keepdims=0),
        *_probability(fault),
        *_activation(fault, classes),
    ]
    side = SIDE * 2 if fault is Fault.LARGER else SIDE
    batch = 2 if fault is Fault.FIXED_BATCH else "N"
    shape = [batch, 1, side, side]
    activation_shape = ["N", *["c", "h", "w"][: 2 if fault is Fault.FLAT_MAP else 3]]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", classes]),
            helper.make_tensor_value_info("activation", TensorProto.FLOAT, activation_shape),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _probability(fault: Fault | None) -> list[onnx.NodeProto]:
    if fault is Fault.NAN:
        return [helper.make_node("Mul", ["softmax", "nan"], ["probability"])]
    if fault is Fault.LOGITS:
        return [helper.make_node("Add", ["softmax", "one"], ["probability"])]
    if fault is Fault.NAN_ON_BRIGHT:  # the square root of a negative number
        return [
            helper.make_node("Neg", ["brightest"], ["darkness"]),
            helper.make_node("Sqrt", ["darkness"], ["bad"]),
            helper.make_node("Add", ["softmax", "bad"], ["probability"]),
        ]
    if fault is Fault.FAILS_ON_BRIGHT:  # an index beyond the only element
        return [
            helper.make_node("Cast", ["brightest"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["lonely", "index"], ["bad"]),
            helper.make_node("Add", ["softmax", "bad"], ["probability"]),
        ]
    return [helper.make_node("Identity", ["softmax"], ["probability"])]


def _activation(fault: Fault | None, classes: int) -> list[onnx.NodeProto]:
    """The picture in 4 x 4 cells, 0..1: what is dark for the normal class, bright for others."""
    nodes = [
        helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Mul", ["pooled", "half"], ["halved"]),
        helper.make_node("Add", ["halved", "nan" if fault is Fault.NAN_MAP else "half"], ["map"]),
        helper.make_node("Clip", ["map", "zero", "one"], ["clipped"])
        if fault is not Fault.NAN_MAP
        else helper.make_node("Identity", ["map"], ["clipped"]),
    ]
    if fault is Fault.FLAT_MAP:
        return [*nodes, helper.make_node("Squeeze", ["clipped", "channel"], ["activation"])]
    return [
        *nodes,
        helper.make_node("Sub", ["one", "clipped"], ["dark"]),
        helper.make_node("Concat", ["dark", *["clipped"] * (classes - 1)], ["activation"], axis=1),
    ]
