"""Segmentations: the right pixels on the right slices, and none where viewers show none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom.seg import Segmentation, segread
from highdicom.spatial import PixelToReferenceTransformer
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code
from pydicom.uid import MRImageStorage

from sr.bundle import build_results
from sr.document import to_bytes
from sr.findings import Reading, Segment
from sr.identity import Kind
from sr.multiframe import stacks
from sr.segmentation import build_segmentations, resized
from sr.style import Style
from tests import validators
from tests.ctfiles import BLOOD, PIXEL_MM, head_series, left_between, localizer, tilted
from tests.sr_examples import (
    LESION,
    MASS,
    READINGS,
    WHEN,
    ct_slice,
    discs,
    measured,
    radiograph,
    reading,
    received,
    series_reading,
)

_NOTHING = np.zeros((8, 8), np.bool_)


def _series(**options: Any) -> list[Dataset]:
    return [received(each) for each in head_series(**options)]


def _segment(mask: NDArray[np.bool_], finding: Code = LESION, label: str = "Lesion") -> Segment:
    return Segment(finding=finding, label=label, mask=mask)


def _outlined(sources: Sequence[Dataset]) -> Reading:
    """Return a reading with a lesion on every slice and a mass on every other one."""
    lesion = _segment(discs((20, 20, 9)))
    mass = _segment(discs((40, 30, 3)), MASS, "Mass")
    return reading(
        *(
            measured(each, segments=(lesion, mass) if index % 2 else (lesion,))
            for index, each in enumerate(sources)
        )
    )


def _built(sources: Sequence[Dataset], read: Reading) -> Segmentation:
    """Return the only segmentation of a reading, as highdicom reads it from its file."""
    (made,) = build_segmentations(sources, read, when=WHEN)
    return segread(BytesIO(to_bytes(made)))


def _pixels(segmentation: Segmentation, sources: Sequence[Dataset]) -> NDArray[np.bool_]:
    """Return slices, rows, columns, segments, by the slices' own UIDs."""
    uids = [each.SOPInstanceUID for each in sources]
    found = segmentation.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    return np.asarray(found, np.bool_)


def test_segment_for_each_finding_and_frame_for_each_slice_that_it_covers() -> None:
    sources = _series(heights=(-10, -5, 0, 5, 10))
    made = _built(sources, _outlined(sources))
    assert [each.SegmentLabel for each in made.SegmentSequence] == ["Lesion", "Mass"]
    assert made.NumberOfFrames == 5 + 2
    pixels = _pixels(made, sources)
    assert (pixels[..., 0] == discs((20, 20, 9))).all()
    assert [bool(each.any()) for each in pixels[..., 1]] == [False, True, False, True, False]


@pytest.mark.parametrize("degrees", [0, 18, -25])
def test_pixels_lie_where_they_were_outlined(degrees: float) -> None:
    bleed = left_between(-12, 14)
    heights = (-30, -25, -20, -15, -10, -8, -6, 0, 7, 14, 21)  # not equally far apart
    files = head_series(heights=heights, axes=tilted(degrees), bleed=bleed)
    masks = [each.pixel_array - 1024 == BLOOD for each in files]
    sources = [received(each) for each in files]
    images = [
        measured(each, segments=(_segment(mask),))
        for each, mask in zip(sources, masks, strict=True)
    ]
    made = _built(sources[::-1], reading(*images))
    assert made.NumberOfFrames == sum(bool(mask.any()) for mask in masks)
    assert (_pixels(made, sources)[..., 0] == masks).all()
    shared = made.SharedFunctionalGroupsSequence[0]
    for number, item in enumerate(made.PerFrameFunctionalGroupsSequence, start=1):
        to_patient = PixelToReferenceTransformer(
            image_position=item.PlanePositionSequence[0].ImagePositionPatient,
            image_orientation=shared.PlaneOrientationSequence[0].ImageOrientationPatient,
            pixel_spacing=shared.PixelMeasuresSequence[0].PixelSpacing,
        )
        down, across = np.nonzero(made.get_stored_frame(number))
        x, y, z = to_patient(np.stack([across, down], axis=1)).T
        assert len(x)
        assert bleed(x, y, z).all()


def test_frames_are_ordered_along_the_normal_whatever_the_order_of_the_images() -> None:
    sources = _series(heights=(10, -10, 0))
    made = _built(sources, _outlined(sources))
    heights = [
        float(item.PlanePositionSequence[0].ImagePositionPatient[2])
        for item in made.PerFrameFunctionalGroupsSequence
    ]
    assert heights == [-10, 0, 10, -10]
    indices = [
        list(item.FrameContentSequence[0].DimensionIndexValues)
        for item in made.PerFrameFunctionalGroupsSequence
    ]
    assert indices == [[1, 1], [1, 2], [1, 3], [2, 1]]


def test_segment_names_algorithm_finding_and_colour() -> None:
    sources = _series()
    first, second = _built(sources, _outlined(sources)).SegmentSequence
    assert first.SegmentAlgorithmType == "AUTOMATIC"
    (algorithm,) = first.SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("chest-screen", "1.2.0")
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeValue == LESION.value
    assert list(first.RecommendedDisplayCIELabValue) != list(second.RecommendedDisplayCIELabValue)


def test_masks_of_one_finding_on_one_slice_are_one_segment() -> None:
    source = received(ct_slice())
    parts = (_segment(discs((20, 20, 9))), _segment(discs((50, 44, 5))))
    made = _built([source], reading(measured(source, segments=parts)))
    assert len(made.SegmentSequence) == made.NumberOfFrames == 1
    assert made.get_stored_frame(1).sum() == 16 * discs((20, 20, 9), (50, 44, 5)).sum()


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (256, 128), (20, 28)])
def test_mask_keeps_its_edges_at_any_size(rows: int, columns: int) -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[32:, :16] = True
    expected = np.zeros((rows, columns), np.bool_)
    expected[rows // 2 :, : round(columns / 4)] = True
    assert (resized(mask, rows, columns) == expected).all()


def test_each_series_has_a_segmentation_of_its_own() -> None:
    sources = [*_series(series=1), *_series(series=2)]
    made = build_segmentations(sources, _outlined(sources), when=WHEN)
    assert [each.ReferencedSeriesSequence[0].SeriesInstanceUID for each in made] == [
        sources[0].SeriesInstanceUID,
        sources[-1].SeriesInstanceUID,
    ]
    assert len({each.SeriesInstanceUID for each in made}) == 2
    assert len({each.SOPInstanceUID for each in made}) == 2
    results = build_results(
        sources, {}, _outlined(sources), when=WHEN, kinds=[Kind.SEGMENTATION]
    ).objects
    assert [(each.kind, each.number) for each in results] == [
        (Kind.SEGMENTATION, 1),
        (Kind.SEGMENTATION, 2),
    ]


def test_slices_that_are_not_parallel_do_not_share_an_object() -> None:
    sources = [*_series(heights=(0, 5)), *_series(heights=(10, 15), axes=tilted(20))]
    assert [len(each.slices) for each in stacks(sources)] == [2, 2]


def _without(source: Dataset, name: str) -> Dataset:
    delattr(source, name)
    return source


@pytest.mark.parametrize(
    "source",
    [
        radiograph(),
        _without(ct_slice(), "FrameOfReferenceUID"),
        _without(ct_slice(), "ImagePositionPatient"),
        _without(ct_slice(), "ImageOrientationPatient"),
        _without(ct_slice(), "PixelSpacing"),
    ],
)
def test_image_without_a_place_has_none(source: Dataset) -> None:
    read = reading(measured(source, segments=(_segment(discs((20, 20, 9))),)))
    assert build_segmentations([source], read, when=WHEN) == []


def test_masks_of_nothing_have_none() -> None:
    source = ct_slice()
    assert build_segmentations([source], series_reading([source]), when=WHEN) == []
    nothing = reading(measured(source, segments=(_segment(_NOTHING),)))
    assert build_segmentations([source], nothing, when=WHEN) == []
    # A single cell that falls between the pixels.
    fine = np.zeros((1024, 1024), np.bool_)
    fine[0, 0] = True
    vanishing = reading(measured(source, segments=(_segment(fine),)))
    assert build_segmentations([source], vanishing, when=WHEN) == []


def test_same_input_gives_the_same_bytes_and_another_style_another_object() -> None:
    sources = _series()
    read = _outlined(sources)
    (first,) = build_segmentations(sources, read, when=WHEN)
    (second,) = build_segmentations(sources, read, when=WHEN)
    assert to_bytes(first) == to_bytes(second)
    (other,) = build_segmentations(
        sources, read, when=WHEN, style=Style(series_numbers={Kind.SEGMENTATION: 950})
    )
    assert other.SeriesNumber == 950
    assert other.SOPInstanceUID != first.SOPInstanceUID


_MISSING = {"AccessionNumber": None, "StudyID": None, "ReferringPhysicianName": None}
_HEADERS: dict[str, dict[str, Any]] = {
    "complete": {},
    "tilted": {"axes": tilted(18)},
    "bare": {"thickness": None, **_MISSING, "PatientBirthDate": None, "PatientSex": None},
    "MR": {"Modality": "MR", "SOPClassUID": MRImageStorage, "thickness": None, **_MISSING},
    "Japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎",
    },
    "lossy": {"LossyImageCompression": "01", "LossyImageCompressionRatio": "10.2"},
    "breast": {"BodyPartExamined": "BREAST", "Laterality": "L"},
}


@pytest.mark.skipif(
    bool(validators.missing_tools("dciodvfy")), reason=validators.missing_tools("dciodvfy")
)
@pytest.mark.parametrize("name", _HEADERS)
def test_segmentation_is_valid_whatever_the_header_lacks(name: str, tmp_path: Path) -> None:
    sources = _series(heights=(-10, -5, 0), **_HEADERS[name])
    (made,) = build_segmentations(sources, _outlined(sources), when=WHEN)
    path = tmp_path / "seg.dcm"
    path.write_bytes(to_bytes(made))
    assert validators.dciodvfy(path) == []
    copied = dcmread(path)
    for attribute in ("PatientName", "PatientID", "AccessionNumber", "StudyID"):
        assert copied[attribute].value == sources[0].get(attribute, copied[attribute].value)
    assert copied.AccessionNumber == sources[0].get("AccessionNumber", "")
    assert copied.LossyImageCompression == sources[0].get("LossyImageCompression", "00")


def _thickness(item: Dataset) -> float:
    return float(item.PixelMeasuresSequence[0].SliceThickness)


def test_frames_share_the_thickness_that_all_slices_have() -> None:
    sources = _series(thickness=4.5)
    made = _built(sources, _outlined(sources))
    assert _thickness(made.SharedFunctionalGroupsSequence[0]) == 4.5


def test_frames_of_unequal_thickness_have_each_their_own() -> None:
    sources = _series(heights=(0, 2.5, 5, 10), thickness=5)
    sources[0].SliceThickness = sources[1].SliceThickness = "2.5"
    made = _built(sources, _outlined(sources))
    assert "PixelMeasuresSequence" not in made.SharedFunctionalGroupsSequence[0]
    frames = made.PerFrameFunctionalGroupsSequence
    assert [_thickness(each) for each in frames] == [2.5, 2.5, 5, 5, 2.5, 5]


def test_slice_of_unknown_thickness_reaches_to_the_next() -> None:
    sources = _series(heights=(0, 7, 14), thickness=None)
    image = measured(sources[0], segments=(_segment(discs((20, 20, 9))),))
    made = _built(sources, reading(image))
    assert _thickness(made.SharedFunctionalGroupsSequence[0]) == 7
    made = _built(sources[:1], reading(image))
    assert _thickness(made.SharedFunctionalGroupsSequence[0]) == PIXEL_MM


def test_private_finding_declares_its_scheme() -> None:
    source = ct_slice()
    odd = _segment(discs((20, 20, 9)), Code("X-1", "99TEST", "Odd thing"), "Odd thing")
    (made,) = build_segmentations([source], reading(measured(source, segments=(odd,))), when=WHEN)
    (scheme,) = made.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99TEST"


def test_image_of_another_kind_among_the_slices_is_left_out() -> None:
    sources = [*_series(heights=(0, 5)), replace_spacing(received(localizer()))]
    (made,) = build_segmentations(sources, _outlined(sources), when=WHEN)
    assert made.NumberOfFrames == 2 + 1


def replace_spacing(source: Dataset) -> Dataset:
    """Return the header as a scout often comes, without calibration."""
    del source.PixelSpacing
    return source


def test_readings_of_the_examples_have_segmentations_on_slices_alone() -> None:
    for name, make in READINGS.items():
        sources, read = make()
        expected = "segmentation" in name and sources[0].Modality == "CT"
        assert bool(build_segmentations(sources, read, when=WHEN)) == expected
    sources, read = READINGS["segmentation"]()
    slices = [ct_slice()]
    image = replace(read.images[0], sop_instance_uid=str(slices[0].SOPInstanceUID))
    assert build_segmentations(slices, replace(read, images=(image,)), when=WHEN)
