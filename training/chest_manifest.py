"""The manifest of the ``cxr-covid`` package, ``model.toml``."""

from __future__ import annotations

from collections.abc import Mapping

from inference.pixels import Preparation
from training.calibrate import OperatingPoint

VERSION = "0.1.0"
INTENDED_USE = (
    "Research and demonstration only: screens frontal chest radiographs of adults for abnormality "
    "and names the likelier of pneumonia and COVID-19. A physician makes every decision."
)
LICENCE = (
    "Research and demonstration only; trained on images of which several are non-commercial or "
    "state no licence, see CARD.md"
)


def _code(value: str, scheme: str, meaning: str) -> dict[str, str]:
    return {"value": value, "scheme": scheme, "meaning": meaning}


def manifest(
    sha256: str,
    preparation: Preparation,
    point: OperatingPoint,
    facts: Mapping[str, object],
) -> dict[str, dict[str, object]]:
    """Return the manifest's tables.

    Parameters
    ----------
    sha256
        Of ``model.onnx``, lower-case hexadecimal.
    preparation
        How the pictures were prepared in training.
    point
        The operating point.
    facts
        What differs from run to run, kept under ``[training]``.
    """
    return {
        "model": {
            "name": "cxr-covid",
            "version": VERSION,
            "title": "Chest radiograph screening",
            "manufacturer": "wetread",
            "sha256": sha256,
            "intended_use": INTENDED_USE,
            "licence": LICENCE,
        },
        "accepts": {
            "modality": ["CR", "DX"],
            # No empty body part: a hand read as a chest is worse than a chest not read.
            "body_part": ["CHEST", "THORAX", "LUNG", "PORT CHEST"],
            # CR often leaves the view empty; a stated lateral is refused.
            "view": ["PA", "AP"],
            "minimum_rows": 200,
            "minimum_columns": 200,
            "minimum_age_years": 18,
        },
        "report": {"procedure": _code("43468-8", "LN", "XR unspecified body region Views")},
        "prepare": {
            "rows": preparation.rows,
            "columns": preparation.columns,
            "channels": preparation.channels,
            "low_percentile": preparation.low_percentile,
            "high_percentile": preparation.high_percentile,
            "mean": preparation.mean,
            "std": preparation.std,
        },
        "runtime": {"input": "image", "batch": 8},
        "classification": _classification(point),
        "training": _training(facts),
    }


def _classification(point: OperatingPoint) -> dict[str, object]:
    return {
        "output": "probability",
        # ReLU of the class activation map, divided by its maximum (or by typical evidence where
        # the maximum is weaker).
        "activation": "activation",
        "threshold": point.threshold,
        "indeterminate": list(point.band),
        "operating_point": "chosen on validation for sensitivity 0.95",
        "class": [
            {"label": "normal", "normal": True, "code": _code("17621005", "SCT", "Normal")},
            {"label": "pneumonia", "code": _code("233604007", "SCT", "Pneumonia")},
            {"label": "COVID-19", "code": _code("840539006", "SCT", "COVID-19")},
        ],
    }


def _training(facts: Mapping[str, object]) -> dict[str, object]:
    return {
        "data": "NIH ChestX-ray14 subset (text and expert labels); ieee8023 covid-chestxray",
        "splits": "by patient, merged across sources; rows contradicted by expert readers left out",
        "backbone": "MobileNetV2 1.0 224, ImageNet, google-coral/test_data@104342d, Apache-2.0",
        "activation": "class activation map of the class against the mean of classes, ReLU, 0..1",
        "command": "python -m training.chest --data DIR --weights NPZ --out DIR",
        **facts,
    }
