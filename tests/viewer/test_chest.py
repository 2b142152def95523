"""A chest radiograph with a finding: what a radiologist sees of the results in OHIF."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
)

from tools.demo import report_lines
from tools.orthanc import Orthanc
from tools.viewer import Viewer
from tools.viewer_pixels import colour_likeness, likeness
from tools.viewer_study import abnormal_chest, read_study

LINES = 5
"""So many measurements of a group the viewer draws beside its point."""
# It lays a few words and a bar for playing over the picture; without those both are nearly 1.
ALIKE, ALIKE_IN_COLOUR = 0.97, 0.9

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def objects(pacs: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """By SOP class, what came back of a study whose images are in the PACS too."""
    folder = tmp_path_factory.mktemp("chest")
    made = read_study(pacs, abnormal_chest(folder / "study"), folder / "node")
    return {str(each.SOPClassUID): each for each in made}


def test_the_study_opens_with_its_results(
    viewer: Viewer, objects: dict[str, Dataset], artefacts: Path
) -> None:
    viewer.open_list("SYNTHETIC, CHEST")
    viewer.screenshot(artefacts / "list.png")
    viewer.open_study(objects[Comprehensive3DSRStorage].StudyInstanceUID)
    described = {str(each.SeriesDescription) for each in objects.values()}
    viewer.wait_until(lambda: described <= set(viewer.series()), lambda: str(viewer.series()))
    viewer.screenshot(artefacts / "study.png")


def test_the_report_is_drawn_on_the_image(
    viewer: Viewer, objects: dict[str, Dataset], artefacts: Path
) -> None:
    report = objects[Comprehensive3DSRStorage]
    viewer.open_study(report.StudyInstanceUID)
    viewer.open_series(report.SeriesDescription)
    wanted = [line for group in groups(report) for line in measurements(group)[:LINES]]
    assert any("Probability of pneumonia" in line for line in wanted)
    for line in wanted:
        viewer.wait_for_annotation(line)
    viewer.screenshot(artefacts / "report.png")


def test_the_text_report_is_readable(
    viewer: Viewer, objects: dict[str, Dataset], artefacts: Path
) -> None:
    report = objects[BasicTextSRStorage]
    viewer.open_study(report.StudyInstanceUID)
    viewer.open_series(report.SeriesDescription)
    viewer.wait_for_text("not for diagnosis")
    viewer.screenshot(artefacts / "text.png")
    shown = "".join(viewer.text().split())
    for line in report_lines(report):
        assert "".join(line.split()) in shown


def test_no_line_of_the_text_report_is_cut_off(viewer: Viewer, objects: dict[str, Dataset]) -> None:
    report = objects[BasicTextSRStorage]
    viewer.open_study(report.StudyInstanceUID)
    viewer.open_series(report.SeriesDescription)
    viewer.wait_for_text("not for diagnosis")
    assert viewer.cut_off() == []


def test_the_overlay_is_painted(
    viewer: Viewer, objects: dict[str, Dataset], artefacts: Path
) -> None:
    overlay = objects[SecondaryCaptureImageStorage]
    viewer.open_study(overlay.StudyInstanceUID)
    viewer.open_series(overlay.SeriesDescription)
    pixels = overlay.pixel_array
    viewer.wait_until(lambda: likeness(viewer.picture(), pixels) > ALIKE)
    viewer.screenshot(artefacts / "overlay.png")
    assert colour_likeness(viewer.picture(), pixels) > ALIKE_IN_COLOUR


def groups(report: Dataset) -> list[Dataset]:
    """Measurement groups of a report, at any depth."""
    found = []
    for item in report.get("ContentSequence", []):
        if item.get("ConceptNameCodeSequence", [Dataset()])[0].get("CodeValue") == "125007":
            found.append(item)
        found += groups(item)
    return found


def measurements(group: Dataset) -> list[str]:
    """What the viewer writes of a group's measurements, in order."""
    return [numeric(item) for item in group.ContentSequence if item.ValueType == "NUM"]


def numeric(item: Dataset) -> str:
    """A measurement as the viewer draws it."""
    (value,) = item.MeasuredValueSequence
    name, unit = item.ConceptNameCodeSequence[0], value.MeasurementUnitsCodeSequence[0]
    return f"{name.CodeMeaning}: {float(value.NumericValue):.2f} {unit.CodeValue}"
