"""Puts the dashboard together."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from audit.trail import NO_TRAIL, Trail
from db.archive import Archive
from db.engine import Database
from wetread.config import Settings
from wetread.web.guard import Guard
from wetread.web.monitoring import monitoring
from wetread.web.proxy import Proxies

_STATIC = Path(__file__).parent / "static"


def application(
    settings: Settings, database: Database, archive: Archive, trail: Trail = NO_TRAIL
) -> Starlette:
    """Make the application that answers all requests.

    Parameters
    ----------
    settings
        Of the node.
    database, archive
        What it tells of.
    trail
        Where it is audited who saw and did what.
    """
    routes: list[BaseRoute] = [
        Mount("/static", StaticFiles(directory=_STATIC), name="static"),
        Route("/", _soon),
        *monitoring(settings, database),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(Guard, names={"localhost", settings.web.host, *settings.web.names}),
            Middleware(Proxies, networks=settings.web.proxies),
        ],
    )


def _soon(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("wetread\n")
