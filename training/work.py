"""What every stage of training is given: where it reads, where it writes, whom it tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.progress import Progress

_BATCH = 32  # images at once where nothing is learned


@dataclass(frozen=True, kw_only=True)
class Work:
    """Where one training run reads and writes.

    Attributes
    ----------
    data
        ``--data``.
    folder
        For prepared pictures and checkpoints; a killed run continues from here.
    progress
        Told how far it is.
    """

    data: Path
    folder: Path
    progress: Progress


def batches(at: NDArray[np.intp], size: int = _BATCH) -> list[NDArray[np.intp]]:
    """Cut positions into runs of at most ``size``."""
    return [at[start : start + size] for start in range(0, len(at), size)]
