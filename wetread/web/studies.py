"""Studies, whose they are, and the way of one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import Route

from db import identities, stats, study_pictures, timeline
from db.accounts import Role
from db.identities import Person
from db.stats import StudyState
from wetread.web.jobs import here, paged
from wetread.web.visits import Visit, action, page

_ROWS = 25
_FOUND = 100
_IMAGES = 12

_TONES = {
    "job done": "good",
    "result sent": "good",
    "result committed": "good",
    "job started": "busy",
    "job dead": "bad",
    "result dead": "bad",
    "result refused": "bad",
}
_WARNING = ("skipped", "cancelled", "again", "held")


def routes() -> list[Route]:
    """The list, a search and one study."""
    return [
        page("/studies", _studies),
        # What is searched for is in no address, and so in no log of a proxy and no history.
        action("/studies", _search, role=Role.VIEWER),
        page("/studies/{uid}", _study),
    ]


def _studies(visit: Visit) -> Response:
    asked, before = visit.asked("state"), visit.asked("before") or None
    state = asked if asked in set(StudyState) else None
    with visit.site.database.read() as connection:
        rows = stats.studies(connection, state=state, before=before, limit=_ROWS + 1)
        shown = _with_people(visit, connection, rows[:_ROWS])
    return visit.show(
        "studies.html",
        live=here(visit),
        studies=shown,
        searched="",
        asked_state=state or "",
        states=list(StudyState),
        cut=False,
        pages=paged("/studies", {"state": asked}, rows, _ROWS, "study_uid", before is not None),
    )


def _search(visit: Visit) -> Response:
    words = visit.given("words")
    if not words:
        return visit.go("/studies")
    with visit.site.database.read() as connection:
        rows = stats.studies(connection, person=words, limit=_FOUND + 1)
        shown = _with_people(visit, connection, rows[:_FOUND])
    return visit.show(
        "studies.html",
        studies=shown,
        searched=words,
        asked_state="",
        states=list(StudyState),
        cut=len(rows) > _FOUND,
        pages={"first": "", "following": ""},
    )


def _study(visit: Visit) -> Response:
    uid = str(visit.request.path_params["uid"])
    with visit.site.database.read() as connection:
        study = stats.study(connection, uid)
        steps = timeline.timeline(connection, uid)
        jobs = [stats.job(connection, each["id"]) for each in study["jobs"]]
        images = study_pictures.images(connection, uid, _IMAGES)
        overlays = study_pictures.overlays(connection, uid)
        person = identities.of(connection, [uid]).get(uid)
    visit.saw([uid])
    return visit.show(
        "study.html",
        live=here(visit),
        study=study,
        person=person or Person(),
        known=person is not None,
        jobs=jobs,
        steps=[each | {"tone": _tone(each["event"])} for each in steps],
        images=images,
        overlays=overlays,
    )


def _with_people(
    visit: Visit, connection: Connection, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    people = identities.of(connection, [each["study_uid"] for each in rows])
    visit.saw(list(people))
    return [each | {"person": people.get(each["study_uid"], Person())} for each in rows]


def _tone(event: str) -> str:
    if event in _TONES:
        return _TONES[event]
    return "warn" if any(word in event for word in _WARNING) else ""
