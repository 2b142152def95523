"""A study that went through wetread, in a PACS with its results, ready to be opened in a viewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset

from tools.node import Node
from tools.orthanc import Orthanc
from wetread.phantom import write_study


def abnormal_chest(folder: Path) -> list[Path]:
    """Write the synthetic chest radiograph of the demo, which the shipped model calls abnormal."""
    return write_study(folder, seed=19, finding="ground-glass", extent=0.8, level=0.6)


def read_study(
    pacs: Orthanc, sources: Sequence[Path], folder: Path, settings: str = ""
) -> list[Dataset]:
    """Read a study by a node of its own; return the results that came into the PACS.

    The images are put into the PACS afterwards, beside the results.

    Parameters
    ----------
    pacs
        A running PACS without any objects.
    sources
        The study's images.
    folder
        Where the node keeps its data.
    settings
        More of the node's settings, TOML; it may begin with those of the PACS as a destination.
    """
    with Node(folder, [("pacs", pacs.ae_title, pacs.port)], settings) as node:
        sent = node.send(*sources)
        if sent.returncode:
            raise RuntimeError(f"the study was not received: {sent.stderr}")
        jobs = node.wait_for_jobs(studies=1, seconds=120)
    results = pacs.datasets()
    if not results:
        raise RuntimeError(f"no results came back: {jobs}")
    for each in sources:
        pacs.store(each)
    return results
