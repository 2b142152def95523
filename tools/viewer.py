"""The OHIF viewer in a headless browser, driven as a radiologist drives it.

``with Browser() as browser, browser.viewer(pages(), orthanc.dicom_web_url) as viewer:`` serves the
viewer's pages beside the DICOMweb of a PACS and opens them. Nothing comes from the internet.
"""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

import numpy as np
from PIL import Image
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
    Response,
    sync_playwright,
)

from tools.orthanc import Orthanc
from tools.viewer_files import NotFetchedError, pages
from tools.viewer_pixels import Picture
from tools.viewer_server import ViewerServer

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# The images are painted with WebGL, in software where there is no graphics card.
_ARGUMENTS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
_SECONDS = 30.0
_PANE = "[data-cy=viewport-pane]"
_THUMBNAIL = "[data-cy^=study-browser-thumbnail]"
_AGAIN_SECONDS = 8.0
# The viewer keeps its services in the page's window.
_PAINTED = """() => window.cornerstone.getRenderingEngines().some(
  engine => engine.getViewports().some(viewport => viewport.viewportStatus === 'rendered'))"""
_DESCRIPTIONS = """() => {
  const {viewportGridService, displaySetService} = window.services;
  return [...viewportGridService.getState().viewports.values()].map(viewport => {
    const [shown] = viewport.displaySetInstanceUIDs ?? [];
    return (shown && displaySetService.getDisplaySetByUID(shown)?.SeriesDescription) ?? '';
  });
}"""
_CUT_OFF = """pane => {
  const edge = pane.getBoundingClientRect().right, range = document.createRange(), found = [];
  const texts = document.createTreeWalker(pane, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    range.selectNodeContents(texts.currentNode);
    if (range.getBoundingClientRect().right > edge) found.push(texts.currentNode.textContent);
  }
  return found;
}"""
_SERIES_NAME = "[data-cy=series-description-label]"


def missing() -> str:
    """What keeps the viewer from running here and how to install it; empty if nothing does.

    Fetches the viewer's pages the first time.
    """
    if not Orthanc.installed():
        return "Orthanc is not installed: apt-get install orthanc"
    if not Orthanc.has_dicom_web():
        return "Orthanc has no DICOMweb: apt-get install orthanc-dicomweb"
    if reason := browser_missing():
        return reason
    try:
        pages()
    except NotFetchedError as error:
        return str(error)
    return ""


class Browser:
    """A headless browser; each viewer has a profile of its own."""

    def __init__(self) -> None:
        self._playwright: Playwright | None = None

    def __enter__(self) -> Self:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=_program(), args=list(_ARGUMENTS)
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        assert self._playwright is not None
        self._playwright.stop()

    @contextmanager
    def page(
        self,
        size: tuple[int, int],
        scheme: Literal["light", "dark"] = "light",
        *,
        scripts: bool = True,
    ) -> Iterator[Page]:
        """An empty page of a fresh profile, in a window of this many pixels."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            java_script_enabled=scripts,
        )
        context.set_default_timeout(_SECONDS * 1000)
        try:
            yield context.new_page()
        finally:
            context.close()

    @contextmanager
    def viewer(self, pacs: Orthanc, width: int = 1600, height: int = 1000) -> Iterator[Viewer]:
        """A viewer on the studies of a PACS, in a window of this many pixels."""
        with ViewerServer(pages(), pacs.dicom_web_url) as server:
            context = self._browser.new_context(viewport={"width": width, "height": height})
            context.set_default_timeout(_SECONDS * 1000)
            try:
                yield Viewer(context, server.url)
            finally:
                context.close()


class Viewer:
    """One window of the viewer.

    Parameters
    ----------
    context
        A profile of the browser; what it keeps makes the viewer load faster the next time.
    url
        Where the viewer is served.

    Attributes
    ----------
    page
        The page, for what there is no method for.
    errors
        What went wrong since the window opened: errors on the console, exceptions that no one
        caught, and requests that failed.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.errors: list[str] = []
        self._context = context
        self._url = url
        self.page = self._new_page()

    def reopen(self) -> None:
        """Start anew in a window of the same profile; what went wrong before is forgotten.

        To open another page in the same window breaks off what that was still loading, which the
        viewer takes for an error.
        """
        self.page.close()
        self.errors.clear()
        self.page = self._new_page()

    def open_list(self, patient: str) -> None:
        """Open the study list and wait until it names a patient."""
        self.page.goto(self._url)
        self.page.get_by_text(patient).first.wait_for()

    def open_study(self, study_uid: str) -> None:
        """Open a study and wait until its first image is painted."""
        self.page.goto(f"{self._url}/viewer?StudyInstanceUIDs={study_uid}")
        self.page.locator(_THUMBNAIL).first.wait_for()
        self.page.locator(f"{_PANE} canvas").first.wait_for()
        # To open another series before that breaks off a load, which the viewer takes for an error.
        self.wait_until(lambda: bool(self.page.evaluate(_PAINTED)), lambda: "an image is painted")

    def series(self) -> list[str]:
        """Descriptions of the series in the panel at the left, from top to bottom."""
        return self.page.locator(_SERIES_NAME).all_inner_texts()

    def open_series(self, description: str, pane: int = 0) -> None:
        """Open the first series of this description and wait until the pane has it.

        Parameters
        ----------
        description
            The whole Series Description.
        pane
            Into which pane, counted from 0.
        """
        tried: list[float] = []

        def has_it() -> bool:
            if self.page.evaluate(_DESCRIPTIONS)[pane] == description:
                return True
            # A double click is lost where the panel grows between its two clicks.
            if not tried or time.monotonic() - tried[-1] > _AGAIN_SECONDS:
                self.double_click_series(description, pane)
                tried.append(time.monotonic())
            return False

        self.wait_until(has_it, lambda: f"{description} in pane {pane}")

    def double_click_series(self, description: str, pane: int = 0) -> None:
        """Ask for a series that the viewer may not be able to show; see :meth:`open_series`."""
        if self.page.locator(_PANE).count() > 1:
            self.pane(pane).click(position={"x": 5, "y": 60})
        name = self.page.locator(_SERIES_NAME).get_by_text(description, exact=True)
        self.page.locator(_THUMBNAIL).filter(has=name).first.dblclick()

    def pane(self, number: int = 0) -> Locator:
        """One pane of the viewport grid, counted from 0."""
        return self.page.locator(_PANE).nth(number)

    def split(self, rows: int, columns: int) -> None:
        """Divide the viewport grid into panes."""
        self.page.evaluate(
            "([numRows, numCols]) => window.commandsManager.runCommand("
            "'setViewportGridLayout', {numRows, numCols})",
            [rows, columns],
        )
        self.wait_until(lambda: self.page.locator(_PANE).count() == rows * columns)

    def text(self, pane: int = 0) -> str:
        """What is written in a pane, drawn annotations included."""
        return str(self.pane(pane).inner_text())

    def cut_off(self, pane: int = 0) -> list[str]:
        """Texts that go over the right edge of a pane, where nobody can read on."""
        found: list[str] = self.pane(pane).evaluate(_CUT_OFF)
        return found

    def wait_for_text(self, text: str, pane: int = 0) -> None:
        """Wait until a pane says this."""
        self.wait_until(lambda: text in self.text(pane), lambda: f"{text!r} in {self.text(pane)!r}")

    def wait_for_annotation(self, text: str, pane: int = 0) -> None:
        """Wait until this is drawn on an image.

        The image is dragged a little and back meanwhile, without which the viewer draws what it has
        just loaded only now and then.
        """

        def drawn() -> bool:
            if text in self.text(pane):
                return True
            self.pan(3, 2, pane)
            self.pan(-3, -2, pane)
            return False

        self.wait_until(drawn, lambda: f"{text!r} in {self.text(pane)!r}")

    def pan(self, right: float, down: float, pane: int = 0) -> None:
        """Drag the image with the middle button, by pixels of the screen."""
        box = self.pane(pane).bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down(button="middle")
        self.page.mouse.move(x + right, y + down, steps=3)
        self.page.mouse.up(button="middle")

    def scroll(self, slices: int, pane: int = 0) -> None:
        """Turn the mouse wheel by so many slices; negative is back."""
        self.pane(pane).hover()
        for _ in range(abs(slices)):
            self.page.mouse.wheel(0, 100 if slices > 0 else -100)

    def close_cine(self) -> None:
        """Close the bar for playing, which the viewer lays over some kinds of images."""
        bar = self.page.locator("[data-cy=cine-player-close]")
        bar.first.wait_for()
        bar.first.click()
        bar.first.wait_for(state="hidden")

    def picture(self, pane: int = 0) -> Picture:
        """The pixels of a pane as they are on the screen."""
        shot = Image.open(io.BytesIO(self.pane(pane).screenshot(animations="disabled")))
        return np.asarray(shot.convert("RGB"))

    def screenshot(self, path: Path) -> None:
        """Write the whole window as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path, animations="disabled")

    def wait_until(
        self,
        holds: Callable[[], bool],
        wanted: Callable[[], str] = lambda: "",
        seconds: float = _SECONDS,
    ) -> None:
        """Wait until something holds.

        Raises
        ------
        TimeoutError
            It did not within ``seconds``; the message is what ``wanted`` says then.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:.0f} s: {wanted()}")
            self.page.wait_for_timeout(100)

    def _new_page(self) -> Page:
        page = self._context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("response", self._on_response)
        return page

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.errors.append(f"{response.status} for {response.url}")


def browser_missing() -> str:
    """What keeps a browser from running here; empty if nothing does."""
    return "" if _program() else "no browser is installed: apt-get install chromium"


def _program() -> str | None:
    return next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
