"""Parametric maps: the activation of the slices shown, at its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom.pm import ParametricMap
from pydicom import Dataset, dcmread
from pydicom.uid import MRImageStorage

from sr.activation import build_activation_maps, resampled
from sr.bundle import build_results
from sr.document import to_bytes
from sr.findings import Normality
from sr.identity import Kind
from tests import validators
from tests.ctfiles import head_series, tilted
from tests.sr_examples import (
    WHEN,
    ct_slice,
    image_reading,
    radiograph,
    reading,
    received,
    series_reading,
    spot,
)


def _series(**options: Any) -> list[Dataset]:
    return [received(each) for each in head_series(**options)]


def _built(sources: Sequence[Dataset]) -> Dataset:
    (made,) = build_activation_maps(sources, series_reading(list(sources)), when=WHEN)
    return dcmread(BytesIO(to_bytes(made)))


def test_map_has_a_frame_for_each_slice_shown() -> None:
    sources = _series(heights=(-10, -5, 0, 7), axes=tilted(18))
    made = _built(sources)
    pixels = made.pixel_array
    assert pixels.dtype == np.float32
    assert pixels.shape == (3, 64, 64)
    # The warm cell of the second slice shown: row 2, column 4 of 8.
    row, column = divmod(int(pixels[1].argmax()), 64)
    assert (row // 8, column // 8) == (2, 4)
    assert pixels[1].max() <= 1
    for source, item in zip(sources, made.PerFrameFunctionalGroupsSequence, strict=False):
        position = item.PlanePositionSequence[0]
        assert position.ImagePositionPatient == source.ImagePositionPatient
        (origin,) = item.DerivationImageSequence[0].SourceImageSequence
        assert origin.ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_values_are_named_as_class_activation_without_unit() -> None:
    made = _built(_series())
    shared = made.SharedFunctionalGroupsSequence[0]
    (mapping,) = shared.RealWorldValueMappingSequence
    (quantity,) = mapping.QuantityDefinitionSequence
    assert quantity.ConceptNameCodeSequence[0].CodeMeaning == "Quantity"
    assert quantity.ConceptCodeSequence[0].CodeValue == "130402"
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert made.ContentLabel == "ACTIVATION"
    assert "not for diagnosis" in made.ContentDescription


def test_highdicom_reads_the_map() -> None:
    (made,) = build_activation_maps([ct_slice()], series_reading([ct_slice()]), when=WHEN)
    found = ParametricMap.from_dataset(dcmread(BytesIO(to_bytes(made))))
    assert found.number_of_frames == 1


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (5, 7)])
def test_edges_of_the_map_are_the_edges_of_the_image(rows: int, columns: int) -> None:
    ramp = np.tile(np.linspace(0, 1, 8, dtype=np.float32), (8, 1))
    found = resampled(ramp, rows, columns)
    assert found.shape == (rows, columns)
    assert found.dtype == np.float32
    assert found.mean() == pytest.approx(0.5, abs=1e-3)
    assert (np.diff(found, axis=1) >= 0).all()


def test_unknown_cells_are_zero() -> None:
    heatmap = spot(2, 5)
    heatmap[4, 4] = np.nan
    assert (resampled(heatmap, 8, 8) == spot(2, 5)).all()


@pytest.mark.parametrize(
    ("source", "normality"),
    [(radiograph(), Normality.ABNORMAL), (ct_slice(), Normality.NORMAL)],
)
def test_nothing_for_radiographs_and_normal_answers(source: Dataset, normality: Normality) -> None:
    read = reading(image_reading(source, normality, heatmap=spot(2, 5)))
    assert build_activation_maps([source], read, when=WHEN) == []


def test_nothing_where_the_overlay_shows_nothing() -> None:
    source = ct_slice()
    for heatmap in (None, np.full((4, 4), 0.2, np.float32)):
        read = reading(image_reading(source, heatmap=heatmap))
        assert build_activation_maps([source], read, when=WHEN) == []


def test_each_series_has_a_map_of_its_own() -> None:
    sources = [*_series(heights=(0, 5)), *_series(heights=(0, 5), series=2)]
    images = [image_reading(each, heatmap=spot(2, 5)) for each in sources]
    results = build_results(sources, {}, reading(*images), when=WHEN, kinds=[Kind.MAP]).objects
    assert [each.number for each in results] == [1, 2]
    assert len({each.dataset.SOPInstanceUID for each in results}) == 2


def test_same_input_gives_the_same_bytes() -> None:
    sources = _series()
    read = series_reading(sources)
    first, second = (build_activation_maps(sources, read, when=WHEN)[0] for _ in range(2))
    assert to_bytes(first) == to_bytes(second)


_MISSING = {"AccessionNumber": None, "StudyID": None, "ReferringPhysicianName": None}
_HEADERS: dict[str, dict[str, Any]] = {
    "complete": {},
    "tilted": {"axes": tilted(18)},
    "bare": {"thickness": None, **_MISSING, "PatientBirthDate": None, "PatientSex": None},
    "MR": {"Modality": "MR", "SOPClassUID": MRImageStorage, "thickness": None, **_MISSING},
    "breast": {"BodyPartExamined": "BREAST"},
}


@pytest.mark.skipif(
    bool(validators.missing_tools("dciodvfy")), reason=validators.missing_tools("dciodvfy")
)
@pytest.mark.parametrize("name", _HEADERS)
def test_map_is_valid_whatever_the_header_lacks(name: str, tmp_path: Path) -> None:
    sources = _series(heights=(-10, -5, 0), **_HEADERS[name])
    path = tmp_path / "pm.dcm"
    path.write_bytes(to_bytes(_built(sources)))
    assert validators.dciodvfy(path) == []


def test_slices_of_a_study_called_normal_have_none() -> None:
    sources = _series()
    normal = series_reading(sources, Normality.NORMAL)
    assert build_activation_maps(sources, normal, when=WHEN) == []
    undecided = series_reading(sources, Normality.INDETERMINATE)
    assert build_activation_maps(sources, replace(undecided), when=WHEN)
