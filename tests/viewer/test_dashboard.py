"""The dashboard of a running node, in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pydicom import dcmread

from tools.dashboard import (
    ADMIN,
    DESK,
    PASSWORD,
    PHONE,
    VIEWER,
    Scheme,
    add_accounts,
    log_in,
    opened,
)
from tools.node import Node
from tools.storage_scp import StorageScp
from tools.viewer import Browser
from wetread.phantom import write_study

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text("utf-8")
SCRIPT = "<script>alert(1)</script>"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Node]:
    """A node with a PACS, and a study of somebody with an odd name that it has read."""
    folder = tmp_path_factory.mktemp("dashboard")
    extra = "[study]\nrelease_seconds = 0.2\n"
    with (
        StorageScp() as pacs,
        Node(folder / "node", [("pacs", pacs.ae_title, pacs.port)], extra, web=True) as started,
    ):
        add_accounts(started)
        send(started, folder / "first", seed=1, patient_name=SCRIPT)
        started.wait_for_jobs(1)
        yield started


@pytest.fixture
def page(chromium: Browser, node: Node) -> Iterator[Page]:
    """At the login; the test fails if the browser had to complain about a page."""
    complaints = list[str]()
    with opened(chromium, node.web_url) as found:
        found.on(
            "console", lambda said: complaints.append(said.text) if said.type == "error" else None
        )
        found.on("pageerror", lambda error: complaints.append(str(error)))
        found.on("dialog", lambda dialog: complaints.append(dialog.message))
        yield found
    expected = "403 (Forbidden)"  # what a wrong password is answered with
    assert [each for each in complaints if expected not in each] == []


def send(node: Node, folder: Path, *, seed: int, patient_name: str) -> str:
    """Send a chest of somebody; its Study Instance UID."""
    (file,) = write_study(
        folder, seed=seed, rows=512, columns=420, patient_name=patient_name, fresh=True
    )
    assert node.send(file).returncode == 0
    return str(dcmread(file, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)


def test_a_wrong_password_is_told_and_a_right_one_lets_in(page: Page) -> None:
    page.get_by_label("Name").fill(ADMIN)
    page.get_by_label("Password").fill("a wrong password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    log_in(page)
    expect(page.get_by_text("alice (admin)")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_an_open_page_follows_a_study(page: Page, node: Node, tmp_path: Path) -> None:
    log_in(page)
    page.goto(f"{node.web_url}/jobs")
    rows = page.locator("#live tbody tr")
    before = rows.count()
    send(node, tmp_path / "study", seed=2, patient_name="DOE^JANE")
    expect(rows).to_have_count(before + 1, timeout=40_000)
    expect(rows.first.locator(".state").first).to_have_text("done", timeout=40_000)
    rows.first.locator("a.uid").click()
    expect(page.get_by_role("heading", name="DOE, JANE")).to_be_visible()
    expect(page.get_by_text("job done")).to_be_visible()
    expect(page.locator(".pictures.large img").first).to_be_visible()


def test_a_failed_job_is_retried(page: Page, node: Node) -> None:
    log_in(page)
    page.goto(f"{node.web_url}/models/*/pause")
    page.get_by_label(re.compile("Why")).fill("a test")
    page.get_by_role("button", name="Yes, pause").click()
    send(node, node.folder / "third", seed=3, patient_name="DOE^JOHN")
    page.goto(f"{node.web_url}/jobs?state=queued")
    page.locator("#live tbody a").first.click(timeout=40_000)
    page.get_by_role("link", name=re.compile("Cancel job")).click()
    page.get_by_role("button", name="Yes, cancel it").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")
    page.goto(f"{node.web_url}/models")
    page.get_by_role("link", name="Resume all models").click()
    page.get_by_role("button", name="Yes, resume").click()
    page.goto(f"{node.web_url}/jobs?state=cancelled")
    page.locator("#live tbody a").first.click()
    page.get_by_role("link", name=re.compile("Retry job")).click()
    page.get_by_role("button", name="Yes, retry").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("done", timeout=40_000)


def test_a_patients_name_is_no_script(page: Page, node: Node) -> None:
    log_in(page)
    page.get_by_role("link", name="Studies", exact=True).click()
    page.get_by_role("link", name=SCRIPT).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(SCRIPT)
    assert page.locator("main script").count() == 0


def test_a_viewer_sees_no_way_to_do_anything(page: Page, node: Node) -> None:
    log_in(page, VIEWER)
    page.goto(f"{node.web_url}/models")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    assert page.get_by_text("Pause").count() == 0
    assert page.get_by_role("link", name="Audit").count() == 0


def test_the_keyboard_is_enough(page: Page, node: Node) -> None:
    page.keyboard.type(ADMIN)  # the first field has the focus
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Studies", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skips to the content
    page.keyboard.press("Tab")
    page.keyboard.type("DOE")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("found")


def test_it_works_without_scripts(chromium: Browser, node: Node) -> None:
    with chromium.page(DESK, scripts=False) as page:
        page.goto(f"{node.web_url}/login")
        log_in(page)
        for name in ("Studies", "Jobs", "Models", "System", "Audit"):
            page.get_by_role("link", name=name, exact=True).click()
            expect(page.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"]
)
def test_everybody_can_use_every_page(
    chromium: Browser, node: Node, size: tuple[int, int], scheme: Scheme
) -> None:
    study = node.json("jobs", "list")[0]["study_uid"]
    paths = [
        "/", "/studies", f"/studies/{study}", "/jobs", "/jobs/1", "/deliveries", "/destinations",
        "/models", "/models/cxr-covid", "/models/*/pause", "/system", "/audit", "/nothing",
        "/login",
    ]  # fmt: skip
    with opened(chromium, node.web_url, size, scheme) as page:
        log_in(page)
        for path in paths:
            page.goto(node.web_url + path)
            page.evaluate(AXE)
            found = page.evaluate("axe.run()")["violations"]
            grave = [each for each in found if each["impact"] in ("serious", "critical")]
            assert [(each["id"], each["nodes"][0]["html"]) for each in grave] == [], path
            wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            assert not page.evaluate(wide), path
