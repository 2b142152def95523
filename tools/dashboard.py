"""A dashboard with something to show, and a browser on it: for its tests and its pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Page, expect

from tools.node import Node
from tools.viewer import Browser

ADMIN, VIEWER = "alice", "bob"
PASSWORD = "a long enough password"

Scheme = Literal["light", "dark"]
DESK, PHONE = (1280, 900), (390, 844)


def add_accounts(node: Node) -> None:
    """Make an admin and a viewer."""
    for name, role in ((ADMIN, "admin"), (VIEWER, "viewer")):
        command = [sys.executable, "-m", "wetread", "users", "add", name, "--role", role]
        subprocess.run(
            [*command, "-c", str(node.config)],
            input=f"{PASSWORD}\n",
            text=True,
            check=True,
            capture_output=True,
        )


@contextmanager
def opened(
    browser: Browser, url: str, size: tuple[int, int] = DESK, scheme: Scheme = "light"
) -> Iterator[Page]:
    """A page of a fresh browser profile, at the login of a dashboard."""
    with browser.page(size, scheme) as page:
        page.goto(f"{url}/login")
        yield page


def log_in(page: Page, name: str = ADMIN, password: str = PASSWORD) -> None:
    """Fill in the login, and wait until somebody is in."""
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
