"""How the node is, at a glance; its destinations, and what it is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from db import pace, throughput
from wetread.condition import condition
from wetread.trails import audit_places
from wetread.web import charts
from wetread.web.jobs import here
from wetread.web.visits import Visit, page

_SPAN_SECONDS, _SPANS = 900.0, 48  # twelve hours

# Where an alarm is looked into; by the beginning of its name.
_PLACES = {
    "jobs": "/jobs?state=dead",
    "deliveries": "/deliveries?state=dead",
    "results-held": "/jobs?delivery=held",
    "queue": "/jobs?state=queued",
    "urgent": "/jobs?state=queued&urgent=yes",
    "destination": "/destinations",
    "model": "/models",
    "cpu": "/models",
}


def routes() -> list[Route]:
    """Overview, destinations, system."""
    return [page("/", _overview), page("/destinations", _destinations), page("/system", _system)]


def _overview(visit: Visit) -> Response:
    with visit.site.database.read() as connection:
        found = condition(visit.site.settings, connection)
        passed = throughput.buckets(connection, seconds=_SPAN_SECONDS, count=_SPANS)
        paces = pace.pace(connection, seconds=_SPAN_SECONDS, count=_SPANS)
    starts = [f"{datetime.fromisoformat(each['start']).astimezone():%H:%M}" for each in passed]
    waits = [[each.median for each in paces], [each.longest for each in paces]]
    return visit.show(
        "overview.html",
        live=here(visit),
        node=found,
        alarms=[each | {"place": _place(each["name"])} for each in found["alarms"]],
        queued=sum(each["queued"] for each in found["queue"]),
        read=charts.bars("Studies read", starts, [each["jobs"] for each in passed], "readings"),
        taken=charts.bars(
            "Images received", starts, [each["instances"] for each in passed], "images"
        ),
        waited=charts.lines("From last image to sent", starts, waits, "s"),
    )


def _destinations(visit: Visit) -> Response:
    with visit.site.database.read() as connection:
        found = condition(visit.site.settings, connection)
    known = {each.name: each for each in visit.site.settings.destination}
    rows = [each | {"settings": known.get(each["name"])} for each in found["destinations"]]
    return visit.show("destinations.html", live=here(visit), destinations=rows)


def _system(visit: Visit) -> Response:
    site = visit.site
    with site.database.read() as connection:
        found = condition(site.settings, connection)
    return visit.show(
        "system.html",
        live=here(visit),
        node=found,
        settings=_shown_settings(site.settings.model_dump(mode="json")),
        audited=audit_places(site.settings),
    )


def _place(name: str) -> str:
    return next((place for start, place in _PLACES.items() if name.startswith(start)), "/system")


def _shown_settings(settings: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Sections with their values; of what may hold a secret, only whether there is one."""
    lists = {"peer", "destination"}
    shown = {
        name: [(key, _value(key, value)) for key, value in section.items()]
        for name, section in settings.items()
        if name not in lists
    }
    for name in sorted(lists):
        for each in settings[name]:
            title = f"{name} {each['name']}"
            shown[title] = [(key, _value(key, value)) for key, value in each.items()]
    return shown


def _value(key: str, value: Any) -> str:
    if key in ("passcode_hash", "url", "user") and value:
        return _without_password(str(value)) if key == "url" else "(set)"
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_value(name, each)}" for name, each in value.items()) or "{}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in ("", None) else str(value)


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    user, found, place = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0] + '@' if found else ''}{place.partition('?')[0]}"
