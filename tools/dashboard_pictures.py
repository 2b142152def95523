"""The dashboard's pictures in the documents: ``python -m tools.dashboard_pictures``.

Patients who do not exist go through a node; one PACS takes the results, another is away.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tools import viewer as viewers
from tools.dashboard import DESK, PHONE, Scheme, add_accounts, log_in, opened
from tools.node import Node
from tools.pictures import DOCS, save
from tools.ports import free_port
from tools.storage_scp import StorageScp
from tools.viewer import Browser
from wetread.phantom import write_study
from wetread.phantom.opacity import Finding

_NAMES = (
    "YAMADA^HANAKO",
    "DUPONT^MARIE",
    "OKAFOR^CHIDI",
    "LINDGREN^ASTRID",
    "SILVA^JOAO",
    "KIM^MINJI",
)
_FINDINGS: tuple[Finding, ...] = ("ground-glass", "none", "consolidation")
_SECONDS = 300.0
_SETTINGS = "[study]\nrelease_seconds = 1\n"

_ALL_THERE = "[...document.images].every(each => each.complete && each.naturalWidth > 0)"

# File, page, window, colours. "{study}" is a study with an overlay.
_SHOTS: tuple[tuple[str, str, tuple[int, int], Scheme], ...] = (
    ("overview", "/", DESK, "light"),
    ("studies", "/studies", DESK, "light"),
    ("study", "/studies/{study}", DESK, "light"),
    ("study-dark", "/studies/{study}", DESK, "dark"),
    ("overview-phone", "/", PHONE, "light"),
)


def main() -> int:
    """Make the pictures; 1 if there is no browser."""
    if reason := viewers.browser_missing():
        print(reason, file=sys.stderr)
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="wetread-dashboard-") as temporary,
        shown_node(Path(temporary)) as (node, study),
        Browser() as browser,
    ):
        for name, path, size, scheme in _SHOTS:
            with opened(browser, node.web_url, size, scheme) as page:
                log_in(page)
                target = Path(temporary) / f"{name}.png"
                shoot(page, node.web_url + path.format(study=study), target)
                save(Image.open(target), DOCS / f"dashboard-{name}.png")
    return 0


@contextmanager
def shown_node(folder: Path) -> Iterator[tuple[Node, str]]:
    """A node that has read some studies, and the UID of one with a finding."""
    with StorageScp() as pacs:
        destinations = [("pacs", pacs.ae_title, pacs.port), ("archive", "AWAY", free_port())]
        with Node(folder / "node", destinations, _SETTINGS, web=True) as node:
            add_accounts(node)
            for seed, name in enumerate(_NAMES):
                files = write_study(
                    folder / name,
                    seed=seed + 19,
                    rows=1250,
                    columns=1024,
                    finding=_FINDINGS[seed % len(_FINDINGS)],
                    extent=0.8,
                    level=0.6,
                    patient_name=name,
                )
                node.send(*files)
            yield node, _first_when_all_are_read(node)


def _first_when_all_are_read(node: Node) -> str:
    deadline = time.monotonic() + _SECONDS
    while True:
        jobs = node.json("jobs", "list")
        unsent = node.json("deliveries", "list", "--state", "pending", "--destination", "pacs")
        if len([each for each in jobs if each["state"] == "done"]) == len(_NAMES) and not unsent:
            return str(jobs[-1]["study_uid"])
        if time.monotonic() > deadline:
            raise TimeoutError(f"the studies were not read: {jobs}")
        time.sleep(0.5)


def shoot(page: Page, url: str, target: Path) -> None:
    """Take a picture of a page when all its pictures are there."""
    page.goto(url)
    page.evaluate("document.querySelectorAll('img').forEach(each => each.loading = 'eager')")
    # Not wait_for_function, which the pages' policy forbids.
    while not page.evaluate(_ALL_THERE):
        page.wait_for_timeout(100)
    page.screenshot(path=target, full_page=True)


if __name__ == "__main__":
    sys.exit(main())
