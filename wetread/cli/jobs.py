"""``wetread jobs``: the queue, seen and mended."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from audit.trail import Trail
from db import jobs, outbox, stats
from db.engine import Database
from db.errors import IllegalMove
from db.schema import DeliveryState, JobState
from wetread.cli.output import ConfigOption, JsonOption, show_fields, show_json, show_table
from wetread.config import load
from wetread.roles import open_database
from wetread.trails import command_trail

app = typer.Typer(no_args_is_help=True, help="The queue: list, show, retry, cancel.")

_COLUMNS = (
    "id",
    "state",
    "model",
    "study_uid",
    "attempts",
    "undelivered",
    "created_at",
    "finished_at",
    "reason",
)
_RESULT_COLUMNS = ("kind", "number", "rank", "style", "sop_class_uid", "sop_instance_uid", "path")
_DELIVERY_COLUMNS = (
    "destination",
    "kind",
    "number",
    "state",
    "attempts",
    "sent_at",
    "commitment",
    "reason",
)

_OVER = (JobState.DONE, JobState.SKIPPED)

JobId = Annotated[
    int, typer.Argument(min=1, max=2**31 - 1, help="The job's id, as 'wetread jobs list' shows it.")
]


@app.command("list")
def list_jobs(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    study: Annotated[str | None, typer.Option(help="Only jobs of this Study Instance UID.")] = None,
    delivery: Annotated[
        DeliveryState | None, typer.Option(help="Only jobs with a delivery in this state.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=10**6, help="At most this many, newest first.")
    ] = 1000,
) -> None:
    """List jobs, newest first; a study that no model could read says why."""
    database = open_database(load(config))
    with database.read() as connection:
        rows = stats.jobs(connection, state=state, study_uid=study, delivery=delivery, limit=limit)
    if as_json:
        show_json(rows)
    else:
        show_table(rows, _COLUMNS, "no jobs")


@app.command("show")
def show_job(
    job_id: JobId,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    with_traceback: Annotated[
        bool, typer.Option("--traceback", help="Also where in the program its last attempt failed.")
    ] = False,
) -> None:
    """Show one job with its inputs, results and deliveries."""
    database = open_database(load(config))
    with database.read() as connection:
        row = stats.job(connection, job_id)
        if with_traceback:
            row["traceback"] = stats.traceback(connection, job_id)
    if as_json:
        show_json(row)
        return
    show_fields(row, ("id", "state", "reason", "model", "model_version", "study_uid", "attempts"))
    show_fields(row, ("created_at", "started_at", "finished_at", "inputs"))
    typer.echo()
    show_table(row["results"], _RESULT_COLUMNS, "no results")
    typer.echo()
    show_table(row["deliveries"], _DELIVERY_COLUMNS, "no deliveries")
    if with_traceback:
        typer.echo(f"\n{row['traceback'] or 'its last attempt did not fail'}")


@app.command("retry")
def retry_job(
    job_id: JobId,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    unchecked: Annotated[
        bool,
        typer.Option(
            "--unchecked",
            help="Deliver it without asking the destination whose study it has.",
        ),
    ] = False,
) -> None:
    """Queue a dead or cancelled job again, or what of a done one is dead, refused or held."""
    settings = load(config)
    database = open_database(settings)
    with command_trail(settings) as trail:
        row = _retry(database, job_id, unchecked=unchecked)
        _audit(trail, "queued again" + (" without the patient check" if unchecked else ""), row)
    _tell(row["state"], job_id, as_json, row)


def _retry(database: Database, job_id: int, *, unchecked: bool) -> dict[str, Any]:
    with database.write() as connection:
        state = jobs.state_of(connection, job_id)
        if state in _OVER:
            if outbox.retry(connection, job_id, unchecked=unchecked) == 0:
                raise IllegalMove(
                    f"job {job_id} is {state} and no delivery of it is dead, refused or held"
                )
        elif unchecked:
            raise IllegalMove(f"job {job_id} is {state}: it has nothing to deliver unchecked yet")
        else:
            jobs.retry(connection, job_id)
        return stats.job(connection, job_id)


@app.command("cancel")
def cancel_job(job_id: JobId, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Cancel a queued or running job, or give up what of a done one is held."""
    settings = load(config)
    database = open_database(settings)
    with command_trail(settings) as trail:
        row = _cancel(database, job_id)
        _audit(trail, "given up where it is held" if row["state"] in _OVER else "cancelled", row)
    _tell(row["state"], job_id, as_json, row)


def _cancel(database: Database, job_id: int) -> dict[str, Any]:
    with database.write() as connection:
        state = jobs.state_of(connection, job_id)
        if state not in _OVER:
            jobs.cancel(connection, job_id)
        elif outbox.give_up(connection, job_id) == 0:
            raise IllegalMove(f"job {job_id} is {state} and no delivery of it is held")
        return stats.job(connection, job_id)


def _audit(trail: Trail, what: str, row: dict[str, Any]) -> None:
    job_id = row["id"]
    trail.admin_action(
        f"job {job_id} ({row['model']}) {what}", f"wetread:job:{job_id}", row["study_uid"]
    )


def _tell(state: str, job_id: int, as_json: bool, row: dict[str, object]) -> None:
    if as_json:
        show_json(row)
    else:
        typer.echo(f"job {job_id} is {state}")
