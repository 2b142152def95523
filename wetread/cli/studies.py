"""``wetread studies``: what was received."""

from __future__ import annotations

from typing import Annotated

import typer

from db import stats
from wetread.cli.output import ConfigOption, JsonOption, show_fields, show_json, show_table
from wetread.config import load
from wetread.roles import open_database

app = typer.Typer(no_args_is_help=True, help="The studies received: list, show.")

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


@app.command("list")
def list_studies(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    limit: Annotated[
        int, typer.Option(min=1, max=10**6, help="At most this many, latest first.")
    ] = 1000,
) -> None:
    """List studies, latest first: waiting for more images, due, routed to the models, or purged."""
    database = open_database(load(config))
    with database.read() as connection:
        rows = stats.studies(connection, limit=limit)
    if as_json:
        show_json(rows)
    else:
        show_table(rows, _COLUMNS, "no studies")


@app.command("show")
def show_study(
    study_uid: Annotated[str, typer.Argument(help="Study Instance UID.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one study with its jobs."""
    database = open_database(load(config))
    with database.read() as connection:
        row = stats.study(connection, study_uid)
    if as_json:
        show_json(row)
        return
    show_fields(row, ("study_uid", "state", "modalities", "instances", "purged", "lost"))
    show_fields(row, ("first_received_at", "last_received_at", "due_at"))
    typer.echo()
    show_table(row["jobs"], _JOB_COLUMNS, "no jobs")
