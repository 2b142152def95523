"""Slices whose destination gets every kind of result: what OHIF makes of the further ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import (
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SegmentationStorage,
)

from tests.ctfiles import head_series, left_between
from tests.tinymodel import CLASSIFICATION, SEGMENTATION, write_package
from tests.viewer.slices import written
from tools.orthanc import Orthanc
from tools.viewer import Viewer
from tools.viewer_pixels import Picture, colour_likeness
from tools.viewer_study import read_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def objects(pacs: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """By SOP class, what came back; a model outlines the bright half of each slice."""
    folder = tmp_path_factory.mktemp("slices")
    write_package(
        folder / "models",
        ('modality = ["CR", "DX"]', 'modality = ["CT"]'),
        ('body_part = ["CHEST", "THORAX"]', 'body_part = ["HEAD"]'),
        ('view = ["PA", "AP", ""]\n', ""),
        ("channels = 1", "channels = 1\nwindow = [40, 120]"),
        ("threshold = 0.5\nindeterminate = [0.4, 0.6]", "threshold = 0.01"),
        sections=CLASSIFICATION + SEGMENTATION,
    )
    settings = f"""
        [destination.results]
        send = ["sr", "text", "sc", "gsps", "kos", "seg", "pm", "pdf"]
        [models]
        folders = ["{folder / "models"}"]
    """
    # Too small for the shipped model.
    slices = head_series(heights=range(0, 20, 5), bleed=left_between(4, 26), side=128)
    made = read_study(pacs, written(folder / "study", slices), folder / "node", settings)
    return {str(each.SOPClassUID): each for each in made}


def opened(viewer: Viewer, shown: Dataset) -> None:
    viewer.open_study(shown.StudyInstanceUID)
    viewer.open_series(shown.SeriesDescription)


def test_what_is_listed_only_does_no_harm(
    viewer: Viewer, objects: dict[str, Dataset], artefacts: Path
) -> None:
    """The viewer applies no presentation states and no key images.

    A parametric map it opens, but gives the slices below the colours that are the map's.
    """
    listed = [
        str(objects[each].SeriesDescription)
        for each in (
            GrayscaleSoftcopyPresentationStateStorage,
            KeyObjectSelectionDocumentStorage,
            ParametricMapStorage,
        )
    ]
    viewer.open_study(objects[SegmentationStorage].StudyInstanceUID)
    viewer.wait_until(lambda: set(listed) <= set(viewer.series()), lambda: str(viewer.series()))
    for number, description in enumerate(listed):
        viewer.double_click_series(description)
        viewer.page.wait_for_timeout(1000)
        # The slice is still there, in whatever colours.
        viewer.wait_until(lambda: bool((viewer.picture().max(axis=2) > 200).mean() > 0.05))
        viewer.screenshot(artefacts / f"{number}.png")


def test_the_segmentation_covers_what_it_segments(
    viewer: Viewer, objects: dict[str, Dataset], artefacts: Path
) -> None:
    segmentation = objects[SegmentationStorage]
    opened(viewer, segmentation)
    viewer.page.get_by_role("button", name="Yes", exact=True).click()
    viewer.wait_until(
        lambda: alike(viewer, segmentation) > 0.9, lambda: str(alike(viewer, segmentation))
    )
    viewer.page.locator("[data-cy=panelSegmentation-btn]").first.click()
    (segment,) = segmentation.SegmentSequence
    viewer.page.get_by_text(str(segment.SegmentLabel), exact=True).first.wait_for()
    viewer.screenshot(artefacts / "segmentation.png")


def alike(viewer: Viewer, segmentation: Dataset) -> float:
    """Best likeness of the viewport, where it is blue, with a frame of a segmentation."""
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    shown = viewer.picture()
    return max(colour_likeness(shown, blue(frame)) for frame in frames)


def blue(mask: np.ndarray) -> Picture:
    painted = np.zeros((*mask.shape, 3), np.uint8)
    painted[..., 2] = mask * 255
    return painted


def test_the_document_opens(viewer: Viewer, objects: dict[str, Dataset], artefacts: Path) -> None:
    opened(viewer, objects[EncapsulatedPDFStorage])
    # The browser shows it by a program of its own, whose text a page cannot read.
    viewer.wait_until(lambda: bool((viewer.picture() > 240).all(axis=2).mean() > 0.25))
    viewer.screenshot(artefacts / "document.png")
