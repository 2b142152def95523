"""``wetread jobs retry|cancel|urgent``: the queue, mended; each is told to the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

import typer

from audit.trail import Trail
from db import by_hand, stats
from db.engine import Database
from db.schema import JobState
from wetread.cli.node_database import node_database
from wetread.cli.options import SinceOption, YesOption, confirm, for_each
from wetread.cli.output import ConfigOption, JsonOption, show_json
from wetread.config import Settings, load
from wetread.trails import command_trail

_OVER = (JobState.DONE, JobState.SKIPPED)
_MANY = 10_000
_ONE = typer.Argument(min=1, max=2**31 - 1, help="The job's id, as 'wetread jobs list' shows it.")
_SOME = typer.Argument(min=1, max=2**31 - 1, help="Ids of jobs; none: those that options name.")

JobId = Annotated[int, _ONE]
JobIds = Annotated[list[int] | None, _SOME]
StateOption = Annotated[
    JobState | None, typer.Option(help="Instead of ids: all jobs in this state.")
]
ModelOption = Annotated[str | None, typer.Option(help="Of those, only jobs of this model.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "retry",
        epilog="Examples: wetread jobs retry 4711 4712. "
        "wetread jobs retry --state dead --since 1h --yes.",
    )(retry_jobs)
    app.command(
        "cancel",
        epilog="Examples: wetread jobs cancel 4711. "
        "wetread jobs cancel --state queued --model head-ct-triage --yes.",
    )(cancel_jobs)
    app.command("urgent", epilog="Example: wetread jobs urgent 4711.")(urge_job)


class _Chosen(NamedTuple):
    """Which jobs are meant."""

    ids: list[int] | None
    state: JobState | None
    model: str | None
    since: float | None

    def find(self, database: Database, verb: str, *, yes: bool) -> list[int]:
        """Their ids, after a question if they were not named one by one."""
        if bool(self.ids) == (self.state is not None):
            raise typer.BadParameter("name either ids or --state")
        if self.ids:
            return self.ids
        with database.read() as connection:
            rows = stats.jobs(
                connection, state=self.state, model=self.model, since=self.since, limit=_MANY
            )
        if rows:
            confirm(f"{verb} {len(rows)} jobs that are {self.state}?", yes=yes)
        return [row["id"] for row in reversed(rows)]


def retry_jobs(
    job_ids: JobIds = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    unchecked: Annotated[
        bool,
        typer.Option(
            "--unchecked",
            help="Deliver it without asking the destination whose study it has.",
        ),
    ] = False,
    state: StateOption = None,
    model: ModelOption = None,
    since: SinceOption = None,
    yes: YesOption = False,
) -> None:
    """Queue dead or cancelled jobs again, or what of a done one is dead, refused or held."""
    what = "queued again" + (" without the patient check" if unchecked else "")
    _act(
        load(config),
        _Chosen(job_ids, state, model, since),
        _Action("retry", partial(_retry, unchecked=unchecked), lambda _row: what),
        as_json=as_json,
        yes=yes,
    )


def cancel_jobs(
    job_ids: JobIds = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    state: StateOption = None,
    model: ModelOption = None,
    since: SinceOption = None,
    yes: YesOption = False,
) -> None:
    """Cancel queued or running jobs, or give up what of a done one is held."""
    _act(
        load(config),
        _Chosen(job_ids, state, model, since),
        _Action("cancel", _cancel, _cancelled),
        as_json=as_json,
        yes=yes,
    )


def urge_job(job_id: JobId, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Let a job that waits or runs, and its results, overtake all that is routine."""
    _act(
        load(config),
        _Chosen([job_id], None, None, None),
        _Action("urge", _urge, lambda _row: "made urgent"),
        as_json=as_json,
        yes=True,
    )


class _Action(NamedTuple):
    """What is done to a job, and how the audit trail calls it."""

    verb: str
    act: Callable[[Database, int], dict[str, Any]]
    told: Callable[[dict[str, Any]], str]


def _act(settings: Settings, chosen: _Chosen, action: _Action, *, as_json: bool, yes: bool) -> None:
    database = node_database(settings)
    ids = chosen.find(database, action.verb, yes=yes)
    with command_trail(settings) as trail:

        def act(job_id: int) -> dict[str, Any]:
            row = action.act(database, job_id)
            _audit(trail, action.told(row), row)
            return row

        for_each(ids, act, partial(_tell, as_json=as_json, single=len(chosen.ids or ()) == 1))


def _retry(database: Database, job_id: int, *, unchecked: bool) -> dict[str, Any]:
    with database.write() as connection:
        by_hand.retry(connection, job_id, unchecked=unchecked)
        return stats.job(connection, job_id)


def _cancel(database: Database, job_id: int) -> dict[str, Any]:
    with database.write() as connection:
        by_hand.cancel(connection, job_id)
        return stats.job(connection, job_id)


def _cancelled(row: dict[str, Any]) -> str:
    return "given up where it is held" if row["state"] in _OVER else "cancelled"


def _urge(database: Database, job_id: int) -> dict[str, Any]:
    with database.write() as connection:
        by_hand.urge(connection, job_id)
        return stats.job(connection, job_id)


def _audit(trail: Trail, what: str, row: dict[str, Any]) -> None:
    job_id = row["id"]
    trail.admin_action(
        f"job {job_id} ({row['model']}) {what}", f"wetread:job:{job_id}", row["study_uid"]
    )


def _tell(rows: list[dict[str, Any]], *, as_json: bool, single: bool) -> None:
    if as_json:
        show_json(rows[0] if single else rows)
        return
    for row in rows:
        typer.echo(f"job {row['id']} is {row['state']}")
    if not rows:
        typer.echo("no jobs")
