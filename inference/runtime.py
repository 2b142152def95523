"""The only import of onnxruntime: sessions, execution providers, batches."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inference.errors import ManifestError, ModelError
from inference.manifest import Package

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_TOLERANCE = 1e-3  # softmax in half precision may leave 0..1 by this

# Fatal errors only: it complains of every absent GPU library, and the provider that really runs
# is reported by Model.provider.
onnxruntime.set_default_logger_severity(4)
if find_spec("nvidia") is not None:  # CUDA libraries that the extra ``cuda`` installed
    onnxruntime.preload_dlls(directory="")


@dataclass(frozen=True)
class Outputs:
    """What a graph said about a batch.

    Attributes
    ----------
    probabilities
        float32, shape (batch, classes).
    activations
        float32, shape (batch, classes, h, w), or None if the model explains nothing.
    """

    probabilities: NDArray[np.float32]
    activations: NDArray[np.float32] | None


class Model:
    """A package's graph, loaded and warmed up.

    Parameters
    ----------
    package
        The package; its hash is checked first.
    threads
        CPU threads of one run; 0 lets the runtime choose.

    Raises
    ------
    ManifestError
        The graph is not the one the manifest describes, lacks a named input or output, or takes
        tensors of another size.
    ModelError
        The runtime cannot load the graph, or the graph fails on a black picture.
    """

    def __init__(self, package: Package, threads: int = 0) -> None:
        package.verify()
        self.package = package
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                package.model_file, sess_options=options, providers=available_providers()
            )
        except Exception as error:  # the runtime's exceptions share no base of their own
            raise ModelError(f"{package.model_file}: cannot be loaded: {error}") from error
        self._check_names()
        preparation = package.preparation
        shape = (1, preparation.channels, preparation.rows, preparation.columns)
        self.run(np.zeros(shape, np.float32))

    @property
    def provider(self) -> str:
        """The execution provider that really runs, e.g. ``"CPUExecutionProvider"``."""
        return str(self._session.get_providers()[0])

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Run the graph.

        Parameters
        ----------
        batch
            Shape (batch, channels, rows, columns), prepared as the manifest says.

        Raises
        ------
        ModelError
            The runtime failed, or the outputs are no probabilities.
        """
        section = self.package.manifest.classification
        names = [section.output] + ([section.activation] if section.activation else [])
        try:
            outputs: list[Any] = self._session.run(
                names, {self.package.manifest.runtime.input: batch}
            )
        except Exception as error:  # see above
            raise ModelError(f"model {self.package.name} failed: {error}") from error
        probabilities = outputs[0]
        expected = (len(batch), len(section.classes))
        if probabilities.shape != expected or not np.isfinite(probabilities).all():
            raise ModelError(
                f"model {self.package.name}: output {section.output!r} has shape "
                f"{probabilities.shape} or values that are not finite; expected {expected}"
            )
        if probabilities.min() < -_TOLERANCE or probabilities.max() > 1 + _TOLERANCE:
            raise ModelError(
                f"model {self.package.name}: output {section.output!r} has values outside 0..1; "
                "the graph must end in softmax or sigmoid"
            )
        activations = outputs[1] if section.activation else None
        if activations is not None and not _is_map(activations, expected):
            raise ModelError(
                f"model {self.package.name}: output {section.activation!r} has shape "
                f"{activations.shape} or values that are not finite; expected {expected} and a map"
            )
        return Outputs(probabilities, activations)

    def _check_names(self) -> None:
        section, runtime = self.package.manifest.classification, self.package.manifest.runtime
        inputs = [each.name for each in self._session.get_inputs()]
        outputs = [each.name for each in self._session.get_outputs()]
        if runtime.input not in inputs:
            raise ManifestError(f"{self.package.model_file}: no input {runtime.input!r}: {inputs}")
        for name in (section.output, section.activation):
            if name and name not in outputs:
                raise ManifestError(f"{self.package.model_file}: no output {name!r}: {outputs}")
        self._check_size(
            next(each for each in self._session.get_inputs() if each.name == runtime.input)
        )

    def _check_size(self, declared: Any) -> None:
        # A graph that is exported for one image would fail on the first study of two.
        preparation, batch = self.package.preparation, self.package.manifest.runtime.batch
        given = [batch, preparation.channels, preparation.rows, preparation.columns]
        stated = list(declared.shape)
        fits = len(stated) == len(given) and all(
            not isinstance(size, int) or size == want
            for size, want in zip(stated, given, strict=True)
        )
        several = bool(stated) and isinstance(stated[0], int) and stated[0] > 1
        if several or (stated and not fits):
            raise ManifestError(
                f"{self.package.model_file}: input {declared.name!r} takes {stated}, [runtime] "
                f"batch and [prepare] make {given}; a fixed batch must be 1"
            )


def _is_map(activations: NDArray[np.float32], expected: tuple[int, int]) -> bool:
    shaped = activations.ndim == 4 and activations.shape[:2] == expected and activations.size > 0
    return shaped and bool(np.isfinite(activations).all())


def available_providers() -> list[str]:
    """CUDA first if this machine has it, then the CPU."""
    found = onnxruntime.get_available_providers()
    return [each for each in (_CUDA, _CPU) if each in found]
