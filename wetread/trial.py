"""Reads a study with one model and says what it says; nothing is recorded or sent."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset

from inference import routing, study
from inference.errors import PixelError
from inference.files import read_file
from inference.package import Package
from inference.runtime import Model
from inference.said import said
from wetread.phantom import write_study


def try_model(package: Package, paths: Sequence[Path]) -> dict[str, Any]:
    """Load a model and read what of these files fits it.

    Returns
    -------
    dict
        ``model``, ``version``, ``provider``, ``images`` (read), ``passed_over`` (a list of
        reasons), ``seconds`` (of decoding and reading) and ``answers``, as the queue keeps them;
        null if nothing fits.

    Raises
    ------
    ReadingError
        The package cannot be used, or what fits cannot be read.
    """
    headers = dict[str, tuple[Path, Dataset]]()
    unreadable = 0
    for path in paths:
        try:
            header = read_file(path, [*routing.ELEMENTS])
        except PixelError:
            unreadable += 1
        else:
            headers[str(header.get("SOPInstanceUID", path))] = path, header
    routed = routing.route(package, [header for _, header in headers.values()])
    reasons = [str(each.reason) for each in routed.passed_over]
    if unreadable:
        reasons.append(f"{unreadable} files are no DICOM images")
    model = Model(package)
    shown: dict[str, Any] = {
        "model": package.name,
        "version": package.version,
        "provider": model.provider,
        "images": len(routed.fitting),
        "passed_over": reasons or ([routed.reason] if routed.reason else []),
    }
    if not routed.fitting:
        return shown | {"seconds": None, "answers": None}
    started = time.perf_counter()
    seen = study.load(package.manifest, [headers[uid][0] for uid in routed.fitting])
    answers = json.loads(said(study.read(model, seen)))
    return shown | {"seconds": round(time.perf_counter() - started, 3), "answers": answers}


def write_sample(folder: Path) -> list[Path]:
    """Write the synthetic chest radiograph, with a finding, and name its files."""
    return write_study(folder, seed=1, finding="ground-glass")
