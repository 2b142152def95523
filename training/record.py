"""What training writes and judging reads, without torch: file names, series, pooling."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.collection import Example
from training.errors import CollectionError

RECIPE_FILE, TRAINING_FILE = "recipe.toml", "training.json"
# Value of the split column: a series whose order is not known; it is judged as a whole only.
UNORDERED = "patient_level_only"
MOST = 5  # slices that a study's score stands on


def series_of(examples: Sequence[Example]) -> list[NDArray[np.intp]]:
    """Return the positions of each series' slices, caudal first.

    Raises
    ------
    CollectionError
        A series has too few slices, or lies in two folds or with two patients.
    """
    found: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for at, each in enumerate(examples):
        found[each.data, each.series].append(at)
    result = []
    for (_, name), members in found.items():
        owners = {(examples[at].group, examples[at].fold) for at in members}
        if len(members) < MOST or len(owners) > 1:
            raise CollectionError(
                f"series {name}: {len(members)} slices (at least {MOST} are needed), "
                f"{len(owners)} pairs of patient and fold (one is needed)"
            )
        result.append(np.array(sorted(members, key=lambda at: examples[at].order), dtype=np.intp))
    return result


def slice_name(example: Example) -> str:
    """Name a slice for ``training.json``; the file's name alone often recurs in each series."""
    return f"{example.series}/{example.path.name}"


def pooled(logits: NDArray[np.float64]) -> float:
    """Pool slices to a study, as the graph does (``training.graphs.study_logit``).

    The mean of the ``MOST`` highest logits, each smoothed over its neighbours, so that one odd
    slice does not decide.
    """
    edged = np.pad(logits, 1, mode="edge")
    smooth = (edged[:-2] + 2.0 * edged[1:-1] + edged[2:]) / 4.0
    return float(np.sort(smooth)[-MOST:].mean())
