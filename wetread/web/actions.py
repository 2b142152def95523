"""What an admin may do, each after a question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import Route

from db import by_hand, holds, stats
from db.accounts import Role
from db.errors import IllegalMove, NotFound
from db.schema import EVERYTHING
from wetread.web.visits import View, Visit, action, page

_REASON_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What is asked before something is done."""

    question: str
    consequence: str
    yes: str
    danger: bool = False
    unchecked: bool = False
    reason: bool = False


_RETRY = _Question(
    question="Retry job {}?",
    consequence="A dead or cancelled job is read again. Of a done one, results that are dead, "
    "refused or held are sent again.",
    yes="Yes, retry",
    unchecked=True,
)
_CANCEL = _Question(
    question="Cancel job {}?",
    consequence="The study is not read by this model. Of a done job, what is held is given up.",
    yes="Yes, cancel it",
    danger=True,
)
_HURRY = _Question(
    question="Make job {} urgent?",
    consequence="It is read before all that is routine, and its results are sent first.",
    yes="Yes, make it urgent",
)
_ROUTE = _Question(
    question="Look at {} again?",
    consequence="What a model has read is not read again. A model that it was not read with, "
    "because it did not fit or the study was given up, looks at it anew.",
    yes="Yes, look again",
)
_PAUSE = _Question(
    question="Pause {}?",
    consequence="No host begins a job of it. Jobs at hand are finished; studies are still taken "
    "in and queued.",
    yes="Yes, pause",
    danger=True,
    reason=True,
)
_RESUME = _Question(
    question="Resume {}?",
    consequence="Queued jobs are read again, on every host.",
    yes="Yes, resume",
)


def routes() -> list[Route]:
    """A question and an answer for each action."""
    found = list[Route]()
    for path, question, ask, act in (
        ("/jobs/{id:int}/retry", _RETRY, _ask_job, _retry),
        ("/jobs/{id:int}/cancel", _CANCEL, _ask_job, _cancel),
        ("/jobs/{id:int}/urgent", _HURRY, _ask_job, _hurry),
        ("/studies/{uid}/route", _ROUTE, _ask_study, _route),
        ("/models/{name}/pause", _PAUSE, _ask_model, _pause),
        ("/models/{name}/resume", _RESUME, _ask_model, _resume),
    ):
        found += [page(path, ask(question), role=Role.ADMIN), action(path, act)]
    return found


def _ask_job(question: _Question) -> View:
    def view(visit: Visit) -> Response:
        job_id = visit.request.path_params["id"]
        with visit.site.database.read() as connection:
            state = stats.job(connection, job_id)["state"]
        unchecked = question.unchecked and state == "done"
        return _asked(visit, question, str(job_id), f"/jobs/{job_id}", unchecked=unchecked)

    return view


def _ask_model(question: _Question) -> View:
    def view(visit: Visit) -> Response:
        name = _model(visit)
        return _asked(visit, question, _shown(name), "/models", unchecked=False)

    return view


def _asked(
    visit: Visit, question: _Question, about: str, back: str, *, unchecked: bool
) -> Response:
    return visit.show(
        "confirm.html",
        question=question.question.format(about),
        consequence=question.consequence,
        yes=question.yes,
        danger=question.danger,
        reason=question.reason,
        unchecked=unchecked,
        back=back,
    )


def _retry(visit: Visit) -> Response:
    unchecked = visit.given("unchecked") == "yes"

    def move(connection: Connection, job_id: int) -> str:
        by_hand.retry(connection, job_id, unchecked=unchecked)
        return "queued again" + (" without the patient check" if unchecked else "")

    return _done(visit, move)


def _cancel(visit: Visit) -> Response:
    return _done(visit, by_hand.cancel)


def _hurry(visit: Visit) -> Response:
    def move(connection: Connection, job_id: int) -> str:
        by_hand.urge(connection, job_id)
        return "made urgent"

    return _done(visit, move)


def _done(visit: Visit, move: Callable[[Connection, int], str]) -> Response:
    job_id = visit.request.path_params["id"]
    with visit.site.database.write() as connection:
        what = move(connection, job_id)
        job = stats.job(connection, job_id)
    visit.did(f"job {job_id} ({job['model']}) {what}", f"wetread:job:{job_id}", job["study_uid"])
    return visit.go(f"/jobs/{job_id}")


def _pause(visit: Visit) -> Response:
    name, reason = _model(visit), visit.given("reason")[:_REASON_LENGTH] or None
    with visit.site.database.write() as connection:
        if not holds.pause(connection, name, reason):
            raise IllegalMove(f"{_shown(name)} is paused already")
    visit.did(f"reading with {_shown(name)} paused", f"wetread:model:{name}")
    return visit.go("/models")


def _resume(visit: Visit) -> Response:
    name = _model(visit)
    with visit.site.database.write() as connection:
        if not holds.resume(connection, name):
            raise IllegalMove(f"{_shown(name)} is not paused")
    visit.did(f"reading with {_shown(name)} resumed", f"wetread:model:{name}")
    return visit.go("/models")


def _ask_study(question: _Question) -> View:
    def view(visit: Visit) -> Response:
        uid = str(visit.request.path_params["uid"])
        with visit.site.database.read() as connection:
            stats.study(connection, uid)
        return _asked(visit, question, "this study", f"/studies/{uid}", unchecked=False)

    return view


def _route(visit: Visit) -> Response:
    uid = str(visit.request.path_params["uid"])
    with visit.site.database.write() as connection:
        by_hand.route_again(connection, uid)
    visit.did("study to be routed again", f"wetread:study:{uid}", uid)
    return visit.go(f"/studies/{uid}")


def _model(visit: Visit) -> str:
    name = str(visit.request.path_params["name"])
    with visit.site.database.read() as connection:
        paused = {each.name for each in holds.held(connection)}
    if name not in {EVERYTHING, *visit.site.packages, *paused}:
        raise NotFound(f"there is no model {name}")
    return name


def _shown(name: str) -> str:
    return "all models" if name == EVERYTHING else f"model {name}"
