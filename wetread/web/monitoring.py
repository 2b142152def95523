"""``/metrics``, ``/healthz`` and ``/readyz``: for programs that watch the node, without a login."""

from __future__ import annotations

import hmac
import ipaddress
from pathlib import Path

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from db.engine import Database
from wetread.config import Settings
from wetread.metrics.exposition import exposition
from wetread.readiness import obstacles
from wetread.sections import Metrics

_log = structlog.get_logger(__name__)


def monitoring(settings: Settings, database: Database) -> list[Route]:
    """Routes of the three, and of nothing that names a patient."""

    def metrics(request: Request) -> Response:
        if not _may_read(settings.metrics, request):
            return PlainTextResponse(
                "neither from a network of [metrics] in the settings, nor with its token\n",
                status_code=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
        text, content_type = exposition(settings, database, request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})

    def ready(_request: Request) -> Response:
        reasons = obstacles(settings, database)
        return JSONResponse(
            {"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200
        )

    return [
        Route("/metrics", metrics),
        Route("/healthz", _alive),
        Route("/readyz", ready),
    ]


async def _alive(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _may_read(rule: Metrics, request: Request) -> bool:
    return _is_near(rule, request) or _has_token(rule, request)


def _is_near(rule: Metrics, request: Request) -> bool:
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    return any(address in network for network in rule.networks)


def _has_token(rule: Metrics, request: Request) -> bool:
    """Whether the request shows the token that stands in the file now."""
    if not rule.token_file:
        return False
    try:
        token = Path(rule.token_file).read_bytes().strip()
    except OSError as error:
        _log.error("metrics.token_unreadable", reason=error.strerror)
        return False
    kind, _, shown = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(shown.strip().encode("utf-8", "replace"), token)
    return bool(token) and kind.lower() == "bearer" and same
