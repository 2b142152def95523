"""Writes a model package: ``model.onnx`` and its manifest (needs torch and onnx)."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator

from training.network import Exported

OPSET = 17
TOLERANCE = 1e-4


class ExportError(RuntimeError):
    """The exported graph is invalid or does not compute what the network computes."""


def export_onnx(exported: Exported, example: torch.Tensor, path: Path) -> str:
    """Write the graph, check it against the network, and return its sha256.

    Parameters
    ----------
    exported
        The network with its calibration.
    example
        Input, shape (images, channels, rows, columns), that the check runs on.
    path
        File to write.

    Raises
    ------
    ExportError
        An output of the graph differs from the network's by more than ``TOLERANCE``.
    """
    exported = exported.to(memory_format=torch.contiguous_format).eval()
    example = example.contiguous()
    outputs = ["probability", "activation"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of itself, not of this graph
        torch.onnx.export(
            exported,
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=outputs,
            dynamic_axes={name: {0: "N"} for name in ["image", *outputs]},
        )
    onnx.checker.check_model(str(path), full_check=True)
    with torch.no_grad():
        wanted = exported(example)
    found = ReferenceEvaluator(str(path)).run(None, {"image": example.numpy()})
    for name, ours, theirs in zip(outputs, wanted, found, strict=True):
        difference = float(np.abs(ours.numpy() - theirs).max())
        if difference > TOLERANCE:
            raise ExportError(f"output {name} of {path.name} is off by {difference:.2g}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(sections: Mapping[str, Mapping[str, object]], path: Path) -> None:
    """Write tables, their values and their arrays of tables as TOML.

    Parameters
    ----------
    sections
        Table name to its keys. A value is a string, number, boolean, list, inline table, or a
        list of tables, which becomes ``[[table.key]]``.
    path
        File to write.
    """
    lines: list[str] = []
    for name, table in sections.items():
        lines.append(f"[{name}]")
        nested = {key: value for key, value in table.items() if _is_tables(value)}
        lines += [f"{key} = {_toml(table[key])}" for key in table if key not in nested]
        for key, entries in nested.items():
            for entry in entries:
                lines += ["", f"[[{name}.{key}]]"]
                lines += [f"{inner} = {_toml(value)}" for inner, value in entry.items()]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    # A JSON string, number or boolean is also a TOML one.
    return json.dumps(value, ensure_ascii=False)
