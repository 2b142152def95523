"""``wetread commitments``: who asked whether images are safe here, and what was said."""

from __future__ import annotations

from typing import Annotated

import typer

from db import commitment, commitment_stats
from db.schema import CommitmentState
from wetread.cli.node_database import node_database
from wetread.cli.output import ConfigOption, JsonOption, show_fields, show_json, show_table
from wetread.config import load

app = typer.Typer(no_args_is_help=True, help="Storage commitment: list, show, retry.")

_COLUMNS = (
    "id",
    "state",
    "calling_ae",
    "transaction_uid",
    "instances",
    "failed",
    "attempts",
    "created_at",
    "reported_at",
    "reason",
)
_ITEM_COLUMNS = ("sop_class_uid", "sop_instance_uid", "failure")

CommitmentId = Annotated[
    int,
    typer.Argument(
        min=1, max=2**31 - 1, help="The request's id, as 'wetread commitments list' shows it."
    ),
]


@app.command("list", epilog="Example: wetread commitments list --state dead.")
def list_commitments(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    state: Annotated[
        CommitmentState | None, typer.Option(help="Only requests in this state.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=10**6, help="At most this many, newest first.")
    ] = 1000,
) -> None:
    """List requests for storage commitment, newest first."""
    database = node_database(load(config))
    with database.read() as connection:
        rows = commitment_stats.listed(connection, state=state, limit=limit)
    if as_json:
        show_json(rows)
    else:
        show_table(rows, _COLUMNS, "no commitments")


@app.command("show", epilog="Example: wetread commitments show 17.")
def show_commitment(
    commitment_id: CommitmentId, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show one request with its instances, and the failure reasons that were reported."""
    database = node_database(load(config))
    with database.read() as connection:
        row = commitment_stats.shown(connection, commitment_id)
    if as_json:
        show_json(row)
        return
    show_fields(row, _COLUMNS)
    typer.echo()
    show_table(row["items"], _ITEM_COLUMNS, "no instances")


@app.command("retry", epilog="Example: wetread commitments retry 17 18.")
def retry_commitments(
    commitment_ids: Annotated[
        list[int], typer.Argument(min=1, max=2**31 - 1, help="Ids of dead requests.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report dead requests once more; all of those named, or none."""
    database = node_database(load(config))
    with database.write() as connection:
        for commitment_id in commitment_ids:
            commitment.retry(connection, commitment_id)
        rows = [commitment_stats.shown(connection, each) for each in commitment_ids]
    if as_json:
        show_json(rows)
        return
    for row in rows:
        typer.echo(f"commitment {row['id']} is {row['state']}")
