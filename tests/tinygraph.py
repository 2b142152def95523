"""A tiny ONNX graph with an output of every kind, whose answers are known without running it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 32  # pixels of the square input tensor
_GAIN = 4.0
_NODE = helper.make_node

# The quarters of the tensor, left, top, right, bottom; and the first one again, moved a little.
BOXES = np.array(
    [[0, 0, 16, 16], [16, 0, 32, 16], [0, 16, 16, 32], [16, 16, 32, 32], [1, 1, 17, 17]], np.float32
)
LABELS = np.array([0, 1, 0, 1, 0], np.int64)


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


def abnormal_probability(mean: float) -> float:
    """What the graph says of a tensor with this mean (-1..1)."""
    return float(1 / (1 + np.exp(-2 * _GAIN * mean)))


def graph(fault: Fault | None) -> onnx.ModelProto:
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
        "ten": np.array(10.0, np.float32),
        "levels": np.array([[-_GAIN, 0.0, _GAIN]], np.float32),
        "corners": BOXES[np.newaxis],
        "quadrants": np.array([0, 1, 2, 3, 0], np.int64),
        "sureness": np.array([[0.5, 0.5, 0.5, 0.5, 0.45]], np.float32),
        "kinds": LABELS[np.newaxis],
        "last": np.array([2], np.int64),
        "zero_whole": np.array(0, np.int64),
        "flat": np.array([0, -1], np.int64),
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
        *_study(),
        *_measurements(),
        *_boxes(),
        *_mask(),
    ]
    side = SIDE * 2 if fault is Fault.LARGER else SIDE
    batch = 2 if fault is Fault.FIXED_BATCH else "N"
    shape = [batch, 1, side, side]
    activation_shape = ["N", *["c", "h", "w"][: 2 if fault is Fault.FLAT_MAP else 3]]
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", classes]),
            helper.make_tensor_value_info("activation", TensorProto.FLOAT, activation_shape),
            *(
                helper.make_tensor_value_info(name, kind, None)
                for name, kind in {
                    "study_probability": TensorProto.FLOAT,
                    "score": TensorProto.FLOAT,
                    "grade": TensorProto.FLOAT,
                    "boxes": TensorProto.FLOAT,
                    "box_scores": TensorProto.FLOAT,
                    "box_labels": TensorProto.INT64,
                    "mask": TensorProto.FLOAT,
                }.items()
            ),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


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


def _study() -> list[onnx.NodeProto]:
    """The study is as abnormal as its most abnormal slice, (1, 2)."""
    return [
        _NODE("ReduceMax", ["softmax"], ["worst"], axes=[0], keepdims=1),
        _NODE("Gather", ["worst", "channel"], ["worst_abnormal"], axis=1),
        _NODE("Sub", ["one", "worst_abnormal"], ["best_normal"]),
        _NODE("Concat", ["best_normal", "worst_abnormal"], ["study_probability"], axis=1),
    ]


def _measurements() -> list[onnx.NodeProto]:
    """Ten times the mean as a score (N,), and three levels of brightness (N, 3)."""
    return [
        _NODE("Mul", ["mean", "ten"], ["score"]),
        _NODE("MatMul", ["column", "levels"], ["level_logits"]),
        _NODE("Softmax", ["level_logits"], ["grade"], axis=1),
    ]


def _boxes() -> list[onnx.NodeProto]:
    """One box for each quarter of the tensor, as sure as the quarter is bright."""
    return [
        _NODE("AveragePool", ["image"], ["quarters"], kernel_shape=[16, 16], strides=[16, 16]),
        _NODE("Reshape", ["quarters", "flat"], ["four"]),
        _NODE("Gather", ["four", "quadrants"], ["five"], axis=1),
        _NODE("Add", ["five", "one"], ["five_from_0"]),
        _NODE("Mul", ["five_from_0", "sureness"], ["box_scores"]),
        _NODE("Unsqueeze", ["five", "last"], ["five_by_1"]),
        _NODE("Mul", ["five_by_1", "zero"], ["zeros"]),
        _NODE("Add", ["zeros", "corners"], ["boxes"]),
        _NODE("Cast", ["five"], ["five_whole"], to=TensorProto.INT64),
        _NODE("Mul", ["five_whole", "zero_whole"], ["zeros_whole"]),
        _NODE("Add", ["zeros_whole", "kinds"], ["box_labels"]),
    ]


def _mask() -> list[onnx.NodeProto]:
    """The picture in 8 x 8 cells, 0..1."""
    return [
        _NODE("AveragePool", ["image"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        _NODE("Mul", ["cells", "half"], ["half_cells"]),
        _NODE("Add", ["half_cells", "half"], ["mask"]),
    ]
