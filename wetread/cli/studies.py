"""``wetread studies``: what was received."""

from __future__ import annotations

from typing import Annotated

import typer

from db import by_hand, stats
from db.stats import StudyState
from db.timeline import timeline
from wetread.cli.jobs import STEP_COLUMNS
from wetread.cli.node_database import node_database
from wetread.cli.options import (
    PHI_COLUMNS,
    LimitOption,
    PhiOption,
    SinceOption,
    tell_more,
    with_identities,
)
from wetread.cli.output import ConfigOption, JsonOption, show_fields, show_json, show_table
from wetread.config import load
from wetread.trails import command_trail

app = typer.Typer(no_args_is_help=True, help="The studies received: list, show, route.")

_COLUMNS = (
    "study_uid",
    "state",
    "modalities",
    "instances",
    "purged",
    "lost",
    "last_received_at",
    "due_at",
)
_JOB_COLUMNS = ("id", "state", "model", "model_version", "attempts", "finished_at", "reason")

StudyUid = Annotated[str, typer.Argument(help="Study Instance UID.")]


@app.command(
    "list",
    epilog="Examples: wetread studies list --accession A123 --phi. "
    "wetread studies list --patient 'doe j' --since 2d. wetread studies list --state due.",
)
def list_studies(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    state: Annotated[StudyState | None, typer.Option(help="Only those in this state.")] = None,
    accession: Annotated[
        str | None, typer.Option(help="Only those with this accession number.")
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option(
            help="Only those of this patient ID, or of names that begin like this: 'doe j'."
        ),
    ] = None,
    since: SinceOption = None,
    before: Annotated[
        str | None, typer.Option(help="Go on behind this UID, the last of the page before.")
    ] = None,
    limit: LimitOption = stats.PAGE,
    phi: PhiOption = False,
) -> None:
    """List studies, latest first: waiting for more images, due, routed to the models, or purged."""
    settings = load(config)
    with node_database(settings).read() as connection:
        rows = stats.studies(
            connection,
            state=state,
            accession=accession,
            person=patient,
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
        columns = (*_COLUMNS[:1], *(PHI_COLUMNS if phi else ()), *_COLUMNS[1:])
        show_table(rows, columns, "no studies")
        tell_more(rows, limit, "study_uid")


@app.command("show", epilog="Example: wetread studies show 1.2.840.113619.2.1.77 --phi.")
def show_study(
    study_uid: StudyUid,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    phi: PhiOption = False,
) -> None:
    """Show one study: its jobs, and its way from the first image to what was committed."""
    settings = load(config)
    with node_database(settings).read() as connection:
        row = stats.study(connection, study_uid)
        row["timeline"] = timeline(connection, study_uid)
        if phi:
            with command_trail(settings) as trail:
                (row,) = with_identities(connection, trail, [row])
    if as_json:
        show_json(row)
        return
    show_fields(row, ("study_uid", "state", "modalities", "instances", "purged", "lost"))
    show_fields(row, ("first_received_at", "last_received_at", "due_at"))
    if phi:
        show_fields(row, PHI_COLUMNS)
    typer.echo()
    show_table(row["jobs"], _JOB_COLUMNS, "no jobs")
    typer.echo()
    show_table(row["timeline"], STEP_COLUMNS, "nothing happened")


@app.command("route", epilog="Example: wetread studies route 1.2.840.113619.2.1.77.")
def route_study(
    study_uid: StudyUid, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Let the models look at a study again at once, though it was skipped or given up.

    What a model has read it does not read again: 'wetread jobs retry' is for a job.
    """
    settings = load(config)
    database = node_database(settings)
    with command_trail(settings) as trail:
        with database.write() as connection:
            by_hand.route_again(connection, study_uid)
            row = stats.study(connection, study_uid)
        trail.admin_action("study to be routed again", f"wetread:study:{study_uid}", study_uid)
    if as_json:
        show_json(row)
    else:
        typer.echo(f"study {study_uid} is {row['state']}")
