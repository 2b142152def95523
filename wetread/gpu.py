"""The NVIDIA GPUs of this host, and of those whose processes tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from db.processes import Seen

GPU_KEYS = ("memory_used", "memory_total", "utilization")


def gpus() -> list[dict[str, Any]]:
    """Memory in bytes and use (0..1) of each GPU; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return [_told(pynvml, each) for each in handles]
    except pynvml.NVMLError:
        return []  # one that fell off the bus; who needs it says so
    finally:
        pynvml.nvmlShutdown()


def by_host(running: Sequence[Seen]) -> dict[str, list[dict[str, Any]]]:
    """The GPUs of each host with a worker, whichever of its processes tells of them."""
    return {each.host: each.details["gpus"] for each in running if "gpus" in each.details}


def _told(nvml: Any, handle: Any) -> dict[str, Any]:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        "memory_used": int(memory.used),
        "memory_total": int(memory.total),
        "utilization": nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
    }
