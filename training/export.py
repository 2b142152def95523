"""Writes ``model.onnx`` and checks it against the network (needs torch and onnx)."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from training.errors import ExportError

OPSET = 17
TOLERANCE = 1e-4


def export_onnx(
    exported: nn.Module,
    example: torch.Tensor,
    outputs: Mapping[str, str],
    path: Path,
) -> str:
    """Write the graph, check that it is valid, and return its sha256.

    Parameters
    ----------
    exported
        The network with its calibration, on the CPU.
    example
        Input, shape (images or slices, channels, rows, columns).
    outputs
        Name of each output, in order, and the name of its first axis; ``"1"`` if that is fixed.
    path
        File to write.

    Raises
    ------
    ExportError
        The graph is not valid.
    """
    axes = {name: {0: axis} for name, axis in {"image": "N", **outputs}.items() if axis != "1"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of itself, not of this graph
        torch.onnx.export(
            exported.to(memory_format=torch.contiguous_format).eval(),
            (example.contiguous(),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=list(outputs),
            dynamic_axes=axes,
        )
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path}: not a valid graph: {error}") from error
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_export(
    exported: nn.Module, example: torch.Tensor, found: Mapping[str, NDArray[np.float32]]
) -> float:
    """Compare what the node's runtime computes with what the network computes.

    Parameters
    ----------
    exported, example
        As for ``export_onnx``; outputs are compared in the order of ``found``.
    found
        What the runtime said of ``example``, by name of the output.

    Returns
    -------
    float
        The greatest difference.

    Raises
    ------
    ExportError
        An output differs by more than ``TOLERANCE``.
    """
    with torch.no_grad():
        wanted = exported(example)
    worst = 0.0
    for (name, theirs), ours in zip(found.items(), wanted, strict=True):
        difference = float(np.abs(ours.numpy() - theirs).max())
        if not difference <= TOLERANCE:
            raise ExportError(f"output {name} of the exported graph is off by {difference:.2g}")
        worst = max(worst, difference)
    return worst
