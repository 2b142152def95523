"""The documentation builds as a site, strictly, and a browser loads it from nowhere else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import sync_playwright

from tools.site_pages import outside_pages

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as ``make docs`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    pages = [each.relative_to(ROOT / "docs") for each in (ROOT / "docs").rglob("*.md")]
    for page in [*pages, *map(Path, outside_pages().values())]:
        assert (site / page).with_suffix(".html").exists(), page


def test_links_between_pages_in_and_outside_of_the_folder_hold(site: Path) -> None:
    assert 'href="cards/cxr-covid.html"' in (site / "index.html").read_text("utf-8")
    architecture = (site / "architecture.html").read_text("utf-8")
    assert 'href="adr/0001-durable-receive.html"' in architecture


def test_every_picture_of_a_page_is_in_the_site(site: Path) -> None:
    for page in site.rglob("*.html"):
        for picture in re.findall(r'<img[^>]* src="([^"]*)"', page.read_text("utf-8")):
            assert (page.parent / picture).exists(), (page.name, picture)


def test_a_browser_asks_no_other_host(site: Path) -> None:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index.html", "conformance.html", "cards/head-ct-triage.html"):
            page.goto(f"file://{quote(str(site / name))}", wait_until="networkidle")
            assert page.locator("h1").is_visible()
        browser.close()
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
