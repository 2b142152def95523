"""The models: whether each can be loaded and run, and on what it really runs."""

from __future__ import annotations

import ctypes
import socket
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000MC,
    JPEG2000MCLossless,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLETransferSyntaxes,
)

from db import processes
from db.processes import Seen
from wetread.doctor.finding import Finding, failed, ok, warning
from wetread.doctor.surroundings import Surroundings

_CUDA = "CUDAExecutionProvider"
_CUDA_MISSES = (
    "pip install 'wetread[cuda]' for CUDA and cuDNN, or install both; see that the driver works "
    "('nvidia-smi'); then start the workers again"
)
_CPU_WHEEL = "pip uninstall onnxruntime, then pip install --force-reinstall onnxruntime-gpu"
_DECODED = [
    *RLETransferSyntaxes,
    *JPEGTransferSyntaxes,
    *JPEGLSTransferSyntaxes,
    *JPEG2000TransferSyntaxes,
]
_NEVER_DECODED = (JPEG2000MCLossless, JPEG2000MC)  # by no plugin of pydicom


def models(surroundings: Surroundings) -> Iterator[Finding]:
    """Read each package, compare its hash, load it and run it once."""
    # Only where it is needed: it imports the runtime.
    from inference.errors import ReadingError
    from inference.package import find_packages
    from inference.runtime import Model

    settings = surroundings.settings
    try:
        packages = find_packages(settings.model_folders(), settings.models.disabled)
    except ReadingError as error:
        yield failed(
            "packages",
            str(error),
            "correct the manifest or [models] folders: until then no worker starts",
        )
        return
    for each in packages:
        started = time.perf_counter()
        try:
            provider = Model(each).provider
        except ReadingError as error:
            yield failed(
                each.name,
                str(error),
                "install the package again from where it came; until then no worker starts, "
                "unless [models] disabled names it",
            )
            continue
        seconds = time.perf_counter() - started
        shown = f"{each.version}: hash as the manifest says; loaded and run once in {seconds:.1f} s"
        yield ok(each.name, f"{shown} on {provider}")
    if not packages:
        yield warning(
            "packages", "there is no model: nothing is read", "install one; docs/models.md"
        )


def devices(surroundings: Surroundings) -> Iterator[Finding]:
    """Compare what this host has with what the runtime can use and workers really use."""
    from inference.runtime import available_providers

    gpus = len(sorted(surroundings.devices.glob("nvidia[0-9]*")))
    workers = _workers(surroundings)
    here = [each for each in workers if each.host == socket.gethostname()]
    if not gpus:
        yield ok("GPU", "no NVIDIA GPU on this host: models run on the CPU")
    elif any(_CUDA in _providers(each) for each in here):
        yield ok("GPU", f"{gpus} on this host, and a worker runs on it")
    elif _CUDA not in available_providers():
        found = f"{gpus} on this host, and the CPU-only onnxruntime is installed"
        yield warning("GPU", found, _CPU_WHEEL)
    elif why := cuda_trouble():
        yield warning("GPU", f"{gpus} on this host, and models run on the CPU: {why}", _CUDA_MISSES)
    else:
        yield ok("GPU", f"{gpus} on this host, and the runtime can use CUDA")
    for each in workers:
        providers = ", ".join(_providers(each))
        subject = f"worker on {each.host}, pid {each.pid}"
        if gpus and each in here and _CUDA not in _providers(each):
            yield warning(subject, f"runs on {providers} though there is a GPU", _CUDA_MISSES)
        else:
            yield ok(subject, f"runs on {providers}")


def _workers(surroundings: Surroundings) -> list[Seen]:
    """Those that run and have said what they run on."""
    with surroundings.reading() as connection:
        seen = processes.seen(connection)
    return [each for each in seen if not each.silent and _providers(each)]


def _providers(worker: Seen) -> list[str]:
    return sorted({str(each["provider"]) for each in worker.details.get("models") or []})


def cuda_trouble() -> str:
    """Why the runtime cannot load CUDA on this host; empty if it can.

    The runtime itself says so only in a log, and goes on with the CPU.
    """
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return "onnxruntime is not installed"
    folder = Path(spec.origin).parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / "libonnxruntime_providers_cuda.so"))
    except OSError as error:
        return str(error)
    return ""


def pixels(_surroundings: Surroundings) -> Iterator[Finding]:
    """See which kinds of compressed pixels can be decoded."""
    wanted = [each for each in _DECODED if each not in _NEVER_DECODED]
    missing = [each.name for each in wanted if not get_decoder(each).is_available]
    if missing:
        yield warning(
            "decoders",
            f"none for {', '.join(missing)}: such images are stored and not read",
            "pip install python-gdcm pylibjpeg pylibjpeg-openjpeg",
        )
    else:
        yield ok("decoders", f"JPEG, JPEG-LS, JPEG 2000 and RLE: all {len(wanted)} are here")
