"""Who comes in: by password and cookie, or because a proxy that is believed says who it is."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from starlette.requests import Request

from audit.events import Person
from audit.trail import Trail
from db import accounts, sessions
from db.engine import Database
from db.sessions import Visitor
from wetread.passwords import matches
from wetread.sections import Web
from wetread.web.proxy import PROXIED
from wetread.web.throttle import Throttle

_SPARE_PER_ADDRESS = 20  # a whole department may come from one


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Somebody is let in; ``token`` is for the browser if it has none yet."""

    visitor: Visitor
    token: str = ""


class Refused(Exception):
    """Somebody is not let in; the message is for them."""


class Door:
    """Knows who is logged in.

    Parameters
    ----------
    settings
        How people log in.
    database
        Where accounts and sessions are.
    trail
        Where it is audited.
    """

    def __init__(self, settings: Web, database: Database, trail: Trail) -> None:
        self._settings = settings
        self._database = database
        self._trail = trail
        self._names = Throttle()
        self._addresses = Throttle(_SPARE_PER_ADDRESS)
        self._one_at_a_time = threading.Lock()

    @property
    def by_password(self) -> bool:
        """Whether there is a page to log in at."""
        return self._settings.login == "password"

    def entry(self, request: Request) -> Entry | None:
        """Who sent a request; None for somebody who has to log in first.

        Raises
        ------
        Refused
            The proxy names nobody who has an account, or the request did not come through it.
        """
        visitor = self._visitor(request)
        if self.by_password:
            return Entry(visitor=visitor) if visitor else None
        name = self._named_by_proxy(request)
        if visitor is not None and visitor.account == name:
            return Entry(visitor=visitor)
        return self._begin(request, name)

    def log_in(self, request: Request, name: str, password: str) -> Entry:
        """Look at a password.

        Raises
        ------
        Refused
            It is wrong, or too many were.
        """
        address = address_of(request)
        # One at a time, so that many guesses at once count like one after the other.
        with self._one_at_a_time:
            with self._database.read() as connection:
                known = accounts.find(connection, name)
            wait = max(
                known.wait_seconds if known else 0.0,
                self._names.wait_seconds(name),
                self._addresses.wait_seconds(address),
            )
            if wait > 0:
                self._trail.logged_in(_person(request, name), "too many wrong passwords")
                raise Refused(f"Too many wrong passwords. Try again in {math.ceil(wait)} seconds.")
            if not matches(password, known.password_hash if known else None):
                self._failed(request, name)
                raise Refused("Name or password is wrong.")
        self._names.succeeded(name)
        with self._database.write() as connection:
            accounts.succeeded(connection, name)
        return self._begin(request, name)

    def log_out(self, request: Request, visitor: Visitor) -> None:
        """End a session."""
        with self._database.write() as connection:
            sessions.end(connection, request.cookies.get(cookie_name(request), ""))
        self._trail.logged_out(_person(request, visitor.account))

    def _failed(self, request: Request, name: str) -> None:
        self._names.failed(name)
        self._addresses.failed(address_of(request))
        with self._database.write() as connection:
            accounts.failed(connection, name)
        self._trail.logged_in(_person(request, name), "wrong name or password")

    def _visitor(self, request: Request) -> Visitor | None:
        token = request.cookies.get(cookie_name(request), "")
        if not token:
            return None
        with self._database.read() as connection:
            found = sessions.visitor(connection, token)
        if found is None:
            return None
        visitor, to_be_noted = found
        # A page that updates itself is no sign that somebody still sits there.
        if to_be_noted and "hx-request" not in request.headers:
            with self._database.write() as connection:
                sessions.note(connection, token)
        return visitor

    def _named_by_proxy(self, request: Request) -> str:
        if not request.scope[PROXIED]:
            raise Refused("Come through the proxy that says who you are.")
        name = request.headers.get(self._settings.header, "")
        with self._database.read() as connection:
            known = accounts.find(connection, name)
        if known is None:
            self._trail.logged_in(_person(request, name or "nobody"), "no such account")
            raise Refused("There is no account for you here. Ask who runs this node.")
        return known.name

    def _begin(self, request: Request, name: str) -> Entry:
        with self._database.write() as connection:
            token = sessions.begin(connection, name)
            found = sessions.visitor(connection, token)
        if found is None:  # removed in this moment
            raise Refused("Name or password is wrong.")
        self._trail.logged_in(_person(request, name))
        return Entry(visitor=found[0], token=token)


def cookie_name(request: Request) -> str:
    """Name of the cookie with the token; over HTTPS one that no other host can set."""
    return "__Host-wetread" if request.url.scheme == "https" else "wetread"


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else ""


def person_of(request: Request, visitor: Visitor) -> Person:
    """Somebody who is logged in, for the audit trail."""
    return _person(request, visitor.account)


def _person(request: Request, name: str) -> Person:
    return Person(user_id=name, address=address_of(request))
