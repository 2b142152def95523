"""A dashboard on a socket of its own, on a database and an archive that a test fills."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from audit.reading import Told, latest
from db import accounts
from db.accounts import NO_PASSWORD, Role
from db.engine import Database
from tests.worknode import Node
from tools.ports import free_port
from wetread.config import Settings, load
from wetread.passwords import hashed
from wetread.trails import role_trail
from wetread.web.app import application
from wetread.web.serving import Server

ADMIN, VIEWER = "alice", "bob"
PASSWORD = "a long enough password"
_CSRF = re.compile(r'name="csrf" value="([\w-]+)"')
_HASH = hashed(PASSWORD)  # once: it takes a while, as it should


class Dashboard:
    """A running dashboard.

    Attributes
    ----------
    settings, node
        What it was made with; ``node`` fills it.
    url
        Where it is.
    """

    def __init__(self, settings: Settings, node: Node, scheme: str = "http") -> None:
        self.settings = settings
        self.node = node
        self._visitors = list[Visitor]()
        self.url = f"{scheme}://127.0.0.1:{settings.web.port}"

    @property
    def database(self) -> Database:
        """Where its state is."""
        return self.node.database

    def visitor(self, name: str = "", password: str = PASSWORD) -> Visitor:
        """Somebody with a browser; logged in if they have a name."""
        found = Visitor(self)
        self._visitors.append(found)
        if name:
            answer = found.log_in(name, password)
            assert answer.status_code == 303, answer.text
        return found

    def close(self) -> None:
        """Close all browsers."""
        for each in self._visitors:
            each.session.close()

    def audited(self) -> list[Told]:
        """The audit trail, the latest first."""
        path = self.settings.node.data_dir / self.settings.audit.file
        return list(latest(path, 10_000_000))


class Visitor:
    """A browser without scripts, and without following redirects."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self._url = dashboard.url

    def get(self, path: str, **headers: str) -> requests.Response:
        """Look at a page."""
        return self.session.get(
            self._url + path, headers=headers, allow_redirects=False, timeout=20
        )

    def post(self, path: str, fields: dict[str, str], **headers: str) -> requests.Response:
        """Send a form as it is."""
        return self.session.post(
            self._url + path,
            data=fields,
            headers={"Origin": self._url} | headers,
            allow_redirects=False,
            timeout=20,
        )

    def log_in(self, name: str, password: str = PASSWORD, back: str = "/") -> requests.Response:
        """Send the form of the login."""
        return self.post("/login", {"name": name, "password": password, "next": back})

    def submit(self, path: str, **fields: str) -> requests.Response:
        """Load the page of a question and answer it."""
        return self.post(path, {"csrf": self.csrf(path)} | fields)

    def csrf(self, path: str = "/") -> str:
        """The token that the forms of a page bring along."""
        return str(_CSRF.findall(self.get(path).text)[-1])


@contextmanager
def running(
    folder: Path, database: Database, section: str = "", scheme: str = "http"
) -> Iterator[Dashboard]:
    """Serve a dashboard with further settings of ``[web]``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "wetread.toml"
    file.write_text(f'[node]\ndata_dir = "data"\n[web]\nport = {free_port()}\n{section}', "utf-8")
    settings, node, stop = load(file), Node(database, folder), threading.Event()
    with database.write() as connection:
        for name, role in ((ADMIN, Role.ADMIN), (VIEWER, Role.VIEWER)):
            accounts.add(connection, name, role, _HASH)
        accounts.add(connection, "carol", Role.VIEWER, NO_PASSWORD)
    with (
        role_trail(settings, "web") as trail,
        Server(settings, application(settings, database, node.archive, trail)) as server,
    ):
        thread = threading.Thread(target=server.run, args=(stop,))
        thread.start()
        dashboard = Dashboard(settings, node, scheme)
        try:
            yield dashboard
        finally:
            dashboard.close()
            stop.set()
            thread.join()
