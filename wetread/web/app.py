"""Puts the dashboard together."""

from __future__ import annotations

from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from audit.trail import NO_TRAIL, Trail
from db.archive import Archive
from db.engine import Database
from db.errors import where
from inference.errors import ReadingError
from inference.package import Package, find_packages
from wetread.config import Settings
from wetread.web import (
    actions,
    jobs,
    live,
    login,
    models,
    overview,
    pictures,
    studies,
)
from wetread.web import (
    trail as audit_trail,
)
from wetread.web.door import Door
from wetread.web.guard import Guard
from wetread.web.monitoring import monitoring
from wetread.web.proxy import Proxies
from wetread.web.site import Shown, Site
from wetread.web.visits import told

_STATIC = Path(__file__).parent / "static"

_log = structlog.get_logger(__name__)


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
        *login.routes(),
        *overview.routes(),
        *studies.routes(),
        *jobs.routes(),
        *models.routes(),
        *actions.routes(),
        *audit_trail.routes(),
        *pictures.routes(),
        *live.routes(database),
        *monitoring(settings, database),
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Guard, names={"localhost", settings.web.host, *settings.web.names}),
            Middleware(Proxies, networks=settings.web.proxies),
        ],
        exception_handlers={404: _nowhere, Exception: _failed},
    )
    app.state.site = Site(
        settings=settings,
        database=database,
        archive=archive,
        trail=trail,
        door=Door(settings.web, database, trail),
        shown=Shown(),
        packages=_packages(settings),
    )
    return app


def _packages(settings: Settings) -> dict[str, Package]:
    try:
        found = find_packages(settings.model_folders(), settings.models.disabled)
    except ReadingError as error:
        # A worker that has it does not start and says why; who looks must still see the rest.
        _log.error("web.model_unusable", error=str(error))
        return {}
    return {each.name: each for each in found}


def _nowhere(request: Request, _error: Exception) -> Response:
    return told(request, 404, "There is no such page.")


def _failed(_request: Request, error: Exception) -> Response:
    # Its text stays out of the log and of the answer: it may quote a patient's name.
    _log.error("web.trouble", error=where(error))
    return PlainTextResponse("Something went wrong; the log says where.\n", status_code=500)
