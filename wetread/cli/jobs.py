"""``wetread jobs``: the queue, seen and mended."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from db import stats
from db.schema import DeliveryState, JobState
from db.timeline import timeline
from wetread.cli import job_actions, job_watch
from wetread.cli.node_database import node_database
from wetread.cli.options import (
    PHI_COLUMNS,
    BeforeOption,
    LimitOption,
    PhiOption,
    SinceOption,
    tell_more,
    with_identities,
)
from wetread.cli.output import ConfigOption, JsonOption, show_fields, show_json, show_table
from wetread.config import load
from wetread.trails import command_trail

app = typer.Typer(no_args_is_help=True, help="The queue: list, show, watch, urgent, retry, cancel.")
job_watch.register(app)
job_actions.register(app)

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

STEP_COLUMNS = ("seconds", "event", "job_id", "model", "destination", "kind", "attempts", "reason")


@app.command(
    "list",
    epilog="Examples: wetread jobs list --state dead --since 1d. "
    "wetread jobs list --accession A123 --phi. wetread jobs list --limit 50 --before 4711.",
)
def list_jobs(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    model: Annotated[str | None, typer.Option(help="Only jobs of this model.")] = None,
    study: Annotated[str | None, typer.Option(help="Only jobs of this Study Instance UID.")] = None,
    accession: Annotated[
        str | None, typer.Option(help="Only jobs of studies with this accession number.")
    ] = None,
    delivery: Annotated[
        DeliveryState | None, typer.Option(help="Only jobs with a delivery in this state.")
    ] = None,
    urgent: Annotated[bool, typer.Option("--urgent", help="Only jobs that cannot wait.")] = False,
    since: SinceOption = None,
    before: BeforeOption = None,
    limit: LimitOption = stats.PAGE,
    phi: PhiOption = False,
) -> None:
    """List jobs, newest first; a study that no model could read says why."""
    settings = load(config)
    with node_database(settings).read() as connection:
        rows = stats.jobs(
            connection,
            state=state,
            model=model,
            study_uid=study,
            accession=accession,
            delivery=delivery,
            urgent=urgent,
            since=since,
            before=before,
            limit=limit,
        )
        if phi:
            with command_trail(settings) as trail:
                rows = with_identities(connection, trail, rows)
    if as_json:
        show_json(rows)
    else:
        show_table(rows, (*_COLUMNS[:3], *(PHI_COLUMNS if phi else ()), *_COLUMNS[3:]), "no jobs")
        tell_more(rows, limit, "id")


@app.command("show", epilog="Example: wetread jobs show 4711 --json.")
def show_job(
    job_id: job_actions.JobId,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    with_traceback: Annotated[
        bool, typer.Option("--traceback", help="Also where in the program its last attempt failed.")
    ] = False,
    phi: PhiOption = False,
) -> None:
    """Show one job: what was said, its study's way, its inputs, results and deliveries."""
    settings = load(config)
    with node_database(settings).read() as connection:
        row = stats.job(connection, job_id)
        row["timeline"] = [
            step
            for step in timeline(connection, row["study_uid"])
            if step["job_id"] in (None, job_id)
        ]
        if with_traceback:
            row["traceback"] = stats.traceback(connection, job_id)
        if phi:
            with command_trail(settings) as trail:
                (row,) = with_identities(connection, trail, [row])
    if as_json:
        show_json(row)
        return
    _show(row, phi=phi)
    if with_traceback:
        typer.echo(f"\n{row['traceback'] or 'its last attempt did not fail'}")


def _show(row: dict[str, Any], *, phi: bool) -> None:
    show_fields(row, ("id", "state", "reason", "model", "model_version", "study_uid", "attempts"))
    show_fields(row, ("priority", "created_at", "started_at", "finished_at", "inputs"))
    if phi:
        show_fields(row, PHI_COLUMNS)
    if row["answers"]:
        typer.echo(f"answers     {json.dumps(row['answers'], ensure_ascii=False)}")
    for key, columns in (
        ("timeline", STEP_COLUMNS),
        ("results", _RESULT_COLUMNS),
        ("deliveries", _DELIVERY_COLUMNS),
    ):
        typer.echo()
        show_table(row[key], columns, f"no {key}")
