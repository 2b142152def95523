"""A head CT with blood in it: the slices to look at come back and open in OHIF in their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from tests.ctfiles import head_series, left_between
from tests.viewer.slices import written
from tools.orthanc import Orthanc
from tools.viewer import Viewer
from tools.viewer_pixels import likeness
from tools.viewer_study import read_study

ALIKE = 0.97

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def objects(pacs: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """What came back of a study whose images are in the PACS too."""
    folder = tmp_path_factory.mktemp("head")
    slices = head_series(heights=range(-60, 61, 5), bleed=left_between(4, 26), side=256)
    return read_study(pacs, written(folder / "study", slices), folder / "node")


def test_the_overlays_open_in_order(
    viewer: Viewer, objects: list[Dataset], artefacts: Path
) -> None:
    overlays = [each for each in objects if each.SOPClassUID == SecondaryCaptureImageStorage]
    assert len(overlays) > 1
    # Where slices have positions the viewer shows them from head to feet, these as their sources.
    overlays.sort(key=lambda each: -float(each.ImagePositionPatient[2]))
    viewer.open_study(overlays[0].StudyInstanceUID)
    viewer.open_series(overlays[0].SeriesDescription)
    for number in range(len(overlays)):
        viewer.wait_for_text(f"{number + 1}/{len(overlays)}")
        viewer.wait_until(
            lambda expected=number: shown(viewer, overlays) == expected,  # type: ignore[misc]
            lambda: str(shown(viewer, overlays)),
        )
        viewer.screenshot(artefacts / f"overlay-{number + 1}.png")
        viewer.scroll(1)


def shown(viewer: Viewer, pictures: list[Dataset]) -> int | None:
    """Which of the pictures is painted, counted from 0; None if none is."""
    screen = viewer.picture()
    alike = [likeness(screen, each.pixel_array) for each in pictures]
    return int(np.argmax(alike)) if max(alike) > ALIKE else None
