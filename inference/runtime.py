"""The only import of onnxruntime: sessions, execution providers, batches."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import ManifestError, ModelError
from inference.outputs import Outputs, check_outputs, output_names
from inference.package import Package

# Since 1.29 the runtime tells its maker over the internet what it runs, and keeps an identifier of
# the machine, unless this is set before it is loaded; ``disable_telemetry_events`` comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"

# Fatal errors only: it complains of every absent GPU library, and the provider that really runs
# is reported by Model.provider.
onnxruntime.set_default_logger_severity(4)
if find_spec("nvidia") is not None:  # CUDA libraries that the extra ``cuda`` installed
    onnxruntime.preload_dlls(directory="")


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
        self._names = output_names(package.manifest)
        self._check_names()
        self.run(np.zeros((self._least_at_once(), *self._tensor_shape()), np.float32))

    @property
    def provider(self) -> str:
        """The execution provider that really runs, e.g. ``"CPUExecutionProvider"``."""
        return str(self._session.get_providers()[0])

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on a GPU, where a full batch takes little longer than one image."""
        return self.provider == _CUDA

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Run the graph.

        Parameters
        ----------
        batch
            Shape (images or slices, channels, rows, columns), prepared as the manifest says.

        Returns
        -------
        Outputs
            The outputs that the manifest names, of the shapes and ranges that it states.

        Raises
        ------
        ModelError
            The runtime failed, or an output is not what the manifest says.
        """
        try:
            values: list[Any] = self._session.run(
                self._names, {self.package.manifest.runtime.input: batch}
            )
        except Exception as error:  # see above
            raise ModelError(f"model {self.package.name} failed: {error}") from error
        outputs = dict(zip(self._names, values, strict=True))
        check_outputs(self.package.manifest, len(batch), outputs)
        return outputs

    def _check_names(self) -> None:
        wanted = self.package.manifest.runtime.input
        inputs = {each.name: each for each in self._session.get_inputs()}
        outputs = [each.name for each in self._session.get_outputs()]
        if wanted not in inputs:
            raise ManifestError(f"{self.package.model_file}: no input {wanted!r}: {list(inputs)}")
        for name in self._names:
            if name not in outputs:
                raise ManifestError(f"{self.package.model_file}: no output {name!r}: {outputs}")
        self._check_size(inputs[wanted])

    def _check_size(self, declared: Any) -> None:
        stated = list(declared.shape)
        given = [self._most_at_once(), *self._tensor_shape()]
        fits = len(stated) == len(given) and all(
            not isinstance(size, int) or size == want
            for size, want in zip(stated, given, strict=True)
        )
        # A graph that is exported for one image would fail on the first study of two.
        several = bool(stated) and isinstance(stated[0], int) and stated[0] > 1
        if several or (stated and not fits):
            raise ManifestError(
                f"{self.package.model_file}: input {declared.name!r} takes {stated}, the manifest "
                f"makes {given}; a fixed batch must be 1, and slices need a free one"
            )

    def _tensor_shape(self) -> tuple[int, int, int]:
        preparation = self.package.preparation
        return preparation.channels, preparation.rows, preparation.columns

    def _least_at_once(self) -> int:
        """The smallest first axis of a run: one image, or the fewest slices."""
        series = self.package.manifest.series
        return 1 if series is None else series.minimum_slices

    def _most_at_once(self) -> int:
        """The largest first axis of a run."""
        manifest = self.package.manifest
        return manifest.runtime.batch if manifest.series is None else manifest.series.maximum_slices


def available_providers() -> list[str]:
    """CUDA first if this machine has it, then the CPU."""
    found = onnxruntime.get_available_providers()
    return [each for each in (_CUDA, _CPU) if each in found]
