"""How a request becomes a page: who asks is known, may, and brings the token of their forms.

Every page and every action but the login goes through here, so that none can forget to ask.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import structlog
from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from db.accounts import Role
from db.errors import IllegalMove, NotFound, StoreError, where
from db.sessions import Visitor
from wetread.web.door import Entry, Refused, cookie_name, person_of
from wetread.web.site import Site
from wetread.web.templates import render

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Visit:
    """One request of somebody who is logged in.

    Attributes
    ----------
    request, form
        What they ask, and what they filled in.
    visitor
        Who they are.
    """

    request: Request
    visitor: Visitor
    form: FormData

    @property
    def site(self) -> Site:
        """What the dashboard tells of."""
        return site_of(self.request)

    @property
    def is_admin(self) -> bool:
        """Whether they may do something."""
        return self.visitor.role is Role.ADMIN

    def asked(self, name: str) -> str:
        """A parameter of the address; empty for none."""
        return self.request.query_params.get(name, "").strip()

    def given(self, name: str) -> str:
        """A field of the form; empty for none."""
        value = self.form.get(name, "")
        return value.strip() if isinstance(value, str) else ""

    def show(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Make a page."""
        page = render(template, request=self.request, visit=self, **values)
        return HTMLResponse(page, status_code=status)

    def go(self, path: str) -> Response:
        """Go to another page after an action."""
        return RedirectResponse(path, status_code=303)

    def saw(self, study_uids: Sequence[str]) -> None:
        """Audit that they were shown whose studies these are."""
        new = self.site.shown.new(self.visitor.account, study_uids)
        if new:
            self.site.trail.studies_seen(person_of(self.request, self.visitor), new)

    def did(self, what: str, resource: str, study_uid: str = "") -> None:
        """Audit what they did."""
        person = person_of(self.request, self.visitor)
        self.site.trail.admin_action(what, resource, study_uid, by=person)


View = Callable[[Visit], Response]


def page(path: str, view: View, *, role: Role = Role.VIEWER, at_once: int | None = None) -> Route:
    """A route to something that is looked at; so many requests at once, or as there are threads."""
    limiter = CapacityLimiter(at_once) if at_once else None

    async def endpoint(request: Request) -> Response:
        return await to_thread.run_sync(_answer, request, FormData(), view, role, limiter=limiter)

    return Route(path, endpoint, methods=["GET"])


def action(path: str, act: View, *, role: Role = Role.ADMIN) -> Route:
    """A route to something that is done; its form brings the visitor's token."""

    def checked(visit: Visit) -> Response:
        if not hmac.compare_digest(visit.given("csrf").encode(), visit.visitor.csrf.encode()):
            return told(visit.request, 403, "This form is out of date. Load the page again.")
        return act(visit)

    async def endpoint(request: Request) -> Response:
        form = await request.form(max_files=0)
        return await to_thread.run_sync(_answer, request, form, checked, role)

    return Route(path, endpoint, methods=["POST"])


def site_of(request: Request) -> Site:
    """What the application of a request was made for."""
    site: Site = request.app.state.site
    return site


def give_token(request: Request, response: Response, entry: Entry) -> None:
    """Let the browser know its session, if it is new."""
    if entry.token:
        response.set_cookie(
            cookie_name(request),
            entry.token,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )


def _answer(request: Request, form: FormData, view: View, role: Role) -> Response:
    try:
        entry = site_of(request).door.entry(request)
        if entry is None:
            return _to_login(request)
        visit = Visit(request, entry.visitor, form)
        if role is Role.ADMIN and not visit.is_admin:
            response: Response = told(request, 403, "Only admins may do this.", visit)
        else:
            response = _viewed(visit, view)
        give_token(request, response, entry)
    except Refused as error:
        return told(request, 403, str(error))
    except SQLAlchemyError as error:
        _log.error("web.database_away", error=where(error))
        return told(request, 503, "The database does not answer. Try again soon.")
    return response


def _viewed(visit: Visit, view: View) -> Response:
    try:
        return view(visit)
    except NotFound as error:
        return told(visit.request, 404, str(error), visit)
    except IllegalMove as error:
        return told(visit.request, 409, str(error), visit)
    except StoreError as error:
        return told(visit.request, 400, str(error), visit)


def _to_login(request: Request) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    here = request.url.path
    back = f"?next={quote(here)}" if request.method == "GET" and here != "/" else ""
    return RedirectResponse(f"/login{back}", status_code=303)


def told(request: Request, status: int, message: str, visit: Visit | None = None) -> HTMLResponse:
    """A page that says why there is no other."""
    message = f"{message[:1].upper()}{message[1:]}"
    shown = render("told.html", request=request, visit=visit, status=status, message=message)
    return HTMLResponse(shown, status_code=status)
