"""The queue, and one job."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from db import delivery_stats, stats
from db.schema import DeliveryState, JobState
from wetread.web.visits import Visit, page

_ROWS = 50


def routes() -> list[Route]:
    """Lists of jobs and deliveries, and one job."""
    return [
        page("/jobs", _jobs),
        page("/jobs/{id:int}", _job),
        page("/deliveries", _deliveries),
    ]


def _jobs(visit: Visit) -> Response:
    before = visit.asked("before")
    with visit.site.database.read() as connection:
        rows = stats.jobs(
            connection,
            state=_one_of(visit.asked("state"), JobState),
            model=visit.asked("model") or None,
            delivery=_one_of(visit.asked("delivery"), DeliveryState),
            study_uid=visit.asked("study") or None,
            urgent=visit.asked("urgent") == "yes",
            before=_number(before),
            limit=_ROWS + 1,
        )
    kept = {name: visit.asked(name) for name in ("state", "model", "delivery", "study", "urgent")}
    return visit.show(
        "jobs.html",
        live=here(visit),
        jobs=rows[:_ROWS],
        asked=kept,
        states=list(JobState),
        delivery_states=list(DeliveryState),
        models=sorted(visit.site.packages),
        pages=paged("/jobs", kept, rows, _ROWS, "id", bool(before)),
    )


def _job(visit: Visit) -> Response:
    job_id = visit.request.path_params["id"]
    with visit.site.database.read() as connection:
        job = stats.job(connection, job_id)
        trace = stats.traceback(connection, job_id) if visit.is_admin else None
    return visit.show("job.html", live=here(visit), job=job, traceback=trace)


def _deliveries(visit: Visit) -> Response:
    state = _one_of(visit.asked("state"), DeliveryState)
    before, destination = visit.asked("before"), visit.asked("destination") or None
    with visit.site.database.read() as connection:
        rows = delivery_stats.listed(
            connection,
            state=state,
            destination=destination,
            before=_number(before),
            limit=_ROWS + 1,
        )
    kept = {name: visit.asked(name) for name in ("state", "destination")}
    return visit.show(
        "deliveries.html",
        live=here(visit),
        deliveries=rows[:_ROWS],
        asked=kept,
        states=list(DeliveryState),
        destinations=[each.name for each in visit.site.settings.destination],
        pages=paged("/deliveries", kept, rows, _ROWS, "id", bool(before)),
    )


def here(visit: Visit) -> str:
    """The address of this page, to load it again."""
    url = visit.request.url
    return f"{url.path}?{url.query}" if url.query else url.path


def paged(
    path: str, kept: dict[str, str], rows: list[dict[str, Any]], limit: int, key: str, later: bool
) -> dict[str, str]:
    """Where the first and the next page of a list are; empty for none."""
    asked = {name: value for name, value in kept.items() if value}
    following = ""
    if len(rows) > limit:
        following = f"{path}?{urlencode(asked | {'before': str(rows[limit - 1][key])})}"
    first = f"{path}?{urlencode(asked)}" if asked else path
    return {"first": first if later else "", "following": following}


def _one_of(value: str, states: type[JobState] | type[DeliveryState]) -> str | None:
    return value if value in set(states) else None


def _number(value: str) -> int | None:
    return int(value) if value.isdecimal() and len(value) < 10 else None
