"""The page to log in at, and the way out."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from db.accounts import Role
from wetread.passwords import LONGEST
from wetread.web.door import Refused, cookie_name
from wetread.web.templates import render
from wetread.web.visits import Visit, action, give_token, site_of

_LONGEST_NAME = 64


def routes() -> list[Route]:
    """Those that somebody may use who is not logged in, and the one to log out."""
    return [
        Route("/login", _form, methods=["GET"]),
        Route("/login", _log_in, methods=["POST"]),
        action("/logout", _log_out, role=Role.VIEWER),
    ]


def _form(request: Request) -> Response:
    if not site_of(request).door.by_password:
        return RedirectResponse("/", status_code=303)
    return _page(request, _own_path(request.query_params.get("next", "")))


async def _log_in(request: Request) -> Response:
    form = await request.form(max_files=0)
    name, password, back = (str(form.get(each, "")) for each in ("name", "password", "next"))
    return await run_in_threadpool(_check, request, name.strip(), password, _own_path(back))


def _check(request: Request, name: str, password: str, back: str) -> Response:
    door = site_of(request).door
    if not door.by_password:
        return RedirectResponse("/", status_code=303)
    try:
        entry = door.log_in(request, name[:_LONGEST_NAME], password[: LONGEST + 1])
    except Refused as error:
        return _page(request, back, str(error), status=403)
    response = RedirectResponse(back, status_code=303)
    give_token(request, response, entry)
    return response


def _log_out(visit: Visit) -> Response:
    visit.site.door.log_out(visit.request, visit.visitor)
    response = visit.go("/login")
    response.delete_cookie(
        cookie_name(visit.request), secure=visit.request.url.scheme == "https", samesite="strict"
    )
    return response


def _page(request: Request, back: str, problem: str = "", status: int = 200) -> HTMLResponse:
    page = render("login.html", request=request, visit=None, back=back, problem=problem)
    return HTMLResponse(page, status_code=status)


def _own_path(target: str) -> str:
    """Where to go after the login, if it is here: two slashes of any kind lead elsewhere."""
    return target if target.startswith("/") and target[1:2] not in ("/", "\\") else "/"
