"""The pictures in the documents: ``python -m tools.pictures`` makes them anew.

A synthetic chest radiograph goes through wetread into Orthanc, as in the demo, and is opened in the
OHIF viewer: at the left the image with the measurement report's finding, at the right the overlay.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage

from tools import viewer as viewers
from tools.orthanc import Orthanc
from tools.viewer import Browser, Viewer
from tools.viewer_pixels import likeness
from tools.viewer_study import abnormal_chest, read_study

DOCS = Path(__file__).parents[1] / "docs"
_WIDTH = 1600
_WINDOW = (1900, 940)
_LABEL_ROOM = -85  # pixels to the right by which the image makes room for the report's label
_STEP = 4  # colours are rounded to multiples of this
_OVERLAY_WIDTH = 700
_ALIKE = 0.95


def main() -> int:
    """Make the pictures; 1 if something that is needed is not installed."""
    if reason := viewers.missing():
        print(reason, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="wetread-pictures-") as temporary:
        folder = Path(temporary)
        with Orthanc(folder / "orthanc", dicom_web=True) as pacs:
            made = read_study(pacs, abnormal_chest(folder / "study"), folder / "node")
            results = {str(each.SOPClassUID): each for each in made}
            overlay = Image.fromarray(results[SecondaryCaptureImageStorage].pixel_array)
            height = round(overlay.height * _OVERLAY_WIDTH / overlay.width)
            smaller = overlay.resize((_OVERLAY_WIDTH, height), Image.Resampling.LANCZOS)
            save(smaller, DOCS / "overlay.png")
            with Browser() as browser, browser.viewer(pacs, *_WINDOW) as viewer:
                _hang(viewer, results)
                viewer.screenshot(folder / "viewer.png")
            save(Image.open(folder / "viewer.png"), DOCS / "viewer.png")
    return 0


def _hang(viewer: Viewer, results: dict[str, Dataset]) -> None:
    report, overlay = results[Comprehensive3DSRStorage], results[SecondaryCaptureImageStorage]
    viewer.open_study(report.StudyInstanceUID)
    viewer.split(rows=1, columns=2)
    viewer.open_series(overlay.SeriesDescription, pane=1)
    viewer.wait_until(lambda: likeness(viewer.picture(1), overlay.pixel_array) > _ALIKE)
    viewer.close_cine()
    viewer.open_series(report.SeriesDescription, pane=0)
    viewer.wait_for_annotation("Probability", pane=0)
    viewer.pan(_LABEL_ROOM, 0, pane=0)


def save(picture: Image.Image, path: Path) -> None:
    """Write at no more than the documents' width, with fewer colours, which halves the file."""
    if picture.width > _WIDTH:
        height = round(picture.height * _WIDTH / picture.width)
        picture = picture.resize((_WIDTH, height), Image.Resampling.LANCZOS)
    values = np.asarray(picture.convert("RGB"), np.uint16)
    rounded = np.minimum((values + _STEP // 2) // _STEP * _STEP, 255).astype(np.uint8)
    Image.fromarray(rounded).save(path, optimize=True)
    size = path.stat().st_size // 1000
    print(f"{path.relative_to(DOCS.parent)}: {picture.width} x {picture.height}, {size} kB")


if __name__ == "__main__":
    sys.exit(main())
