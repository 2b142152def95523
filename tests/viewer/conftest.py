"""A browser with a viewer, and a PACS with DICOMweb that a node sent its results to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import viewer as viewers
from tools.orthanc import Orthanc
from tools.viewer import Browser, Viewer

ARTEFACTS = Path(__file__).parents[2] / "test-artefacts" / "viewer"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    if reason := viewers.browser_missing():
        pytest.skip(reason)
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def browser(chromium: Browser) -> Browser:
    """The browser, and the viewer is there for it; it is fetched first."""
    if reason := viewers.missing():
        pytest.skip(reason)
    return chromium


@pytest.fixture(scope="module")
def pacs(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A running Orthanc with DICOMweb, empty at first, one per module."""
    with Orthanc(tmp_path_factory.mktemp("orthanc"), dicom_web=True) as server:
        yield server


@pytest.fixture(scope="module")
def profile(browser: Browser, pacs: Orthanc) -> Iterator[Viewer]:
    """A viewer on the PACS, whose profile a module's tests share: it takes seconds to load."""
    with browser.viewer(pacs) as opened:
        yield opened


@pytest.fixture
def viewer(profile: Viewer) -> Iterator[Viewer]:
    """A fresh window of the viewer; the test fails if anything in it goes wrong."""
    profile.reopen()
    yield profile
    assert profile.errors == []


@pytest.fixture
def artefacts(request: pytest.FixtureRequest) -> Path:
    """Folder for the screenshots of a test."""
    return ARTEFACTS / str(request.node.name)
