"""Whether this host has a GPU that models could run on."""

from __future__ import annotations

from pathlib import Path

_DEVICES = ("/dev/nvidia0", "/dev/dxg")  # the second under WSL


def gpu_present() -> bool:
    """Whether the driver shows an NVIDIA GPU, used or not."""
    return any(Path(each).exists() for each in _DEVICES)
