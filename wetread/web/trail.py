"""The audit trail, for admins: the last messages of its file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from starlette.responses import Response
from starlette.routing import Route

from audit.codes import EventID
from audit.reading import Told, latest
from db.accounts import Role
from wetread.web.visits import Visit, page

_ROWS = 200
_MOST_BYTES = 16_000_000

OUTCOMES = {"0": "success", "4": "tried again", "8": "failed", "12": "unknown"}
"""PS3.15 A.5.2, EventOutcomeIndicator, in the words of docs/audit.md."""


def routes() -> list[Route]:
    """The list."""
    return [page("/audit", _trail, role=Role.ADMIN)]


def _trail(visit: Visit) -> Response:
    section, problem, rows = visit.site.settings.audit, "", list[Told]()
    try:
        if section.file:
            path = visit.site.settings.node.data_dir / section.file
            rows = list(islice(_asked_for(visit, latest(path, _MOST_BYTES)), _ROWS + 1))
        else:
            problem = "No file is kept: [audit] has none in the settings."
    except OSError as error:
        problem = f"The file cannot be read here: {error.strerror}"
    return visit.show(
        "audit.html",
        rows=rows[:_ROWS],
        cut=len(rows) > _ROWS,
        problem=problem,
        outcomes=OUTCOMES,
        events=[each.value.meaning for each in EventID],
        asked={name: visit.asked(name) for name in ("event", "outcome", "who", "study")},
    )


def _asked_for(visit: Visit, told: Iterator[Told]) -> Iterator[Told]:
    event, who = visit.asked("event"), visit.asked("who").casefold()
    outcome, study = visit.asked("outcome"), visit.asked("study")
    for each in told:
        if event and each.event != event:
            continue
        if outcome and OUTCOMES.get(each.outcome) != outcome:
            continue
        if who and not any(who in name.casefold() for name in (*each.who, *each.where)):
            continue
        if study and study not in each.studies:
            continue
        yield each
